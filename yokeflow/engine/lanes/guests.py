"""People at work in worktrees of ours: what they are in the middle of is theirs to finish.

Recovery takes back what killed agents left, and the end of a session what its agent did. Anything that is in
progress after that was begun by a person, and nothing is touched there until it is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.errors import RepositoryError
from yokeflow.git.advance import holders
from yokeflow.git.checkouts import checkouts, find
from yokeflow.git.save import is_folder

if TYPE_CHECKING:
    from pathlib import Path

    from yokeflow.engine.context import Context
    from yokeflow.git.checkouts import Checkout


async def refuse_in_lane(context: Context, lane: str, branch: str, task: str) -> None:
    """Raises RepositoryError where something is in progress in the worktree in which a task is to start."""
    path = context.worktrees.path(lane)
    # Whoever removed the branch has nothing to go on with.
    if not is_folder(path) or await context.repo.branch(branch) is None:
        return
    checkout = find(context.repo, path)
    if checkout and context.worktrees.is_ready(checkout) and checkout.is_whole():
        _refuse(context, checkout, f"yoke retry {task}")


async def refuse_in_epic(context: Context, epic: str) -> None:
    """Raises RepositoryError where something is in progress on an epic's branch or in its worktrees."""
    busy = [checkout for checkout in checkouts(context.repo) if checkout.in_progress()]
    if not busy:
        return
    lanes = (epic, *(task.id for task in context.plan.epic[epic].tasks))
    paths = {context.worktrees.path(lane) for lane in lanes}
    paths |= {holder.path for holder in await holders(context.repo, context.epic_branch(epic))}
    for checkout in busy:
        if checkout.path in paths:
            _refuse(context, checkout, f"yoke land {epic}")


def _refuse(context: Context, checkout: Checkout, then: str) -> None:
    """`then` is what a person does once it is over."""
    if what := checkout.in_progress():
        where = name_checkout(context, checkout.path)
        raise RepositoryError(
            f"somebody is in the middle of {what} in {where}: {checkout.how_to_end()}, then `{then}`"
        )


def name_checkout(context: Context, path: Path) -> Path:
    """A checkout as a person would call it."""
    root = context.repo.root
    return path.relative_to(root) if path != root and path.is_relative_to(root) else path
