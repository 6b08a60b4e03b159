"""Conflicts are known before they happen: recorded, shown, told to agents, and heeded by the scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import Workshop, epic, task, wait_for
from yokeflow.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path


def foreseen(workshop: Workshop) -> list[dict[str, Any]]:
    return workshop.of("forecast.conflicted")


def prompts(workshop: Workshop) -> dict[str, str]:
    """What each task's agent was told in its last attempt."""
    folder = workshop.root / ".git/yoke/sessions"
    started = {event["task"]: event["session"] for event in workshop.of("session.started")}
    return {name: (folder / session / "prompt.md").read_text() for name, session in started.items()}


def meetings(workshop: Workshop) -> set[frozenset[str]]:
    """Pairs of tasks that ran at the same time."""
    running: list[str] = []
    met: set[frozenset[str]] = set()
    for event in workshop.events:
        if event.type == "session.started":
            met |= {frozenset((event.task, other)) for other in running}
            running.append(event.task)
        elif event.type == "session.finished":
            running.remove(event.task)
    return met


async def test_a_conflict_is_recorded_told_and_kept_apart(workshop: Workshop) -> None:
    """Two epics change one file; their next tasks are told, and do not run side by side."""
    workshop.write("same.txt", "base\n")
    workshop.commit()
    seen = "forecast.conflicted"
    workshop.plan(
        epic("one", task("one.a", "echo one > same.txt"), task("one.b", depends_on=["one.a", "gate.a"])),
        epic("two", task("two.a", "echo two > same.txt"), task("two.b", depends_on=["two.a", "gate.a"])),
        epic("gate", task("gate.a", wait_for(workshop, seen, then="echo gate > gate.txt"))),
    )
    report = await workshop.run()
    assert report.exit_code is ExitCode.FAILED
    found = foreseen(workshop)[0]
    assert (found["epic"], found["with_epic"], found["files"]) == ("one", "two", ["same.txt"])
    assert found["tasks"] == {"one": ["one.a"], "two": ["two.a"]}
    assert found["new"] == ["same.txt"]
    assert frozenset(("one.b", "two.b")) not in meetings(workshop)
    told = prompts(workshop)
    assert "conflict ahead" not in told["one.a"] + told["two.a"]
    for name, other in (("one.b", "two"), ("two.b", "one")):
        assert f"## A conflict ahead: `{other}`" in told[name]
        assert "- `same.txt`" in told[name]
        assert f"- `{other}.a`: Do {other}.a" in told[name]
        assert "@@ -1 +1 @@" in told[name]
        assert f"{name[:3]}.a`: Do" not in told[name]


@pytest.mark.parametrize("merge", ["merge", "squash"])
async def test_what_is_left_at_the_end_is_shown_and_waits_for_nobody(workshop: Workshop, merge: str) -> None:
    """One of them lands; the other conflicts with the target from then on."""
    workshop.config(parallel={"merge_strategy": merge})
    workshop.plan(
        *(
            epic(name, task(f"{name}.a", f"echo {name} > same.txt"), task(f"{name}.b"))
            for name in ("one", "two")
        )
    )
    report = await workshop.run()
    (conflict,) = report.waiting
    other = ({"one", "two"} - {conflict.item}).pop()
    state = await workshop.status()
    (forecast,) = state["forecasts"]
    assert (forecast["epics"], forecast["target"]) == ([conflict.item], "main")
    assert forecast["files"] == ["same.txt"]
    assert forecast["tasks"] == {other: [f"{other}.a"], conflict.item: [f"{conflict.item}.a"]}
    assert [entry["id"] for entry in state["interventions"]] == [conflict.intervention]
    told = workshop.yoke("status").stdout
    assert f"{conflict.item} does not merge into main" in told
    assert "same.txt" in told
    assert "merge into" not in workshop.yoke("attention").stdout
    # Resolved by hand and landed: nothing is left of it.
    folder = workshop.root / ".worktrees" / conflict.item
    workshop.git("merge", "-q", "-X", "ours", "main", cwd=folder)
    assert (await workshop.run(land=(conflict.item,))).exit_code is ExitCode.OK
    assert [event["epic"] for event in workshop.of("forecast.cleared")] == [conflict.item]
    assert (await workshop.status())["forecasts"] == []


async def test_a_run_begins_with_what_is_in_flight(workshop: Workshop) -> None:
    """A person made two epics conflict while no run was going on."""
    one, two = (task(f"{name}.b", "exit 3") for name in ("one", "two"))
    workshop.config(agents={"max_attempts": 1})
    workshop.plan(epic("one", task("one.a"), one), epic("two", task("two.a"), two))
    await workshop.run()
    assert not foreseen(workshop)
    for name in ("one", "two"):
        folder = workshop.root / ".worktrees" / name
        (folder / "by-hand.txt").write_text(name)
        workshop.git("add", "-A", cwd=folder)
        workshop.git("commit", "-q", "-m", "By hand", cwd=folder)
    await workshop.run()
    (found,) = foreseen(workshop)
    assert (found["files"], found["tasks"]) == (["by-hand.txt"], {})


async def test_hand_over_and_squash_make_no_false_conflicts(workshop: Workshop) -> None:
    """The second epic changes what it took in from the first; a third one starts after the first landed."""
    workshop.config(parallel={"merge_strategy": "squash"})
    begun, landed = '"session.started","epic":"second"', '"landing.landed","epic":"first"'
    workshop.plan(
        epic(
            "first",
            task("first.a", "printf '1\\n2\\n' > f.txt"),
            task("first.b", wait_for(workshop, begun, then="echo b > fb.txt"), depends_on=["first.a"]),
        ),
        epic(
            "second",
            task("second.a", "printf '1\\n2 second\\n' > f.txt", depends_on=["first.a"]),
            task("second.b", wait_for(workshop, landed, then="echo b > b.txt"), depends_on=["second.a"]),
            task("second.c", depends_on=["second.b", "third.a"]),
        ),
        epic("gate", task("gate.a", wait_for(workshop, landed, then="echo g > g.txt"))),
        epic("third", task("third.a", depends_on=["gate.a"])),
    )
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, report
    assert foreseen(workshop) == []
    assert workshop.git("show", "main:f.txt") == "1\n2 second"


async def test_nothing_of_it_is_left(workshop: Workshop) -> None:
    """Neither of a run that ended, nor of one that was killed."""
    stale: Path = workshop.root / ".git/yoke/forecast/ab"
    stale.mkdir(parents=True)
    workshop.plan(epic("one", task("one.a")), epic("two", task("two.a")))
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert not stale.parent.exists()
    assert foreseen(workshop) == []


async def test_a_forecast_that_fails_stops_nothing(workshop: Workshop, monkeypatch: Any) -> None:
    async def broken(*_args: object) -> None:
        raise OSError("no such luck")

    monkeypatch.setattr("yokeflow.git.forecast.Trials.merge", broken)
    workshop.plan(epic("one", task("one.a"), task("one.b")), epic("two", task("two.a")))
    assert (await workshop.run()).exit_code is ExitCode.OK
    warnings = [event["reason"] for event in workshop.of("warning.raised")]
    assert warnings == ["conflicts cannot be foreseen: no such luck"]
