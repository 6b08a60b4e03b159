"""`yoke attention`: what waits for a person, what that holds up, and every way to answer."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from yokeflow.engine.people.consequence import Held, consequences

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLAN = """
epics:
  - id: first
    approve: after
    tasks:
      - {id: first.a, title: A, run: echo a > a}
  - id: second
    tasks:
      - {id: second.a, title: A, run: echo 2 > b, approve: before}
      - {id: second.b, title: B, run: echo 2 > c, depends_on: [second.a]}
      - {id: second.c, title: C, run: 'test -e told || { printf "Which one?\\nThis?" > $YOKE_QUESTION; }'}
  - id: third
    depends_on: [second.a]
    tasks:
      - {id: third.a, title: A, run: echo 3 > d}
"""
LIVE = """
epics:
  - id: one
    tasks:
      - {id: one.a, title: A, run: echo a > a, approve: before}
  - id: two
    tasks:
      - {id: two.a, title: A, run: 'until git rev-parse -q --verify main^; do sleep 0.05; done; echo b > b'}
"""


@pytest.fixture
def project(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit."""
    monkeypatch.setenv("YOKE_DATABASE_URL", database_url)
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    (tmp_path / ".yokeflow.yaml").write_text("agents: {default: shell, max_attempts: 1, grace: 1s}\n")
    for args in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "Start"]):
        subprocess.run(["git", *args], cwd=tmp_path, check=True)
    return tmp_path


def yoke(project: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "yokeflow", *args]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=100)


@contextmanager
def running(project: Path, plan: str) -> Iterator[subprocess.Popen[str]]:
    (project / "plan.yaml").write_text(plan)
    command = [sys.executable, "-m", "yokeflow", "run", "--json"]
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_what_waits_is_listed_with_its_consequence_and_its_answers(project, here):
    (project / "plan.yaml").write_text(PLAN)
    done = yoke(project, "run")
    assert done.returncode == 1, done.stderr
    assert "yoke attention answer second.a approve" in done.stdout
    listed = json.loads(here(project, "attention", "--json").stdout)
    assert [(entry["item"], entry["kind"]) for entry in listed] == [
        ("second.a", "approval"),
        ("second.c", "question"),
        ("first", "approval"),
    ], "what holds up most comes first"
    assert listed[0]["waiting"] == {
        "tasks": ["second.a", "second.b", "third.a"],
        "landings": ["second", "third"],
    }
    assert all(entry["age_seconds"] >= 0 for entry in listed)
    told = here(project, "attention").stdout
    assert "3 tasks and 2 landings wait" in told
    assert "1 task and 2 landings wait" in told
    assert "; 1 landing waits" in told
    assert "Which one?" in told
    assert "│ This?" in told
    for command in (
        "yoke attention answer second.a reject --text '…'",
        "yoke attention answer second.c --text '…'",
        "yoke skip second.c",
        "yoke attention answer first approve",
    ):
        assert command in told
    assert "waits for you" in here(project, "status").stdout

    wrong = here(project, "attention", "answer", "second.a", "land")
    assert (wrong.returncode, wrong.stderr.splitlines()) == (
        2,
        ["error: second.a cannot be answered with land", "hint: say approve or reject"],
    )
    assert "how do you answer about second.a?" in here(project, "attention", "answer", "second.a").stderr
    assert "has no text" in here(project, "attention", "answer", "second.c", "answer").stderr
    mute = here(project, "attention", "answer", "second.a", "reject")
    assert (mute.returncode, mute.stderr.splitlines()) == (
        2,
        ["error: nobody would know why second.a is rejected", "hint: say it with --text '…'"],
    )
    assert "nothing is asked about third.a" in here(project, "attention", "answer", "third.a").stderr

    assert "second.a is approved" in here(project, "attention", "answer", "second.a", "approve").stdout
    twice = here(project, "attention", "answer", "second.a", "reject")
    assert twice.returncode == 2
    assert "any more: human:" in twice.stderr
    assert "answered approve" in twice.stderr
    by_id = here(project, "attention", "answer", listed[1]["id"][:8], "skip")
    assert "second.c is left out" in by_id.stdout, by_id.stderr
    assert here(project, "attention", "answer", "first", "approve").returncode == 0
    assert yoke(project, "run").returncode == 0
    assert here(project, "attention").stdout == "Nothing waits for you.\n"


def test_a_run_that_goes_on_acts_on_an_answer_at_once(project):
    with running(project, LIVE) as run:
        assert run.stdout is not None
        for line in run.stdout:
            if json.loads(line)["type"] == "intervention.opened":
                break
        told = yoke(project, "attention", "answer", "one.a", "approve")
        assert "one.a is approved; the run that is going on knows" in told.stdout, told.stderr
        events = [json.loads(line) for line in run.stdout]
        assert run.wait() == 0
    assert [event["epic"] for event in events if event["type"] == "landing.landed"] == ["one", "two"]


def test_what_a_person_says_is_kept_without_secrets(project):
    (project / "plan.yaml").write_text(PLAN)
    yoke(project, "run")
    key = "sk_" + "live_abcdefghijklmnop"
    assert yoke(project, "attention", "answer", "second.c", "--text", f"Use {key}.").returncode == 0
    journal = (project / ".git/yoke/journal.jsonl").read_text()
    assert "Use [redacted]" in journal
    assert key not in journal


def items(**waits_for: list[str]) -> list[dict[str, Any]]:
    tasks = {name.replace("_", "."): before for name, before in waits_for.items()}
    epics = dict.fromkeys(name.partition(".")[0] for name in tasks)
    return [
        {"id": name, "kind": "epic", "epic": None, "status": "pending", "waits_for": []} for name in epics
    ] + [
        {"id": name, "kind": "task", "epic": name.partition(".")[0], "status": "pending", "waits_for": before}
        for name, before in tasks.items()
    ]


def test_consequences_follow_tasks_epics_and_landings():
    state = {
        "items": items(a_1=[], a_2=["a.1"], b_1=["a"], c_1=[], d_1=["b.1"]),
        "landings": [{"epic": "e", "status": "landed"}],
        "interventions": [{"id": "x", "item": "a.2"}, {"id": "y", "item": "c"}, {"id": "z", "item": None}],
    }
    found = consequences(state, [("b", "a"), ("d", "b"), ("a", "c"), ("e", "a")])
    assert found["x"] == Held(("a.2", "b.1", "d.1"), ("a", "b", "d"))
    assert found["y"] == Held(("c.1",), ("a", "b", "c", "d"))
    assert "z" not in found
