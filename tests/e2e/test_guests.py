"""What a person is in the middle of in an epic's worktree stays there."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from yokeflow.engine.report import RunReport

REBASE = "finish it with `git rebase --continue` there, or `git rebase --abort`"
MERGE = "finish it with `git merge --continue` there, or `git merge --abort`"


async def worktree(workshop: Workshop) -> Path:
    """The worktree of an epic whose first task is done and whose second one failed."""
    workshop.config(agents={"max_attempts": 1})
    workshop.plan(epic("a", task("a.1"), task("a.2", "exit 1")))
    assert list((await workshop.run()).failed) == ["a.2"]
    return workshop.root / ".worktrees/a"


def rebase(workshop: Workshop, lane: Path) -> None:
    """Stop a rebase at the first commit, with something staged."""
    edit = "sequence.editor=sed -i 1s/pick/edit/"
    workshop.git("-c", edit, "rebase", "-q", "-i", "main", cwd=lane)
    (lane / "a.1.txt").write_text("cleaned\n")
    workshop.git("add", "a.1.txt", cwd=lane)


def merge(workshop: Workshop, lane: Path) -> None:
    """Resolve a conflict with the target, up to the commit."""
    workshop.write("a.1.txt", "theirs\n")
    workshop.commit("Theirs")
    with pytest.raises(subprocess.CalledProcessError):
        workshop.git("merge", "-q", "main", cwd=lane)
    (lane / "a.1.txt").write_text("both\n")
    workshop.git("add", "a.1.txt", cwd=lane)


def state(workshop: Workshop, lane: Path) -> tuple[str, ...]:
    """All that a run could touch."""
    asked = (("status",), ("diff", "--cached"), ("rev-parse", "HEAD", "main", "epic/a"), ("for-each-ref",))
    return tuple(workshop.git(*args, cwd=lane) for args in asked)


def reasons(report: RunReport) -> list[tuple[str, str, str]]:
    return [(waiting.item, waiting.kind, waiting.reason) for waiting in report.waiting]


async def test_a_task_waits_until_a_rebase_in_its_worktree_is_over(workshop: Workshop) -> None:
    lane = await worktree(workshop)
    rebase(workshop, lane)
    workshop.yoke("retry", "a.2")
    before = state(workshop, lane)
    report = await workshop.run()
    said = f"somebody is in the middle of a rebase in .worktrees/a: {REBASE}, then `yoke retry a.2`"
    assert reasons(report) == [("a.2", "worktree", said)]
    assert state(workshop, lane) == before
    workshop.git("-c", "core.editor=true", "rebase", "--continue", cwd=lane)
    workshop.plan(epic("a", task("a.1"), task("a.2")))
    assert workshop.yoke("retry", "a.2").returncode == 0
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert workshop.git("show", "main:a.1.txt") == "cleaned"
    workshop.assert_tidy()


async def test_a_task_waits_until_a_merge_in_its_worktree_is_over(workshop: Workshop) -> None:
    lane = await worktree(workshop)
    merge(workshop, lane)
    workshop.yoke("retry", "a.2")
    before = state(workshop, lane)
    report = await workshop.run()
    said = f"somebody is in the middle of a merge in .worktrees/a: {MERGE}, then `yoke retry a.2`"
    assert reasons(report) == [("a.2", "worktree", said)]
    assert state(workshop, lane) == before
    workshop.git("commit", "-q", "--no-edit", cwd=lane)
    workshop.plan(epic("a", task("a.1"), task("a.2")))
    assert workshop.yoke("retry", "a.2").returncode == 0
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert workshop.git("show", "main:a.1.txt") == "both"
    workshop.assert_tidy()


async def test_what_a_person_left_uncommitted_is_told_when_it_is_put_away(workshop: Workshop) -> None:
    lane = await worktree(workshop)
    (lane / "a.1.txt").write_text("better\n")
    (lane / "note").write_text("mine\n")
    workshop.plan(epic("a", task("a.1"), task("a.2")), epic("b", task("b.1")))
    workshop.yoke("retry", "a.2")
    assert (await workshop.run()).exit_code is ExitCode.OK
    (warning,) = workshop.of("warning.raised")
    ref = warning["reason"].removeprefix("what somebody left in .worktrees/a is kept as ")
    assert ref.startswith("refs/yoke/keep/lane/a/")
    assert f"`git cherry-pick --no-commit {ref}`" in warning["hint"]
    workshop.git("cherry-pick", "--no-commit", ref)
    assert workshop.git("status", "--porcelain").splitlines() == ["M  a.1.txt", "A  note"]
    assert (workshop.root / "note").read_text() == "mine\n"


@pytest.mark.parametrize(
    ("begin", "end", "what", "result"),
    [
        (
            rebase,
            ("-c", "core.editor=true", "rebase", "--continue"),
            f"a rebase in .worktrees/a: {REBASE}",
            "cleaned",
        ),
        (merge, ("commit", "-q", "--no-edit"), f"a merge in .worktrees/a: {MERGE}", "both"),
    ],
)
async def test_an_epic_waits_until_what_is_in_progress_in_its_worktree_is_over(
    workshop: Workshop, begin: Callable[[Workshop, Path], None], end: Sequence[str], what: str, result: str
) -> None:
    lane = workshop.root / ".worktrees/a"
    workshop.plan(epic("a", task("a.1"), task("a.2"), approve="after"))
    await workshop.run()
    begin(workshop, lane)
    before = state(workshop, lane)
    assert workshop.yoke("attention", "answer", "a", "approve").returncode == 0
    report = await workshop.run()
    assert reasons(report) == [("a", "checkout", f"somebody is in the middle of {what}, then `yoke land a`")]
    assert state(workshop, lane) == before
    workshop.git(*end, cwd=lane)
    assert (await workshop.run(land=("a",))).exit_code is ExitCode.OK
    assert workshop.git("show", "main:a.1.txt") == result
    workshop.assert_tidy()
