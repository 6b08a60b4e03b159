"""Remove branches, only with the proof that their commits are somewhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.git.advance import holders
from yokeflow.git.repo import KEPT_SQUASHED

if TYPE_CHECKING:
    from yokeflow.git.repo import Repo


async def landed(repo: Repo, epic_commit: str, target: str) -> bool:
    """Whether the branch `target` contains the commit."""
    tip = await repo.branch(target)
    if tip is None:
        return False
    # Just landed by a merge, which takes no process to see.
    return await repo.resolve(f"{tip}^2") == epic_commit or await repo.is_ancestor(epic_commit, tip)


async def remove_branch(repo: Repo, branch: str, target: str, *, ours: bool = False) -> bool:
    """Delete a branch whose commits are in the branch `target` or kept; False when not, and it stays.

    So does one that a checkout is on, such as a person's. After a squash the commits are not in the target:
    `keep` them first. What is on one that is `ours` alone is kept now. Close its worktree before.
    """
    tip = await repo.branch(branch)
    if tip is None:
        return True
    if not (await landed(repo, tip, target) or await repo.is_kept(tip, below=KEPT_SQUASHED)):
        if not ours:
            return False
        await repo.keep(branch, tip)
    if await holders(repo, branch):
        return False
    await repo.delete_ref(f"refs/heads/{branch}", tip)
    return True
