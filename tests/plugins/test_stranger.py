"""A plugin of somebody else's: each hook that a run calls beside the work, in order and with its values."""

from __future__ import annotations

import json
import re
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

from yokeflow.config import Section
from yokeflow.hookspecs import hookimpl
from yokeflow.model import BudgetLeft, ModelChoice, Profile

FOLDER = Path(__file__).parent


def note(hook, *values):
    with (FOLDER / "notes").open("a") as file:
        file.write(json.dumps([hook, *values]) + "\\n")


class Taste(Section):
    '''What the stranger likes.'''

    model: str = "plain"
    '''The model it takes.'''


@hookimpl
def register_config():
    return {"taste": Taste}


@hookimpl
async def begin_run(plan, config, host):
    async with host.begin() as conn:
        await conn.exec_driver_sql("INSERT INTO stranger_things VALUES (7)")
    note("begin_run", list(plan.tasks), config.section(Taste).model)


@hookimpl
def select_profile(task, number):
    return Profile("guest", "it is new here", instructions="Wipe your feet.")


@hookimpl
def budget_left(attempt):
    note("budget_left", attempt.profile.name)
    return BudgetLeft("run", "usd", 10.0, 9.0)


@hookimpl
def select_model(attempt, budget, config):
    note("select_model", budget.used)
    return ModelChoice(config.section(Taste).model, "a matter of taste", details={"left": budget.fraction})


@hookimpl
async def reserve_budget(attempt, host):
    note("reserve_budget", attempt.task.id, attempt.model)
    host.emit("stranger.reserved", by="taste")
    return 0.5


@hookimpl
async def settle_budget(result):
    note("settle_budget", result.attempt.task.id, str(result.state))


@hookimpl
async def recall(attempt, host):
    note("recall", list(await host.tracked_files()))
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
    (root / ".yokeflow.yaml").write_text("agents: {default: shell, max_attempts: 1}\ntaste: {model: fine}\n")
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
        ["begin_run", ["e.one"], "fine"],
        ["budget_left", "guest"],
        ["select_model", 9.0],
        ["reserve_budget", "e.one", "fine"],
        ["recall", [".yokeflow.yaml", "plan.yaml"]],
        ["settle_budget", "e.one", "completed"],
        ["learn", "hello\n"],
    ]
    seen = [note[1] for note in notes if note[0] == "on_event"]
    assert (seen[0], seen[-1]) == ("run.started", "run.finished")
    (prompt,) = (project / ".git" / "yoke" / "sessions").glob("*/prompt.md")
    assert "Mind the gap." in prompt.read_text()
    assert "Wipe your feet." in prompt.read_text()
    async with connection(database_url) as opened:
        assert await opened.fetchval("SELECT sum(id) FROM stranger_things") == 7
        session = await opened.fetchrow("SELECT model, metadata FROM sessions")
        reserved = await opened.fetch("SELECT task, payload FROM events WHERE type = 'stranger.reserved'")
    assert session is not None
    assert session["model"] == "fine"
    told = json.loads(session["metadata"])
    assert (told["profile"], told["model_reason"]) == ("guest", "a matter of taste")
    assert told["reserved"] == {"usd": 0.5}
    assert [(row["task"], json.loads(row["payload"])) for row in reserved] == [("e.one", {"by": "taste"})]


def test_accounts_that_cannot_be_settled_stop_the_run_by_name(project, tmp_path):
    source = tmp_path / "plugin" / "stranger.py"
    source.write_text(PLUGIN.replace('note("settle_budget", ', "print(1 / 0, "))
    done = run(project)
    assert done.returncode == 1
    assert "plugin stranger" in done.stderr + done.stdout


FAULTS = {
    "raises": "    1 / 0\n",
    "hangs": "    time.sleep(60)\n",
    "answers nonsense": "    return 5\n",
    "leaves a transaction open": "    await host.begin().__aenter__()\n",
}
#: Hooks that fail closed and soft, with what they take and what is said of each fault.
CLOSED = {"select_model": "def select_model():", "reserve_budget": "async def reserve_budget(host):"}
SOFT = {"recall": "async def recall(host):"}
SAID = {
    "raises": "ZeroDivisionError",
    "hangs": "took longer than 0.2 s",
    "answers nonsense": "its answer is no",
    "leaves a transaction open": "it left a transaction open",
}


def spoil(project: Path, tmp_path: Path, head: str, fault: str) -> None:
    """Leave the plugin with one hook that has a fault."""
    hook = re.search(r"def (\w+)", head)
    assert hook
    text = f"import time\nfrom yokeflow.hookspecs import hookimpl\n\n\n@hookimpl\n{head}\n{FAULTS[fault]}"
    (tmp_path / "plugin" / "stranger.py").write_text(text)
    (project / ".yokeflow.yaml").write_text(
        f"agents: {{default: shell, max_attempts: 1}}\nplugins: {{timeouts: {{{hook[1]}: 0.2}}}}\n"
    )


@pytest.mark.parametrize(
    ("hook", "fault"),
    [
        ("select_model", "raises"),
        ("select_model", "hangs"),
        ("select_model", "answers nonsense"),
        ("reserve_budget", "leaves a transaction open"),
    ],
)
def test_a_decision_that_fails_ends_the_run_and_names_the_plugin(project, tmp_path, hook, fault):
    spoil(project, tmp_path, CLOSED[hook], fault)
    done = run(project)
    said = done.stderr + done.stdout
    assert done.returncode == 1, said
    assert f"plugin stranger: {hook}" in said
    assert SAID[fault] in said
    assert "plugins.disabled: [stranger]" in said


@pytest.mark.parametrize("fault", FAULTS)
def test_a_lesson_that_fails_costs_an_event_that_names_the_plugin(project, tmp_path, fault):
    spoil(project, tmp_path, SOFT["recall"], fault)
    done = run(project)
    assert done.returncode == 0, done.stderr
    journal = (project / ".git" / "yoke" / "journal.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in journal]
    (failed,) = [event for event in events if event.get("type") == "plugin.failed"]
    assert (failed["plugin"], failed["hook"], failed["task"]) == ("stranger", "recall", "e.one")
    assert SAID[fault] in failed["error"]
