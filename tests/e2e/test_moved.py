"""Tasks that the plan moves to another epic when they are done and have not landed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.errors import ExitCode, UsageError


def moved(*ids: str) -> dict[str, Any]:
    """The done tasks in their new epic, and one that needs them all."""
    needs = " ".join(f"{one}.txt" for one in ids)
    last = task("new.z", f"cat {needs} > new.z.txt", depends_on=list(ids))
    return epic("new", *(task(one) for one in ids), last)


def files(workshop: Workshop, branch: str) -> list[str]:
    return [name for name in workshop.git("ls-tree", "--name-only", branch).split() if name.endswith(".txt")]


@pytest.fixture(params=["by_epic", "by_task"])
def shop(workshop: Workshop, request: pytest.FixtureRequest) -> Workshop:
    workshop.config(agents={"max_attempts": 1}, parallel={"strategy": request.param})
    return workshop


async def test_the_next_tasks_have_moved_work_and_both_epics_land(shop: Workshop) -> None:
    """Each of two epics gets a done task of the other one."""
    shop.plan(
        epic("b", task("b.1"), task("b.2", depends_on=["b.1"]), approve="after"),
        epic("c", task("c.1"), task("c.2", "exit 1")),
    )
    await shop.run()
    shop.plan(
        epic("b", task("b.1"), task("c.1"), approve="after"),
        epic("c", task("b.2"), task("c.3", "cat c.1.txt b.2.txt > c.3.txt", depends_on=["b.2", "c.1"])),
    )
    report = await shop.run()
    assert report.completed == ("c.3",)
    assert set(files(shop, "epic/b")) >= {"b.1.txt", "c.1.txt"}
    assert shop.yoke("attention", "answer", "b", "approve").returncode == 0
    report = await shop.run()
    assert (report.exit_code, [landed.epic for landed in report.landed]) == (ExitCode.OK, ["b", "c"])
    assert set(files(shop, "main")) == {"b.1.txt", "b.2.txt", "c.1.txt", "c.3.txt"}


async def test_what_has_nothing_to_do_with_the_new_epic_stays_behind(shop: Workshop) -> None:
    """A person has not approved it."""
    shop.plan(epic("old", task("old.1"), task("old.2", depends_on=["old.1"]), approve="after"))
    await shop.run()
    author = shop.git("log", "-1", "--format=%an %ad %s", "--grep=Yoke-Task: old.2", "epic/old")
    shop.plan(epic("old", task("old.1"), approve="after"), moved("old.2"))
    report = await shop.run()
    assert [landed.epic for landed in report.landed] == ["new"]
    assert files(shop, "main") == ["new.z.txt", "old.2.txt"]
    assert shop.git("log", "-1", "--format=%an %ad %s", "--grep=Yoke-Task: old.2", "main") == author
    assert shop.yoke("attention", "answer", "old", "approve").returncode == 0
    assert (await shop.run()).exit_code is ExitCode.OK
    assert files(shop, "main") == ["new.z.txt", "old.1.txt", "old.2.txt"]


async def test_an_epic_that_left_the_plan_gives_what_was_done_in_it(shop: Workshop) -> None:
    shop.plan(epic("old", task("old.1"), task("old.2"), task("old.3", "exit 1")))
    await shop.run()
    shop.plan(moved("old.1", "old.2"))
    report = await shop.run()
    assert (report.exit_code, report.completed) == (ExitCode.OK, ("new.z",))
    assert files(shop, "main") == ["new.z.txt", "old.1.txt", "old.2.txt"]
    assert (await shop.run()).completed == ()


@pytest.mark.parametrize("merge_strategy", ["merge", "squash"])
async def test_work_that_landed_with_its_old_epic_lands_with_the_new_one(
    workshop: Workshop, merge_strategy: str
) -> None:
    workshop.config(agents={"max_attempts": 1}, parallel={"merge_strategy": merge_strategy})
    bad = epic("new", task("new.1"), task("new.2", "exit 1"))
    workshop.plan(bad, epic("old", task("old.1"), task("old.2")))
    await workshop.run()
    workshop.plan(
        epic(
            "new", task("new.1"), task("old.2"), task("new.z", "cat old.2.txt > z.txt", depends_on=["old.2"])
        ),
        epic("old", task("old.1")),
    )
    report = await workshop.run()
    assert (report.exit_code, [landed.epic for landed in report.landed]) == (ExitCode.OK, ["new"]), report


async def test_moved_work_that_does_not_fit_is_told_with_what_to_do(workshop: Workshop) -> None:
    workshop.config(agents={"max_attempts": 1})
    bad = task("new.2", "exit 1")
    old = epic("old", task("old.1", "echo old > f.txt"), task("old.2"), approve="after")
    workshop.plan(epic("new", task("new.1", "echo new > f.txt"), bad), old)
    await workshop.run()
    commit = workshop.git("log", "-1", "--format=%H", "--grep=Yoke-Task: old.1", "epic/old")
    workshop.plan(
        epic("new", task("new.1"), task("old.1"), task("new.3", depends_on=["old.1"])),
        epic("old", task("old.2"), approve="after"),
    )
    with pytest.raises(UsageError) as raised:
        await workshop.run()
    assert raised.value.message == (
        "the plan moved old.1, which is done, from old to new, "
        "and its work could not be brought to epic/new: conflicts in f.txt"
    )
    assert raised.value.hint == (f"merge {commit[:12]} by hand there, or move old.1 back to old")
    lane = workshop.root / ".worktrees/new"
    workshop.git("merge", "-q", "-s", "ours", "-m", "Both", commit, cwd=lane)
    report = await workshop.run()
    assert [landed.epic for landed in report.landed] == ["new"]
