"""Who runs when, and who runs beside whom, as the events of whole runs tell it."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.engine.people.control import request
from yokeflow.errors import ExitCode

#: What waits for others in vain ends soon, and is not tried again.
ONCE = {"max_attempts": 1, "timeout": "30s"}


def alone(folder: Path, name: str) -> str:
    """A command that fails when another with the same name runs at the same time."""
    lock = folder / name
    return f"mkdir {lock} || exit 9; sleep 0.15; rmdir {lock}; echo $YOKE_TASK > $YOKE_TASK.txt"


def meets(folder: Path, *tasks: str) -> str:
    """A command that ends only when all these tasks have started, as long as none of them has ended."""
    there = " && ".join(f"test -e {folder}/{name}" for name in tasks)
    return f"touch {folder}/$YOKE_TASK; until {there}; do sleep 0.05; done; echo 1 > $YOKE_TASK.txt"


def started(workshop: Workshop) -> list[str]:
    """Tasks in the order in which their sessions started."""
    return [event["task"] for event in workshop.of("session.started")]


async def test_priority_decides_between_equals_then_the_plan(workshop: Workshop) -> None:
    workshop.config(parallel={"max_concurrency": 1})
    order = {"c.normal": 5, "d.low": "low", "b.high": "high", "e.also-normal": 5, "a.first": 0}
    workshop.plan(*(epic(name[0], task(name, priority=priority)) for name, priority in order.items()))
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert started(workshop) == ["a.first", "b.high", "c.normal", "e.also-normal", "d.low"]


async def test_the_longest_way_to_the_end_goes_before_priority(workshop: Workshop) -> None:
    workshop.config(parallel={"max_concurrency": 1})
    workshop.plan(
        epic("urgent", task("urgent.a", priority=0, estimate="10m")),
        epic("long", task("long.a", estimate="5m"), task("long.b", estimate="30m", depends_on=["long.a"])),
        epic("short", task("short.a", estimate="1m")),
    )
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert started(workshop) == ["long.a", "long.b", "urgent.a", "short.a"]


async def test_a_soft_dependency_orders_but_does_not_wait(workshop: Workshop) -> None:
    workshop.config(parallel={"max_concurrency": 1}, agents=ONCE)
    soft = {"task": "last.a", "type": "soft"}
    workshop.plan(
        epic("first", task("first.a", priority=0, depends_on=[soft])),
        epic("last", task("last.a", "exit 1", priority=9)),
    )
    report = await workshop.run()
    assert started(workshop) == ["last.a", "first.a"]
    assert (report.completed, list(report.failed)) == (("first.a",), ["last.a"])


async def test_tasks_that_conflict_never_meet_and_others_do(workshop: Workshop, tmp_path: Path) -> None:
    workshop.config(parallel={"max_concurrency": 4}, agents=ONCE)
    workshop.plan(
        epic("a", task("a.1", alone(tmp_path, "lock"), conflicts_with=["b.1", "c.1"])),
        epic("b", task("b.1", alone(tmp_path, "lock"))),
        epic("c", task("c.1", alone(tmp_path, "lock"), conflicts_with=["b.1"])),
        epic("d", task("d.1", meets(tmp_path, "d.1", "e.1"))),
        epic("e", task("e.1", meets(tmp_path, "d.1", "e.1"))),
    )
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, dict(report.failed)


async def test_tasks_that_own_the_same_files_never_meet(workshop: Workshop, tmp_path: Path) -> None:
    """In lanes of their own and in different epics, with globs that overlap without being equal."""
    workshop.config(parallel={"max_concurrency": 4, "strategy": "by_task"}, agents=ONCE)
    lock, meet = alone(tmp_path, "lock"), meets(tmp_path, "a.3", "b.2")
    workshop.plan(
        epic("a", task("a.1", lock, files=["src/**/*.py"]), task("a.2", lock, files=["src/app/main.py"])),
        epic("b", task("b.1", lock, files=["src/app/"]), task("b.2", meet, files=["docs/*.md"])),
        epic("c", task("a.3", meet, files=["web/**"])),
    )
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, dict(report.failed)


async def test_an_agent_has_no_more_sessions_than_it_allows(workshop: Workshop, tmp_path: Path) -> None:
    """The slots it may not take go to other agents meanwhile."""
    options = {"lonely": {"kind": "shell", "max_sessions": 1}}
    workshop.config(parallel={"max_concurrency": 4}, agents={**ONCE, "options": options})
    lonely = [epic(f"l{n}", task(f"l{n}.t", alone(tmp_path, "lock"), agent="lonely")) for n in range(4)]
    meet = meets(tmp_path, *(f"s{n}.t" for n in range(3)))
    workshop.plan(*lonely, *(epic(f"s{n}", task(f"s{n}.t", meet)) for n in range(3)))
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, dict(report.failed)
    agents = {event["task"]: event["agent"] for event in workshop.of("session.started")}
    assert (agents["l0.t"], agents["s0.t"]) == ("lonely", "shell")


async def test_one_after_another_on_request(workshop: Workshop, tmp_path: Path) -> None:
    workshop.config(parallel={"max_concurrency": 8, "strategy": "by_task"}, agents=ONCE)
    epics = [epic(f"e{n}", *(task(f"e{n}.{m}", alone(tmp_path, "lock")) for m in range(2))) for n in range(3)]
    workshop.plan(*epics)
    report = await workshop.run(overrides={"parallel.enabled": False})
    assert report.exit_code is ExitCode.OK, dict(report.failed)
    assert len(report.completed) == 6


async def test_half_an_epic_is_enough_to_work_but_not_to_land(workshop: Workshop) -> None:
    """The other half fails later: what was built on the first half is done, and waits with its branch."""
    flag = workshop.root.parent / "flag"
    workshop.config(agents=ONCE)
    workshop.plan(
        epic("base", task("base.a"), task("base.b", f"test -e {flag} && echo b > b", depends_on=["base.a"])),
        epic("top", task("top.a", "cat base.a.txt > top.a.txt", depends_on=["base.a"])),
        epic("all", task("all.a"), depends_on=["base"]),
        epic("free", task("free.a")),
    )
    report = await workshop.run()
    assert report.exit_code is ExitCode.FAILED
    assert sorted(report.completed) == ["base.a", "free.a", "top.a"]
    assert [landed.epic for landed in report.landed] == ["free"]
    assert (list(report.failed), dict(report.blocked)) == (["base.b"], {"all.a": ("base.b",)})
    assert {"epic/base", "epic/top"} <= set(workshop.branches())
    assert "base.a.txt" not in workshop.git("ls-tree", "--name-only", "main")
    flag.touch()
    await retry(workshop, "base.b")
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, (report.failed, report.waiting)
    assert [landed.epic for landed in report.landed] == ["base", "top", "all"]
    workshop.assert_tidy()


async def retry(workshop: Workshop, item: str) -> None:
    """What `yoke retry ITEM` does while nothing runs."""
    project = await workshop.project()
    assert await request(project, project.load_plan(), "retry", item)
