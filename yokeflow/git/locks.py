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
    from collections.abc import AsyncIterator

_IN_USE = "yoke: in use by process"


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
