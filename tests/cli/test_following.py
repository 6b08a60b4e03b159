"""`yoke log --follow` and `yoke status --watch` as processes beside a run that comes and ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLAN = """
epics:
  - id: good
    tasks:
      - {id: good.one, title: One, run: echo 1 > one}
"""


@pytest.fixture
def project(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a plan of one task."""
    monkeypatch.setenv("YOKE_DATABASE_URL", database_url)
    (tmp_path / ".yokeflow.yaml").write_text("agents: {default: shell, grace: 1s}\n")
    (tmp_path / "plan.yaml").write_text(PLAN)
    for args in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "Start"]):
        subprocess.run(["git", *args], cwd=tmp_path, check=True)
    return tmp_path


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "yokeflow", *args]


def run(project: Path) -> None:
    subprocess.run(command("run"), cwd=project, capture_output=True, check=True)


@contextmanager
def following(project: Path, *args: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command(*args), cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def objects(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """The indented JSON objects that a process prints, one after another."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line == "}\n":
            yield json.loads("".join(lines))
            lines = []


def test_the_log_is_followed_through_a_run_until_it_is_interrupted(project):
    run(project)
    with following(project, "log", "--follow", "--json", "-n", "1") as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["type"] == "run.finished"
        run(project)
        types = []
        for line in process.stdout:
            types.append(json.loads(line)["type"])
            if types[-1] == "run.finished":
                break
        assert types[-1] == "run.finished"
        assert "run.started" in types
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


def test_the_log_ends_when_nobody_reads_it_any_more(project):
    run(project)
    with following(project, "log", "--follow", "-n", "1") as process:
        assert process.stdout is not None
        assert "run" in process.stdout.readline()
        process.stdout.close()
        run(project)
        assert process.wait(20) == 1
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_the_status_is_shown_again_for_what_happens(project):
    with following(project, "status", "--watch", "--json") as process:
        seen = objects(process)
        assert next(seen)["run"] is None
        run(project)
        last = next(state for state in seen if state["run"] and state["landings"])
        while last["run"]["state"] != "completed":
            last = next(seen)
        assert {item["status"] for item in last["items"]} == {"completed"}
        assert last["landings"][0]["status"] == "landed"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130


def test_on_a_terminal_the_status_is_painted_over_itself(project):
    master, slave = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "90", "LINES": "24", "NO_COLOR": "1"}
    with subprocess.Popen(
        command("status", "--watch"), cwd=project, stdin=slave, stdout=slave, stderr=slave, env=environment
    ) as process:
        os.close(slave)
        shown = read_until(master, b"nothing was run yet")
        run(project)
        shown += read_until(master, b"run completed")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    os.close(master)
    assert shown.count(b"\x1b[H") >= 2
    assert b"1 of 1 task done, 1 epic landed" in shown


def read_until(terminal: int, part: bytes) -> bytes:
    shown = b""
    while part not in shown or not shown.endswith(b"\x1b[J"):
        shown += os.read(terminal, 65536)
    return shown


@pytest.mark.parametrize(
    ("asked", "what"),
    [(("--item", "nope"), "nope"), (("--operations", "--run", "ab12"), "run ab12")],
)
def test_nothing_about_what_may_not_exist_is_told(project, asked, what):
    run(project)
    with following(project, "log", *asked) as process:
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert f"nothing is recorded of {what}" in process.stderr.read()
