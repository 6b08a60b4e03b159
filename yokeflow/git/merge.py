"""Merge without a checkout, and bring a branch forward without overwriting anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yokeflow.git.repo import Repo


@dataclass(frozen=True, slots=True)
class Merged:
    """The outcome of a merge of two commits."""

    #: None when they conflict.
    tree: str | None
    #: Paths that conflict.
    conflicts: tuple[str, ...]
    #: What git says about them.
    output: str


@dataclass(frozen=True, slots=True)
class Advance:
    """Whether a branch was brought forward."""

    moved: bool
    #: Empty when moved; `raced`: the branch was not at the old commit; `checkout`: the checkout of that branch has
    #: something that would be overwritten, or is in the middle of an operation.
    reason: str
    #: The paths that were in the way.
    files: tuple[str, ...] = ()


async def merge_trees(repo: Repo, ours: str, theirs: str) -> Merged:
    """Merge two commits into a tree. Touches no checkout, no index, no ref.

    Raises RepositoryError when they share no history, as in a clone that is too shallow.
    """
    raise NotImplementedError


async def commit_merge(
    repo: Repo, ours: str, theirs: str, message: str, *, squash: bool = False, tree: str | None = None
) -> str:
    """Commit the merge of two commits onto `ours`; `squash` leaves `theirs` out of the parents.

    `tree` is the result of `merge_trees`, if it is known. Raises ConflictError when there is none. Moves no ref.
    """
    raise NotImplementedError


async def advance(repo: Repo, branch: str, new: str, old: str) -> Advance:
    """Bring `branch` from `old` forward to `new`, and the checkout that has it, or change nothing."""
    raise NotImplementedError


async def finish_advance(repo: Repo) -> Advance | None:
    """Finish what a killed `advance` had begun; None when there is nothing to finish.

    What is in the checkout by then is kept under `refs/yoke/keep/` before anything is written.
    """
    raise NotImplementedError
