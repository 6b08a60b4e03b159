"""How a run is asked for things, and what must not end it: strange requests, a dead server, a closed pipe."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psutil
import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.engine import run as run_module
from yokeflow.engine.lock import hold_project
from yokeflow.engine.people.control import Control, request
from yokeflow.engine.recorder import Recorder
from yokeflow.engine.run import Run
from yokeflow.engine.selection import RunOptions
from yokeflow.errors import DiskFullError, ExitCode
from yokeflow.events import Event
from yokeflow.store import driver
from yokeflow.store import server as server_module
from yokeflow.store.cluster import Cluster
from yokeflow.store.drain import drain
from yokeflow.store.requests import kept_requests

if TYPE_CHECKING:
    from collections.abc import Callable


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not reached():
            await asyncio.sleep(0.02)


def asked(run: str, action: str, item: str = "") -> Event:
    return Event("control.requested", run=run, data={"action": action, "item": item, "by": "human:me"})


async def test_what_was_asked_while_the_run_was_starting_is_done(workshop: Workshop) -> None:
    """Of this run; what was asked of an earlier one is nobody's business any more."""
    workshop.plan(epic("one", task("one.a", "sleep 600"), task("one.b")))
    project = await workshop.project()
    run = Run(project, project.load_plan(), RunOptions(), workshop.events.append)
    project.journal.append(asked(str(uuid4()), "cancel"), asked(run.id, "skip", "one.a"))
    report = await asyncio.wait_for(run.execute(), 20)
    assert (report.state, report.completed) == ("completed", ("one.b",))


class _Busy:
    """A workflow that is at its end, or out of disk, for the first two requests."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.over = False
        self._errors: list[Exception] = [RuntimeError("TaskGroup is finished"), DiskFullError("no room")]

    def retry(self, item: str, *, by: str) -> str:
        if self._errors:
            raise self._errors.pop(0)
        self.done.append(f"{item} {by}")
        return ""


async def test_a_request_that_fails_is_told_and_the_next_one_heard(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a")))
    project = await workshop.project()
    events: list[Event] = []
    recorder = Recorder(str(uuid4()), project.journal, [events.append])
    workflow: Any = _Busy()
    async with (
        project.store() as (store, project_id),
        Control(project, store, project_id, workflow, recorder, project.load_plan()),
    ):
        for item in ("one.a", "one.a", "nothing", "one"):
            project.journal.append(asked(recorder.run, "retry", item))
        await drain(store, project_id, project.journal)
        await until(lambda: bool(workflow.done))
    assert workflow.done == ["one human:me"]
    told = [event.data["reason"] for event in events if event.type == "warning.raised"]
    assert told == [
        "could not retry one.a: the run was at its end",
        "could not retry nothing: the plan has no item nothing",
    ]


class _Refusing:
    """A workflow that is over, or in which nothing that is asked makes sense."""

    def __init__(self, *, over: bool) -> None:
        self.over = over

    def retry(self, item: str, *, by: str, take: str = "") -> str:
        return f"{item} is nothing for {by}{take}"


@pytest.mark.parametrize("over", [True, False])
@pytest.mark.parametrize("action", ["retry", "land"])
async def test_what_a_run_refuses_is_not_done_and_what_comes_too_late_is_for_the_next(
    workshop: Workshop, action: str, over: bool
) -> None:
    workshop.config(agents={"max_attempts": 1})
    workshop.plan(epic("one", task("one.a", "exit 1")))
    await workshop.run()
    project = await workshop.project()
    events: list[Event] = []
    recorder = Recorder(str(uuid4()), project.journal, [events.append])
    workflow: Any = _Refusing(over=over)
    item = "one.a" if action == "retry" else "one"
    asking = asked(recorder.run, action, item)
    asking = replace(asking, data={**asking.data, "confirm": True})
    async with project.store() as (store, project_id):
        control = Control(project, store, project_id, workflow, recorder, project.load_plan())
        project.journal.append(asking)
        await drain(store, project_id, project.journal)
        control.hear([asking])
        await drain(store, project_id, project.journal)
        async with store.begin() as connection:
            kept = await kept_requests(connection, project_id)
    outcomes = [(event.data["outcome"], event.data["reason"]) for event in events]
    assert outcomes == ([] if over else [("refused", f"{item} is nothing for human:me")])
    assert [request.id for request in kept] == ([asking.id] if over else [])


async def test_two_people_at_once_wait_for_each_other(workshop: Workshop) -> None:
    """Somebody else's request holds the project, and is not a run that could be asked."""
    workshop.config(agents={"max_attempts": 1})
    workshop.plan(epic("one", task("one.a"), task("one.b", "exit 1")))
    await workshop.run()
    project = await workshop.project()
    with hold_project(project.lock_file, ""):
        asking = asyncio.create_task(request(project, project.load_plan(), "skip", "one.b"))
        await asyncio.sleep(0.2)
        assert not asking.done()
    assert await asyncio.wait_for(asking, 20)
    assert (await workshop.states())["one.b"] == "cancelled"


def test_a_run_of_another_plan_can_be_asked(workshop: Workshop) -> None:
    """The configured plan does not even exist."""
    workshop.plan(
        epic("one", task("one.a", "sleep 600")),
        epic("two", task("two.a", "sleep 600")),
        epic("x", task("x.a")),
    )
    (workshop.root / "plan.yaml").rename(workshop.root / "other.yaml")
    workshop.write(".gitignore", "*.yaml\n")
    with workshop.start("run", "--plan", "other.yaml", "--max-concurrency", "1") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "one.a" in line and "started" in line:
                break
        for args in (("pause",), ("skip", "one.a"), ("resume",), ("skip", "nothing")):
            done = workshop.yoke(*args)
            assert (done.returncode, done.stderr) == (ExitCode.OK, ""), args
            assert "was asked to" in done.stdout
        for line in process.stdout:
            if "the plan has no item nothing" in line or "nothing has unfinished" in line:
                break
        assert workshop.yoke("cancel").returncode == ExitCode.OK
        process.stdout.read()
    assert process.returncode == ExitCode.INTERRUPTED
    done = workshop.yoke("skip", "two.a", "--plan", "other.yaml")
    assert (done.returncode, done.stderr) == (ExitCode.OK, "")
    assert workshop.yoke("cancel").returncode == ExitCode.USAGE


def test_nobody_reads_on_and_the_run_goes_on(workshop: Workshop) -> None:
    """`yoke run --json | head -1`"""
    workshop.plan(epic("one", task("one.a", "sleep 0.3; echo a > a"), task("one.b")))
    command = [sys.executable, "-m", "yokeflow", "run", "--json"]
    with subprocess.Popen(
        command, cwd=workshop.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert b"run.started" in process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == ExitCode.OK
    assert (workshop.root / "one.b.txt").exists()


def test_a_lost_terminal_does_not_end_the_run(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a", "sleep 0.5; echo a > a"), task("one.b")))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "yokeflow", "run"]
    with subprocess.Popen(
        command, cwd=workshop.root, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL
    ) as process:
        os.close(theirs)
        assert os.read(ours, 10)
        os.close(ours)
    assert process.returncode == ExitCode.OK
    assert (workshop.root / "one.b.txt").exists()


async def test_a_server_that_freezes_does_not_hang_the_run(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the middle and for the rest of the run, as by SIGSTOP."""
    monkeypatch.delenv("YOKE_DATABASE_URL")
    for module, name, seconds in (
        (driver, "ANSWER", 1.0),
        (driver, "_GOODBYE", 0.3),
        (server_module, "_CONNECT", 1.0),
        (run_module, "_LAST_DRAIN", 0.5),
    ):
        monkeypatch.setattr(module, name, seconds)
    go = workshop.root.parent / "go"
    workshop.plan(epic("one", task("one.a", f"until test -e {go}; do echo out; sleep 0.1; done; echo a > a")))
    project = await workshop.project()
    async with project.store():
        pass
    working = asyncio.create_task(
        Run(project, project.load_plan(), RunOptions(), workshop.events.append).execute()
    )
    await until(lambda: "session.output" in workshop.types())
    with ExitStack() as stack:
        pid = server_module._postmaster(Cluster.of_user())
        for process in (psutil.Process(pid), *psutil.Process(pid).children()):
            process.send_signal(signal.SIGSTOP)
            stack.callback(_go_on, process)
        await until(lambda: "store.lost" in workshop.types())
        go.touch()
        report = await asyncio.wait_for(working, 30)
    assert (report.state, report.completed) == ("completed", ("one.a",))
    assert (await workshop.states())["one.a"] == "completed", "the journal kept it"


def _go_on(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGCONT)
