"""Work of an epic that has not landed when something is taken off the target, or brought back there.

Its branch has what was undone in its history. Unless it takes in the undo as well, tasks that are done again
would start where they are done already, and what lands later would not bring them back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.engine.lanes.lanes import remove_lanes
from yokeflow.errors import YokeError
from yokeflow.git.merge import advance, commit_merge, merge_trees
from yokeflow.git.squashed import with_history

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from yokeflow.engine.context import Context


class UnlandedWorkError(YokeError):
    """Work that has not landed does not fit together with what is undone."""


async def brought_up_to_date(
    context: Context, epics: Sequence[str], commit: str
) -> Mapping[str, tuple[str, str]]:
    """By branch of those epics that have unlanded work: where it is, and where it goes to have `commit` too.

    `commit` undoes something or brings it back. Moves no ref. Raises UnlandedWorkError where they do not fit.
    """
    found = {}
    for epic in epics:
        branch = context.epic_branch(epic)
        tip = await context.repo.branch(branch)
        if tip is not None and not await _settled(context, tip, commit):
            found[branch] = (tip, await _with(context, epic, branch, tip, commit))
    return found


async def _settled(context: Context, tip: str, commit: str) -> bool:
    """Whether a branch has nothing that has not landed, or has the commit already."""
    return await context.repo.is_ancestor(tip, commit) or await context.repo.is_ancestor(commit, tip)


async def _with(context: Context, epic: str, branch: str, tip: str, commit: str) -> str:
    repo = context.repo
    theirs = await with_history(repo, commit, {epic})
    merged = await merge_trees(repo, tip, theirs)
    if merged.tree is None:
        raise UnlandedWorkError(
            f"unlanded work on {branch} builds on it, in {', '.join(merged.conflicts)}",
            hint=f"land {epic} first, or remove that branch",
        )
    message = f"Take in what was undone of {epic}\n\nYoke-Taken: {epic}\n"
    return await commit_merge(repo, tip, theirs, message, tree=merged.tree)


async def mend(context: Context, epics: Sequence[str], branches: Mapping[str, tuple[str, str]]) -> None:
    """Remove what is left of the epics' lanes, and bring the rest of their work up to date."""
    for epic in epics:
        if epic in context.plan.epic:
            await remove_lanes(context, epic)
    for branch, (tip, new) in branches.items():
        moved = await advance(context.repo, branch, new, tip)
        if moved.reason == "checkout":
            what = ", ".join(moved.files) or moved.detail
            _tell(context, branch, f"the checkout is in the way: {what}", new)


async def mend_found(context: Context, epic: str, commit: str) -> None:
    """The same for an undo that a crash has kept from it. Does nothing where it is done."""
    try:
        if branches := await brought_up_to_date(context, (epic,), commit):
            await mend(context, (epic,), branches)
    except UnlandedWorkError as error:
        _tell(context, context.epic_branch(epic), error.message, commit)


def _tell(context: Context, branch: str, why: str, commit: str) -> None:
    context.recorder.emit(
        "warning.raised",
        reason=f"{branch} still has what was undone: {why}",
        hint=f"merge {commit[:12]} into {branch}, or remove that branch",
    )
