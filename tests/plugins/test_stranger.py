"""A plugin of somebody else's: each hook that a run calls beside the work, in order and with its values."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from yokeflow.store.driver import connection

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = """
import json
from pathlib import Path

from yokeflow.hookspecs import hookimpl

FOLDER = Path(__file__).parent


def note(hook, *values):
    with (FOLDER / "notes").open("a") as file:
        file.write(json.dumps([hook, *values]) + "\\n")


@hookimpl
async def reserve_budget(attempt):
    note("reserve_budget", attempt.task.id)
    return 0.5


@hookimpl
async def settle_budget(result):
    note("settle_budget", result.attempt.task.id, str(result.state))


@hookimpl
def recall(attempt):
    return ["Mind the gap."]


@hookimpl
def learn(result, transcript):
    note("learn", transcript.read_text())


@hookimpl
def on_event(event):
    note("on_event", event.type)


@hookimpl
def register_migrations():
    return FOLDER / "migrations"
"""
MIGRATION = '''
"""One table.

Revision: stranger_0001
"""

from alembic import op

revision = "stranger_0001"
down_revision = None
branch_labels = ("stranger",)
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TABLE stranger_things (id integer)")


def downgrade() -> None:
    op.execute("DROP TABLE stranger_things")
'''
PLAN = "epics: [{id: e, tasks: [{id: e.one, title: One, run: echo hello; echo 1 > one}]}]\n"


@pytest.fixture
def project(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a plan of one task, and the plugin beside it."""
    folder = tmp_path / "plugin"
    (folder / "migrations").mkdir(parents=True)
    (folder / "stranger.py").write_text(PLUGIN)
    (folder / "migrations" / "stranger_0001.py").write_text(MIGRATION)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("YOKE_PLUGINS", "stranger")
    monkeypatch.setenv("YOKE_DATABASE_URL", database_url)
    root = tmp_path / "root"
    root.mkdir()
    (root / ".yokeflow.yaml").write_text("agents: {default: shell, max_attempts: 1}\n")
    (root / "plan.yaml").write_text(PLAN)
    for args in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "Start"]):
        subprocess.run(["git", *args], cwd=root, check=True)
    return root


def run(project: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "yokeflow", "run"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


async def test_every_hook_is_called(project, tmp_path, database_url):
    done = run(project)
    assert done.returncode == 0, done.stderr
    notes = [json.loads(line) for line in (tmp_path / "plugin" / "notes").read_text().splitlines()]
    assert [note for note in notes if note[0] != "on_event"] == [
        ["reserve_budget", "e.one"],
        ["settle_budget", "e.one", "completed"],
        ["learn", "hello\n"],
    ]
    seen = [note[1] for note in notes if note[0] == "on_event"]
    assert (seen[0], seen[-1]) == ("run.started", "run.finished")
    (prompt,) = (project / ".git" / "yoke" / "sessions").glob("*/prompt.md")
    assert "Mind the gap." in prompt.read_text()
    async with connection(database_url) as opened:
        assert await opened.fetchval("SELECT count(*) FROM stranger_things") == 0


def test_accounts_that_cannot_be_settled_stop_the_run_by_name(project, tmp_path):
    source = tmp_path / "plugin" / "stranger.py"
    source.write_text(PLUGIN.replace('note("settle_budget", ', "print(1 / 0, "))
    done = run(project)
    assert done.returncode == 1
    assert "plugin stranger" in done.stderr + done.stdout
