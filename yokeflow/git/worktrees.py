"""Lanes' worktrees: made, reused, repaired, put back and removed, without losing what is in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence
    from pathlib import Path

    from yokeflow.git.repo import Repo


@dataclass(frozen=True, slots=True)
class Worktree:
    """A worktree below our folder."""

    lane: str
    path: Path
    #: Short name of the branch; empty when detached.
    branch: str
    #: None when there is no commit at HEAD.
    commit: str | None
    #: Why it is locked; None when it is not.
    locked: str | None
    #: What `repair` would put right; empty when it is whole.
    broken: str = ""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What `clean` did."""

    #: Branches and lanes that are gone.
    removed: tuple[str, ...]
    #: What stayed -> why.
    kept: dict[str, str]


class Worktrees:
    """The worktrees of one repository below one folder. One per process; safe for many lanes at once."""

    def __init__(self, repo: Repo, folder: Path) -> None:
        self.repo = repo
        self.folder = folder

    async def open(self, lane: str, branch: str, base: str) -> Path:
        """The lane's worktree on `branch`, which starts at `base` if there is none; created, repaired or as it is."""
        raise NotImplementedError

    def use(self, lane: str, branch: str, base: str) -> AsyncIterator[Path]:
        """`async with`: `open`, locked against removal while in use."""
        raise NotImplementedError

    async def reset(self, path: Path, branch: str, commit: str) -> None:
        """Branch, HEAD, index and files exactly at `commit`; ignored files stay; what would be lost is kept."""
        raise NotImplementedError

    async def adopt(self, path: Path, branch: str, base: str, before: Collection[str]) -> str | None:
        """Take over what the agent committed elsewhere; gives the commit at HEAD.

        When HEAD is detached or on another branch, `branch` moves to it and is checked out again, and the other
        branch is deleted unless it is in `before` (the short names of all branches when the session started).
        None when HEAD does not descend from `base`.
        """
        raise NotImplementedError

    async def close(self, lane: str) -> None:
        """Remove the worktree, not its branch. What was not committed is kept first."""
        raise NotImplementedError

    async def scratch(self, commit: str) -> Path:
        """The detached worktree for landing checks, with exactly `commit` in it; ignored files stay."""
        raise NotImplementedError

    async def list(self) -> list[Worktree]:
        """Every worktree below our folder, also the broken ones; not the scratch worktree."""
        raise NotImplementedError

    async def repair(self) -> list[str]:
        """Put right what a crash or an agent left; a line for each thing done."""
        raise NotImplementedError

    async def clean(self, target: str, prefixes: Sequence[str]) -> Cleaned:
        """Remove idle worktrees, and branches below `prefixes`, whose commits are in `target` or kept."""
        raise NotImplementedError

    async def empty_trash(self) -> int:
        """Delete for good what was removed; the number of folders."""
        raise NotImplementedError

    async def ignore(self) -> None:
        """Make git ignore our folder, without touching the user's files."""
        raise NotImplementedError
