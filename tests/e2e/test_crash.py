"""A crash at any instant costs at most the attempts that were in flight."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import subprocess
from collections import Counter
from contextlib import suppress

import psutil
import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.engine.lock import holder
from yokeflow.errors import ExitCode
from yokeflow.store import history

KILLS = 4


def twelve_tasks(workshop: Workshop) -> None:
    """Four epics of three tasks with edges between them; about two seconds of work."""
    epics = []
    for number, name in enumerate("abcd"):
        tasks = [
            task(
                f"{name}.{n}",
                f"sleep 0.{(n * 3 + number) % 4}; echo {name}.{n} >> {name}.{n}.txt",
                verify=[f"test $(wc -l < {name}.{n}.txt) -eq 1"],
                depends_on=[f"{name}.{n - 1}"] if n else [],
            )
            for n in range(3)
        ]
        epics.append(epic(name, *tasks))
    epics[1]["tasks"][1]["depends_on"].append("a.0")
    epics[2]["tasks"][0]["depends_on"].append("b.0")
    epics[3]["depends_on"] = ["a"]
    workshop.plan(*epics)


async def completed_tasks(workshop: Workshop) -> Counter[str]:
    project = await workshop.project()
    async with project.store() as (store, project_id), store.begin() as connection:
        entries = await history.log(connection, project_id, type="task.completed", limit=1000)
    return Counter(entry.event.task for entry in entries)


def assert_done_once(workshop: Workshop) -> None:
    names = [f"{name}.{n}" for name in "abcd" for n in range(3)]
    for name in names:
        assert workshop.git("show", f"main:{name}.txt") == name
    trailers = workshop.git("log", "--format=%(trailers:key=Yoke-Task,valueonly,separator=%x2C)", "main")
    assert Counter(trailers.split()) == Counter(names)
    landings = workshop.git("log", "--first-parent", "--format=%(trailers:key=Yoke-Epic,valueonly)", "main")
    assert sorted(landings.split()) == list("abcd")


@pytest.mark.slow
@pytest.mark.timeout(110)
@pytest.mark.parametrize("seed", range(6))
async def test_kill_9_of_the_orchestrator_at_random_moments(workshop: Workshop, seed: int) -> None:
    """Histories with four kills each, some of them while an earlier crash is put right. Torture has more."""
    chance = random.Random(seed)
    twelve_tasks(workshop)
    if seed % 2:
        workshop.config(parallel={"strategy": "by_task"})
    workshop.write("README.md", "# My own edit\n")
    workshop.write("notes.txt", "untracked\n")
    for _ in range(KILLS):
        process = workshop.start("run")
        with suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0.4, 2.6))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, report
    assert_done_once(workshop)
    assert set((await completed_tasks(workshop)).values()) == {1}
    workshop.assert_tidy()
    assert workshop.git("status", "--porcelain").splitlines() == [" M README.md", "?? notes.txt"]
    assert holder(workshop.root / ".git/yoke/run.lock") is None
    locks = [lock for lock in (workshop.root / ".git").rglob("*.lock") if lock.parent.name != "yoke"]
    assert not locks
    assert not workshop.processes()


async def test_agents_die_with_the_orchestrator(workshop: Workshop) -> None:
    """Money stops being spent at the moment of the crash, not at the next start."""
    workshop.plan(epic("one", task("one.a", "echo $$ > ../../pid; sleep 600")))
    process = workshop.start("run")
    pid_file = workshop.root / "pid"
    for _ in range(200):
        await asyncio.sleep(0.05)
        if pid_file.exists() and pid_file.read_text().strip():
            break
    agent = psutil.Process(int(pid_file.read_text()))
    process.kill()
    process.communicate()
    assert not psutil.wait_procs([agent], timeout=5)[1]
    pid_file.unlink()


async def test_first_interrupt_stops_cleanly_and_the_next_run_goes_on(workshop: Workshop) -> None:
    workshop.plan(
        epic("one", task("one.a"), task("one.b", "test -e ../../go && echo b > b.txt || sleep 600"))
    )
    process = workshop.start("run")
    journal = workshop.root / ".git/yoke/journal.jsonl"
    started = re.compile(r'"type":"session.started"[^\n]*"task":"one.b"')
    async with asyncio.timeout(20):
        while not (journal.exists() and started.search(journal.read_text())):
            await asyncio.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == ExitCode.INTERRUPTED, output
    assert not workshop.processes()
    states = await workshop.states()
    assert (states["one.a"], states["one.b"]) == ("completed", "pending")
    (workshop.root / "go").touch()
    report = await workshop.run()
    assert (report.exit_code, report.completed) == (ExitCode.OK, ("one.b",))
    (workshop.root / "go").unlink()
    assert set((await completed_tasks(workshop)).values()) == {1}
