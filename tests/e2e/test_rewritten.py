"""A person rewrites the commits of finished tasks: their work counts, and is not done again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import Workshop, epic, task, wait_for
from yokeflow.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from yokeflow.engine.report import RunReport


@pytest.fixture
async def finished(workshop: Workshop) -> Workshop:
    """An epic of three tasks that is done and waits for a person before it lands."""
    workshop.plan(
        epic(
            "one",
            task("one.a"),
            task("one.b", depends_on=["one.a"]),
            task("one.c", depends_on=["one.b"]),
            approve="after",
        )
    )
    report = await workshop.run()
    assert len(report.completed) == 3
    return workshop


def lane(workshop: Workshop) -> Path:
    return workshop.root / ".worktrees/one"


def collect(workshop: Workshop) -> None:
    """Let git remove all that nothing leads to."""
    workshop.git("reflog", "expire", "--expire=now", "--all")
    for left in (workshop.root / ".git").rglob("ORIG_HEAD"):
        left.unlink()
    workshop.git("gc", "-q", "--prune=now")


def rewrite(workshop: Workshop, first: str, message: str = "") -> None:
    """Rebase the epic with `first` done to its second commit; `message` is what is then written of it."""
    todo = f"sed -i '2s/^pick/{first}/'"
    write = f"printf '%s' '{message}' >" if message else "true"
    settings = ("-c", f"sequence.editor={todo}", "-c", f"core.editor={write}")
    workshop.git(*settings, "rebase", "-q", "-i", "main", cwd=lane(workshop))


async def approve(workshop: Workshop) -> RunReport:
    """A run finds out what there is to approve."""
    await workshop.run()
    assert workshop.yoke("attention", "answer", "one", "approve").returncode == 0
    return await workshop.run()


async def lands(workshop: Workshop) -> None:
    report = await approve(workshop)
    assert (report.exit_code, report.completed) == (ExitCode.OK, ()), report
    assert [landed.epic for landed in report.landed] == ["one"]
    assert set(workshop.git("ls-tree", "--name-only", "main").split()) >= {
        f"one.{name}.txt" for name in "abc"
    }


@pytest.mark.parametrize(
    "message", ["", "Both\n\nYoke-Task: one.a\nYoke-Task: one.b\nYoke-Session: x\n"], ids=["git", "own"]
)
async def test_two_commits_that_became_one_have_the_work_of_both(finished: Workshop, message: str) -> None:
    rewrite(finished, "squash", message)
    await lands(finished)
    collect(finished)
    assert (await finished.run()).completed == ()
    assert finished.of("task.reopened") == []


async def test_a_person_says_that_work_is_there_in_another_form(finished: Workshop) -> None:
    rewrite(finished, "fixup")
    (waiting,) = (await approve(finished)).waiting
    assert "branch epic/one lacks the commits of one.b" in waiting.reason
    finished.git("commit", "-q", "--allow-empty", "-m", "Yoke-Task: one.b", cwd=lane(finished))
    await lands(finished)


async def test_work_that_was_dropped_is_done_again_when_a_person_says_so(finished: Workshop) -> None:
    rewrite(finished, "drop")
    (waiting,) = (await approve(finished)).waiting
    assert "`yoke retry one.b` has it done again" in waiting.reason
    assert finished.yoke("retry", "one.b").returncode == 0
    assert [entry["item"] for entry in (await finished.status())["interventions"]] == []
    report = await finished.run()
    assert (report.completed, [entry.kind for entry in report.waiting]) == (("one.b",), ["approval"])
    await lands(finished)


async def asked(workshop: Workshop, times: int) -> None:
    """Return when a person was asked so often."""
    while len(workshop.of("intervention.opened")) < times:
        await asyncio.sleep(0.05)


async def test_work_that_is_rebased_while_a_run_goes_on_is_not_done_again(workshop: Workshop) -> None:
    workshop.plan(
        epic("one", task("one.a"), task("one.b"), approve="after"),
        epic("two", task("two.a", wait_for(workshop, "landing.landed", then="echo a > a"))),
    )
    going = asyncio.create_task(workshop.run())
    await asked(workshop, 1)
    amend = "git commit -q --amend --no-edit --author='Me <me@example.org>'"
    workshop.git("rebase", "-q", "--exec", amend, "main", cwd=lane(workshop))
    for times in (1, 2):
        await asked(workshop, times)
        await asyncio.to_thread(workshop.yoke, "attention", "answer", "one", "approve")
    assert {entry.epic for entry in (await going).landed} == {"one", "two"}
    assert {event["task"] for event in workshop.of("task.rebased")} == {"one.a", "one.b"}
    collect(workshop)
    assert (await workshop.run()).completed == ()
    assert workshop.of("task.reopened") == []
