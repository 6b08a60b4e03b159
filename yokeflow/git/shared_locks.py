"""Locks on what all worktrees share, which a git that was killed has left."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from yokeflow.git.checkouts import linked

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from yokeflow.git.repo import Repo

#: Beside those on refs and their logs.
_SHARED = (
    *("HEAD.lock", "ORIG_HEAD.lock", "packed-refs.lock", "packed-refs.new", "config.lock"),
    *("gc.pid.lock", "shallow.lock"),
    *("objects/info/commit-graph.lock", "objects/pack/multi-pack-index.lock"),
    "objects/info/commit-graphs/commit-graph-chain.lock",
)
#: Seconds until each of the later looks. A program with git built in, such as an editor, is no process named
#: git; but it holds a lock for less than the first of them.
_PAUSES = (1.1, *[0.1] * 20)


@dataclass(frozen=True, slots=True)
class _Lock:
    path: Path
    inode: int
    changed: int
    owner: int


async def free_shared_locks(repo: Repo) -> Sequence[str]:
    """Remove the locks on refs and settings that a killed git has left; a line for each.

    Nothing of ours may be writing. A git of somebody else's is waited for, and then left its locks.
    """
    left = await asyncio.to_thread(_locks, repo)
    for pause in _PAUSES if left else ():
        await asyncio.sleep(pause)
        left &= await asyncio.to_thread(_locks, repo)
        if not left:
            break
        if not await asyncio.to_thread(_others_git, repo, {lock.owner for lock in left}):
            return [_remove(repo, lock) for lock in sorted(left, key=lambda lock: lock.path)]
    return ()


def _remove(repo: Repo, lock: _Lock) -> str:
    lock.path.unlink(missing_ok=True)
    return f"{lock.path.relative_to(repo.common_dir)}: a git process that was killed had left it"


def _locks(repo: Repo) -> set[_Lock]:
    found = set()
    for path in _places(repo.common_dir):
        with suppress(FileNotFoundError):
            about = path.lstat()
            if not path.is_dir():
                found.add(_Lock(path, about.st_ino, about.st_mtime_ns, about.st_uid))
    return found


def _places(common_dir: Path) -> Iterator[Path]:
    yield from (common_dir / name for name in _SHARED)
    # No ref's name ends like that. A garbage collection locks the logs of refs as well.
    for name in ("refs", "logs"):
        yield from (common_dir / name).rglob("*.lock")


def _others_git(repo: Repo, owners: Collection[int]) -> bool:
    """Whether a git that is no child of ours works in the repository, or may: as one of the locks' owners."""
    checkouts = (checkout.path for checkout in linked(repo))
    folders = {path.resolve() for path in (repo.common_dir, repo.root, *checkouts)}
    return any(
        process.info["name"] == "git"
        and process.info["ppid"] != os.getpid()
        and _may_be_in(process, folders, owners)
        for process in psutil.process_iter(["name", "ppid"])
    )


def _may_be_in(process: psutil.Process, folders: Collection[Path], owners: Collection[int]) -> bool:
    try:
        place = Path(process.cwd())
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        with suppress(psutil.NoSuchProcess):
            return process.status() != psutil.STATUS_ZOMBIE and process.uids().effective in owners
        return False
    return any(place.is_relative_to(folder) for folder in folders)
