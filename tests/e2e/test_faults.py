"""What the world does to a run: a second run, a lost database, a full disk, a person at the controls."""

from __future__ import annotations

import asyncio
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.config import Database
from yokeflow.engine.lock import holder
from yokeflow.engine.people.control import Action, request
from yokeflow.engine.run import Run
from yokeflow.engine.selection import RunOptions
from yokeflow.errors import ExitCode, ProjectBusyError, UsageError
from yokeflow.store import history
from yokeflow.store.server import ensure_server


async def test_of_two_runs_at_once_one_works_and_one_is_told(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a", "sleep 1; echo a > a.txt"), task("one.b")))
    first, second = await asyncio.gather(workshop.run(), workshop.run(), return_exceptions=True)
    results = Counter(type(result) for result in (first, second))
    assert results[ProjectBusyError] == 1
    assert workshop.git("rev-list", "--count", "--first-parent", "main") == "2"


async def test_the_database_dies_in_mid_run(
    workshop: Workshop, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes on, the server comes back, and the store knows everything."""
    monkeypatch.delenv("YOKE_DATABASE_URL")
    await asyncio.to_thread(ensure_server, Database())
    (pid_file,) = home.rglob("postmaster.pid")
    kill = f"kill -9 $(head -1 {pid_file}); echo x > killed.txt"
    workshop.plan(epic("one", task("one.a"), task("one.b", kill), task("one.c"), task("one.d")))
    report = await workshop.run()
    assert (report.exit_code, len(report.completed)) == (ExitCode.OK, 4)
    assert "store.lost" in workshop.types()
    states = await workshop.states()
    assert set(states.values()) == {"completed"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("only root can mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


async def test_a_full_disk_stops_the_run_and_loses_nothing(workshop: Workshop, small_disk: Path) -> None:
    root = small_disk / "shop"
    subprocess.run(["cp", "-a", str(workshop.root), str(root)], check=True)
    shop = Workshop(root)
    fill = f"cat /dev/zero > {small_disk}/fill; echo x > b.txt"
    shop.plan(
        epic("one", task("one.a"), task("one.b", f"test -e {root.parent}/go || {fill}; echo b > b.txt"))
    )
    report = await shop.run()
    assert report.exit_code is ExitCode.FAILED
    assert "no space is left" in report.reason or "No space left" in report.reason, report
    (small_disk / "fill").unlink()
    (small_disk / "go").touch()
    report = await shop.run()
    assert report.exit_code is ExitCode.OK, report
    assert (root / "b.txt").read_text() == "b\n"
    assert shop.git("fsck", "--connectivity-only") == ""
    shop.assert_tidy()


async def wait_for(workshop: Workshop, type_: str, task_: str = "") -> None:
    """Until an event of the type, of the task if one is named, was recorded."""
    async with asyncio.timeout(20):
        while not any(event.type == type_ and event.task == task_ for event in workshop.events):
            await asyncio.sleep(0.01)


async def test_a_person_retries_skips_and_cancels_while_it_runs(workshop: Workshop) -> None:
    workshop.config(agents={"max_attempts": 1})
    flag = workshop.root.parent / "flag"
    workshop.plan(
        epic("long", task("long.a", "sleep 600")),
        epic("bad", task("bad.a", f"test -e {flag} && echo a > a.txt")),
        epic("skipped", task("skipped.a", "exit 1"), task("skipped.b", depends_on=["skipped.a"])),
    )
    project = await workshop.project()
    plan = project.load_plan()
    run = Run(project, plan, RunOptions(), workshop.events.append)
    working = asyncio.create_task(run.execute())
    await wait_for(workshop, "task.failed", "bad.a")
    await wait_for(workshop, "task.failed", "skipped.a")
    assert holder(project.lock_file) is not None
    flag.touch()
    assert not await request(project, plan, "retry", "bad.a")
    assert not await request(project, plan, "skip", "skipped.a")
    await wait_for(workshop, "task.completed", "bad.a")
    await wait_for(workshop, "task.completed", "skipped.b")
    await request(project, plan, "cancel")
    report = await working
    assert (report.state, report.exit_code) == ("cancelled", ExitCode.INTERRUPTED)
    assert not report.failed
    states = await workshop.states()
    assert (states["skipped.a"], states["long.a"]) == ("cancelled", "pending")


async def test_skipping_a_running_task_stops_it_first(workshop: Workshop) -> None:
    """The lane is taken by the next task only when the session has let go of it."""
    workshop.plan(epic("one", task("one.a", "sleep 600"), task("one.b")))
    project = await workshop.project()
    plan = project.load_plan()
    working = asyncio.create_task(Run(project, plan, RunOptions(), workshop.events.append).execute())
    await wait_for(workshop, "session.started", "one.a")
    await request(project, plan, "skip", "one.a")
    report = await working
    assert (report.exit_code, report.completed) == (ExitCode.OK, ("one.b",))
    order = [event.type for event in workshop.events if event.task == "one.a"]
    assert order.index("session.finished") < order.index("task.skipped")
    assert (await workshop.states())["one.a"] == "cancelled"


async def test_a_request_that_makes_no_sense_is_refused(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a")))
    await workshop.run()
    project = await workshop.project()
    plan = project.load_plan()
    cases: tuple[tuple[Action, str, str], ...] = (
        ("retry", "one.a", "one.a is done"),
        ("skip", "one.a", "one.a is done"),
        ("land", "one", "one has landed"),
    )
    for action, item, why in cases:
        with pytest.raises(UsageError, match=why):
            await request(project, plan, action, item)
    with pytest.raises(UsageError, match="one has landed"):
        await workshop.run(land=("one",))


async def test_retrying_a_task_unblocks_those_behind_it(workshop: Workshop) -> None:
    workshop.config(agents={"max_attempts": 1})
    flag = workshop.root.parent / "flag"
    workshop.plan(
        epic("one", task("one.a", f"test -e {flag} && echo a > a"), task("one.b", depends_on=["one.a"]))
    )
    await workshop.run()
    assert (await workshop.states())["one.b"] == "blocked"
    flag.touch()
    project = await workshop.project()
    await request(project, project.load_plan(), "retry", "one.a")
    report = await workshop.run()
    assert report.completed == ("one.a", "one.b")
    ready = [event["task"] for event in workshop.of("task.ready")]
    assert ready == ["one.a", "one.b"]


async def test_a_paused_run_starts_nothing_until_it_goes_on(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a", "sleep 1; echo a > a.txt"), task("one.b")))
    project = await workshop.project()
    plan = project.load_plan()
    working = asyncio.create_task(Run(project, plan, RunOptions(), workshop.events.append).execute())
    await wait_for(workshop, "session.started", "one.a")
    await request(project, plan, "pause")
    await wait_for(workshop, "task.completed", "one.a")
    await asyncio.sleep(0.3)
    assert not working.done()
    assert len(workshop.of("session.started")) == 1
    await request(project, plan, "continue")
    assert (await working).exit_code is ExitCode.OK


async def test_requests_without_a_run_are_carried_out_at_once(workshop: Workshop) -> None:
    workshop.config(agents={"max_attempts": 1})
    workshop.plan(epic("one", task("one.a", "exit 1"), task("one.b", "exit 1")))
    await workshop.run()
    project = await workshop.project()
    plan = project.load_plan()
    assert await request(project, plan, "skip", "one.a")
    assert await request(project, plan, "retry", "one.b")
    states = await workshop.states()
    assert (states["one.a"], states["one.b"]) == ("cancelled", "pending")
    assert not (await workshop.status())["interventions"]
    with pytest.raises(UsageError, match="no run of this project"):
        await request(project, plan, "pause")
    with pytest.raises(UsageError, match="only epics land"):
        await request(project, plan, "land", "one.a")
    with pytest.raises(UsageError, match="no item nothing"):
        await request(project, plan, "retry", "nothing")


async def test_every_event_of_a_run_is_in_the_store_once_and_in_order(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a"), task("one.b")), epic("two", task("two.a")))
    report = await workshop.run()
    project = await workshop.project()
    async with project.store() as (store, project_id), store.begin() as connection:
        entries = await history.log(connection, project_id, run=report.run, limit=1000)
    assert [entry.event.id for entry in entries] == [event.id for event in workshop.events]
