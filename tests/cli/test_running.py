"""`yoke run` as a process: what it prints, and how people stop, pause and answer it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SETTINGS = "agents: {default: shell, max_attempts: 1, grace: 1s}\n"
PLAN = """
epics:
  - id: good
    tasks:
      - {id: good.one, title: One, run: echo working; echo 1 > one}
  - id: bad
    tasks:
      - {id: bad.one, title: Bad, run: echo 1 > bad; exit 3}
      - {id: bad.two, title: Two, run: echo 2 > two, depends_on: [bad.one]}
"""
CONFLICT = """
epics:
  - id: one
    tasks:
      - {id: one.a, run: 'until git rev-parse -q --verify epic/three^; do sleep 0.1; done; echo one > f'}
  - id: two
    tasks:
      - {id: two.a, run: 'until git rev-parse -q --verify main^; do sleep 0.1; done; echo two > f'}
  - id: three
    tasks:
      - {id: three.a, run: echo 3 > g}
      - {id: three.b, run: echo 3 > h, depends_on: [three.a, two.a]}
  - id: bad
    tasks:
      - {id: bad.one, run: "echo out; echo to stderr >&2; exit 3"}
"""
SLOW = """
epics:
  - id: slow
    tasks:
      - {id: slow.one, title: One, run: echo begun; sleep 60}
"""
QUEUE = """
epics:
  - id: queue
    tasks:
      - {id: queue.one, title: One, run: while ! test -e GO; do sleep 0.1; done; echo 1 > one}
      - {id: queue.two, title: Two, run: echo 2 > two}
"""


@pytest.fixture
def project(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit."""
    monkeypatch.setenv("YOKE_DATABASE_URL", database_url)
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")
    (tmp_path / ".yokeflow.yaml").write_text(SETTINGS)
    for args in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "Start"]):
        subprocess.run(["git", *args], cwd=tmp_path, check=True)
    return tmp_path


def yoke(project: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "yokeflow", *args]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


@contextmanager
def running(project: Path, plan: str, *args: str) -> Iterator[subprocess.Popen[str]]:
    (project / "plan.yaml").write_text(plan)
    command = [sys.executable, "-m", "yokeflow", "run", *args]
    process = subprocess.Popen(
        command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(process: subprocess.Popen[str], part: str) -> str:
    """Read lines until one has `part`."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if part in line:
            return line
    raise AssertionError("".join(seen))


def test_a_failure_is_reported_answered_and_retried(project):
    (project / "plan.yaml").write_text(PLAN)
    done = yoke(project, "run")
    assert done.returncode == 1, done.stderr
    assert "good.one: | working" in done.stdout
    assert "yoke retry bad.one" in done.stdout
    assert "1 of 3 tasks, 1 of 2 epics landed" in done.stdout
    asked = json.loads(yoke(project, "attention", "--json").stdout)
    assert [(entry["item"], entry["choices"]) for entry in asked] == [("bad.one", ["retry", "skip"])]
    assert "yoke skip bad.one" in yoke(project, "attention").stdout
    assert "waits for" in yoke(project, "status").stdout
    shown = yoke(project, "show", "bad.one").stdout
    assert "1. shell failed" in shown
    assert "yoke retry bad.one or yoke skip bad.one" in shown
    assert "bad.one is left out" in yoke(project, "skip", "bad.one").stdout
    again = yoke(project, "resume")
    assert again.returncode == 0, again.stdout
    assert "✔ completed" in again.stdout
    logged = yoke(project, "log", "--item", "bad.one", "--json", "-n", "500").stdout.splitlines()
    types = [json.loads(line)["type"] for line in logged]
    assert types.count("session.started") == 1
    assert "task.skipped" in types
    assert "bad.one: skipped" in yoke(project, "log").stdout


@pytest.mark.slow
def test_a_conflict_is_merged_by_hand_and_landed_although_something_else_failed(project):
    (project / "plan.yaml").write_text(CONFLICT)
    first = yoke(project, "run").stdout
    for told in (first, yoke(project, "run").stdout):
        assert f"git -C {project}/.worktrees/two merge main" in told
        assert re.search(r"✘ two +1/1 tasks done, conflict", told)
        assert re.search(r"○ three +2/2 tasks done, waits for two to land", told)
    assert "bad.one: | to stderr" in first
    seen = yoke(project, "status").stdout
    assert re.search(r"✘ two .* conflict: f  1/1", seen)
    assert re.search(r"◌ three .*queued to land, after two  2/2", seen)
    told = json.loads(yoke(project, "status", "--json").stdout)["landings"]
    landings = {entry["epic"]: entry for entry in told}
    assert landings["three"]["waits_for"] == ["two"]
    assert f"git -C {project}/.worktrees/two merge main" in yoke(project, "attention").stdout
    lane = project / ".worktrees" / "two"
    subprocess.run(["git", "merge", "main"], cwd=lane, check=False, capture_output=True)
    (lane / "f").write_text("both\n")
    subprocess.run(["git", "commit", "-q", "-a", "-m", "Merge"], cwd=lane, check=True)
    landed = yoke(project, "land", "two")
    assert landed.returncode == 0, landed.stdout
    assert "✔ completed" in landed.stdout
    assert yoke(project, "run").returncode == 1, "bad.one still waits for a person"
    assert "bad.one is left out" in yoke(project, "skip", "bad.one").stdout
    logged = yoke(project, "log").stdout
    assert "two: answered with land by" in logged
    assert "bad.one: answered with skip by" in logged
    assert re.search(r"bad\.one: skipped by \S+$", logged, re.MULTILINE)
    idle = yoke(project, "run")
    assert idle.returncode == 0
    assert "✔ everything was done already: 5 tasks, 3 epics landed before" in idle.stdout


def test_a_plan_that_is_not_there_can_be_made(project):
    missing = yoke(project, "run")
    assert missing.returncode == 2
    hint = missing.stderr.splitlines()[-1]
    assert "yoke init" in hint
    assert "--plan FILE" in hint


def test_json_is_one_event_a_line_and_nothing_else(project):
    (project / "plan.yaml").write_text(PLAN)
    done = yoke(project, "run", "--json", "--epic", "good")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert events[0]["type"] == "run.started"
    assert events[-1]["type"] == "run.finished"
    assert {event["epic"] for event in events if "epic" in event} == {"good"}


def test_a_dry_run_shows_the_tasks_and_starts_none(project):
    (project / "plan.yaml").write_text(PLAN)
    seen = json.loads(yoke(project, "run", "--dry-run", "--json", "--max-concurrency", "7").stdout)
    assert [task["id"] for task in seen["tasks"]] == ["bad.one", "good.one", "bad.two"]
    assert seen["concurrency"] == 7
    assert seen["tasks"][2]["waits_for"] == ["bad.one"]
    text = yoke(project, "run", "--dry-run", "--task", "bad.two").stdout
    assert "bad.two" in text
    assert "good.one" not in text
    assert not (project / ".worktrees").exists()


def test_what_the_plan_does_not_have_is_refused(project):
    (project / "plan.yaml").write_text(PLAN)
    for args in (["run", "--epic", "none"], ["retry", "none"], ["show", "goood.one"], ["land", "good.one"]):
        done = yoke(project, *args)
        assert done.returncode == 2, args
        assert done.stderr.startswith("error: "), args
        assert "hint: " in done.stderr, args


def test_there_is_nothing_to_resume_before_the_first_run(project):
    (project / "plan.yaml").write_text(PLAN)
    done = yoke(project, "resume")
    assert done.returncode == 2
    assert "yoke run" in done.stderr


def test_an_interrupt_stops_cleanly(project):
    with running(project, SLOW) as process:
        until(process, "| begun")
        process.send_signal(signal.SIGINT)
        until(process, "cancelled: stopped by a person")
        until(process, "yoke resume")
        assert process.wait(20) == 130


def test_two_interrupts_kill(project):
    stubborn = SLOW.replace("echo begun", 'trap "" TERM; echo begun')
    (project / ".yokeflow.yaml").write_text(SETTINGS.replace("grace: 1s", "grace: 50s"))
    with running(project, stubborn) as process:
        until(process, "| begun")
        process.send_signal(signal.SIGINT)
        until(process, "^C again kills")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


def test_a_paused_run_starts_nothing_until_it_is_resumed(project):
    with running(project, QUEUE) as process:
        until(process, "queue.one: shell started")
        assert "asked to pause" in yoke(project, "pause").stdout
        until(process, "run: paused")
        (project / ".worktrees" / "queue" / "GO").touch()
        until(process, "queue.one: completed")
        assert "asked to start tasks again" in yoke(project, "resume").stdout
        until(process, "run: continued")
        until(process, "queue.two: shell started")
        assert "asked to cancel" in yoke(project, "cancel").stdout or process.poll() is not None
        assert process.wait(20) in (0, 130)


def test_the_live_view_is_shown_on_a_terminal(project):
    (project / "plan.yaml").write_text(PLAN)
    master, slave = os.openpty()
    command = [sys.executable, "-m", "yokeflow", "run", "--epic", "good"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "90", "LINES": "24"}
    with subprocess.Popen(command, cwd=project, stdin=slave, stdout=slave, env=environment):
        os.close(slave)
        shown = b""
        while True:
            try:
                shown += os.read(master, 65536)
            except OSError:
                break
    os.close(master)
    text = re.sub(r"\x1b\[[0-9;]*m", "", shown.decode())
    live, _, report = text.partition("\x1b[?1049l")
    assert "onto main" in live
    assert "good.one" in live
    assert "Landed on main" in report
