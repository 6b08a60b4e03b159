"""Locks between processes, and between the tasks of one."""

from __future__ import annotations

import asyncio
import fcntl
import os
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from yokeflow.git.runner import LEAST_PRIORITY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

_IN_USE = "yoke: in use by process"
#: Locks of what all worktrees share, beside those on refs and their logs.
_SHARED = (
    *("packed-refs.lock", "packed-refs.new", "config.lock", "gc.pid.lock", "shallow.lock"),
    *("objects/info/commit-graph.lock", "objects/pack/multi-pack-index.lock"),
    "objects/info/commit-graphs/commit-graph-chain.lock",
)
#: How often to look whether a git of somebody else's has ended, and seconds between.
_LOOKS, _PAUSE = 60, 0.05


@asynccontextmanager
async def file_lock(path: Path) -> AsyncIterator[None]:
    """Hold `path` exclusively. The lock dies with its process; the file stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        delay = 0.002
        while not _try(descriptor):
            # A blocking wait would hold a thread that cannot be cancelled.
            await asyncio.sleep(delay)
            delay = min(delay * 2, 0.05)
        yield
    finally:
        os.close(descriptor)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def in_use_reason() -> str:
    """What a worktree lock says while this process uses the worktree."""
    pid = os.getpid()
    return f"{_IN_USE} {pid} ({psutil.Process(pid).create_time():.0f})"


def is_ours(reason: str) -> bool:
    """Whether a worktree lock was put there by some YokeFlow process."""
    return reason.startswith(_IN_USE)


def user_of(reason: str) -> int | None:
    """The live process, other than this one, that such a lock names."""
    pid, _, born = reason.removeprefix(_IN_USE).strip().partition(" ")
    if not is_ours(reason) or not pid.isdigit() or int(pid) == os.getpid():
        return None
    try:
        alive = f"({psutil.Process(int(pid)).create_time():.0f})" == born
    except psutil.NoSuchProcess:
        return None
    return int(pid) if alive else None


def anybody_in(folder: Path) -> bool:
    """Whether some process has its working directory in there."""
    inside = f"{folder}{os.sep}"
    return any(f"{cwd}{os.sep}".startswith(inside) for cwd in _working_directories())


def _working_directories() -> set[str]:
    """Those of all processes that we may look at."""
    processes = Path("/proc")
    if not (processes / "self" / "cwd").exists():
        return {process.info["cwd"] for process in psutil.process_iter(["cwd"]) if process.info["cwd"]}
    found = set()
    for name in os.listdir(processes):  # noqa: PTH208 - only the names
        if name.isdigit():
            with suppress(OSError):
                found.add(os.readlink(f"/proc/{name}/cwd"))  # noqa: PTH115 - there are many
    return found


def end_idle_git(folder: Path) -> None:
    """End git that works in there with the time that nobody else needs."""
    for process in psutil.process_iter(["name", "cwd", "nice"]):
        about = process.info
        if (
            about["name"] == "git"
            and about["nice"] == LEAST_PRIORITY
            and Path(about["cwd"] or "/").is_relative_to(folder)
        ):
            with suppress(psutil.Error):
                process.kill()


async def free_shared_locks(common_dir: Path, root: Path) -> Sequence[str]:
    """Remove the locks on refs and settings that a killed git has left; a line for each.

    Nothing of ours may be writing. A git of somebody else's is waited for, and then left its locks.
    """
    left = await asyncio.to_thread(_shared_locks, common_dir)
    for _ in range(_LOOKS if left else 0):
        if not await asyncio.to_thread(_others_git_in, {common_dir, root}):
            for lock in left:
                lock.unlink(missing_ok=True)
            return [
                f"{lock.relative_to(common_dir)}: a git process that was killed had left it" for lock in left
            ]
        await asyncio.sleep(_PAUSE)
        left = [lock for lock in left if lock.exists()]
    return ()


def _shared_locks(common_dir: Path) -> list[Path]:
    named = (common_dir / name for name in _SHARED)
    # No ref's name ends like that. A garbage collection locks the logs of refs as well.
    below = (lock for name in ("refs", "logs") for lock in (common_dir / name).rglob("*.lock"))
    found = [*(path for path in named if path.exists()), *below]
    return [path for path in found if not path.is_dir()]


def _others_git_in(folders: Collection[Path]) -> bool:
    """Whether a git that is no child of ours works in one of the folders, or below."""
    places = (
        Path(process.info["cwd"])
        for process in psutil.process_iter(["name", "cwd", "ppid"])
        if process.info["name"] == "git" and process.info["ppid"] != os.getpid() and process.info["cwd"]
    )
    return any(place.is_relative_to(folder) for place in places for folder in folders)
