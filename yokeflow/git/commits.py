"""Read commits and their trailers, make commits, and rewrite private ones so that they carry ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from yokeflow.git.repo import Repo


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit as far as we read it."""

    oid: str
    tree: str
    parents: tuple[str, ...]
    subject: str
    #: Values by name, in order.
    trailers: dict[str, list[str]]


async def between(repo: Repo, old: str, new: str) -> list[Commit]:
    """What `new` has and `old` has not, oldest first."""
    raise NotImplementedError


async def stamp(
    repo: Repo, base: str, head: str, trailers: Mapping[str, str], *, own: Collection[str] = ()
) -> str:
    """See `Repo.stamp`."""
    raise NotImplementedError


async def commit_all(repo: Repo, worktree: Path, message: str, trailers: Mapping[str, str]) -> str | None:
    """See `Repo.commit_all`."""
    raise NotImplementedError
