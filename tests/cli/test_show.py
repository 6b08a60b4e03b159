"""What `yoke show` tells about a task and an epic, in the process that a person starts."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import click
import pytest

from yokeflow.cli.show import item_lines
from yokeflow.cli.words import moment

if TYPE_CHECKING:
    from pathlib import Path

PLAN = """
epics:
  - id: good
    title: Good
    tasks:
      - {id: good.one, title: One, run: seq 30; echo 1 > one, verify: [test -s one]}
"""


@pytest.fixture
def project(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose plan was run."""
    monkeypatch.setenv("YOKE_DATABASE_URL", database_url)
    (tmp_path / ".yokeflow.yaml").write_text("agents: {default: shell, max_attempts: 1}\n")
    (tmp_path / "plan.yaml").write_text(PLAN)
    for args in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "Start"]):
        subprocess.run(["git", *args], cwd=tmp_path, check=True)
    assert yoke(tmp_path, "run").returncode == 0
    return tmp_path


def yoke(project: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "yokeflow", *args]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def test_a_task_an_epic_and_what_is_not_there(project):
    shown = yoke(project, "show", "good.one").stdout
    assert "task of good, completed, cost $0.00" in shown
    assert "task: passed in" in shown
    assert "its last 20 lines" in shown
    assert "│ 30" in shown
    assert "│ 10\n" not in shown
    assert yoke(project, "show", "good.one", "--transcript").stdout.splitlines()[:2] == ["1", "2"]
    assert yoke(project, "show", "good.one", "--attempt", "1").stdout.count("\n") >= 30
    missing = yoke(project, "show", "good.one", "--attempt", "9")
    assert (missing.returncode, "has no attempt 9" in missing.stderr) == (2, True)
    assert "did you mean good.one?" in yoke(project, "show", "good.on").stderr
    epic = json.loads(yoke(project, "show", "good", "--json").stdout)
    assert (epic["kind"], epic["status"], epic["cost_usd"]) == ("epic", "completed", 0.0)
    assert epic["landings"][0]["status"] == "landed"
    assert "landed on main as" in yoke(project, "show", "good").stdout


def about(columns=None, **changes):
    data = {
        "id": "a.one",
        "title": "One",
        "kind": "task",
        "epic": "a",
        "status": "failed",
        "reason": "red",
        "cost_usd": 0.5,
        "unknown_costs": 0,
        "started": "2026-05-04T12:00:00+00:00",
        **dict.fromkeys(
            ("depends_on", "tasks", "sessions", "checks", "landings", "commits", "recorded", "interventions"),
            (),
        ),
    }
    return [click.unstyle(line) for line in item_lines({**data, **changes}, columns)]


def test_a_cost_is_told_as_far_as_it_is_known():
    assert about()[1] == "task of a, failed: red, cost $0.50"
    assert about(cost_usd=0.0)[1].endswith("cost $0.00")
    assert about(cost_usd=None)[1].endswith("cost none")
    assert about(cost_usd=None, unknown_costs=1)[1].endswith("cost unknown")
    assert about(unknown_costs=2)[1].endswith("cost $0.50 + unknown")
    session = {
        **dict.fromkeys(("agent", "model", "reason", "kept_ref"), ""),
        "state": "failed",
        "seconds": 3.0,
        "cost_usd": None,
        "finished": "then",
    }
    shown = about(sessions=[session, {**session, "cost_usd": 0.5, "kept_ref": "refs/yoke/keep/x"}])
    assert any(line.endswith("after 3.0 s, cost unknown") for line in shown)
    assert any(line.endswith("its work is kept at refs/yoke/keep/x") for line in shown)


def test_only_rows_of_tables_are_cut_and_only_where_the_terminal_is_narrow():
    tasks = [{"id": "a.one", "status": "failed", "commit": None, "title": "word " * 30}]
    for columns in (None, 60):
        shown = about(columns, kind="epic", reason="why " * 30, tasks=tasks, title="title " * 30)
        assert max(map(len, shown[:2])) > 120
        row = shown[shown.index("Tasks") + 1]
        assert row.endswith("…" if columns else "word")
        assert len(row) <= (columns or 200)


def test_what_failed_and_what_was_answered():
    check: dict[str, Any] = {
        "stage": "task",
        "passed": False,
        "exit_code": 2,
        "seconds": 1.0,
        "tree": "7" * 40,
        "environment": "0123456789abcdef",
        "flaky": False,
        "tries": 1,
        "log": "/logs/check-1.log",
        "at": "2026-01-02T03:04:05.6+00:00",
        "reused": None,
        "command": "x",
    }
    landing = {"status": "conflict", "target": "main", "commit": None, "files": ["a", "b"], "reason": "both"}
    asked = {"reason": "red", "choices": ["retry"], "resolved": None}
    shown = about(
        checks=[check],
        landings=[landing],
        interventions=[asked, {**asked, "reason": "old", "resolved": "then"}],
    )
    when = moment(check["at"])
    where = shown.index("  task: failed (2) in 1.0 s: x")
    on = f"    on tree 7777777, environment 01234567, {when}"
    assert shown[where + 1 : where + 3] == [on, "    log: /logs/check-1.log"]
    assert "  conflict on main in a, b: both" in shown
    assert "  red: yoke retry a.one" in shown
    assert not any("old" in line for line in shown)


def test_what_git_says_and_the_commands_to_finish_stay_on_lines_of_their_own():
    said, typed = "CONFLICT (content): f\nBy hand:", "  git merge main\n  # edit, then\n  git commit"
    reason = f"a conflicts with main in f\n{said}\n{typed}"
    asked = {"reason": reason, "choices": ["land"], "resolved": None}
    shown = about(id="a", kind="epic", epic="", interventions=[asked])
    assert shown[shown.index("Waits for you") + 1 :] == [
        "  a conflicts with main in f",
        "    CONFLICT (content): f",
        "    By hand:",
        "      git merge main",
        "      # edit, then",
        "      git commit",
        "    yoke land a",
    ]


def test_what_checks_proved_and_where_that_was_found():
    known: dict[str, Any] = {
        "item": "b.one",
        "attempt": 2,
        "at": "2026-01-02T03:04:05.6+00:00",
        "log": "/old.log",
    }
    check = {
        **dict.fromkeys(("exit_code", "seconds"), 0),
        "stage": "landing",
        "passed": True,
        "flaky": False,
        "tries": 0,
        "command": "x",
        "log": "",
        "tree": "7" * 40,
        "environment": "",
        "at": known["at"],
        "reused": known,
    }
    flaky = {**check, "flaky": True, "tries": 2, "seconds": 1, "log": "/first.log", "reused": None}
    worse = {**flaky, "passed": False, "exit_code": 1}
    shown = about(checks=[check, flaky, worse])
    when = moment(known["at"])
    on = f"    on tree 7777777, environment unknown, {when}"
    first = shown.index("Checks") + 1
    assert shown[first : first + 9] == [
        f"  landing: passed as known from attempt 2 at b.one, {when}: x",
        on,
        "    log: /old.log",
        "  landing: flaky, passed at try 2 in 1.0 s: x",
        on,
        "    log: /first.log",
        "  landing: flaky, failed (1) at try 2 in 1.0 s: x",
        on,
        "    log: /first.log",
    ]
