"""Garbage collections are kept out of a repository while a run writes to it.

`git gc --prune=now`, as an agent may run it, looks up what refs lead to and then deletes all else: also
the commit to which somebody moves a branch meanwhile. Git begins none where another one is going on, which
it tells by the file in which that one notes its process.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from yokeflow.git.repo import Repo

#: Seconds after which git takes such a file for left behind.
_STALE: Final = 12 * 3600.0
#: Seconds until the next look at one of somebody else's, and at our own.
_SOON, _LATER = 1.0, 600.0


@asynccontextmanager
async def no_collection(repo: Repo) -> AsyncIterator[None]:
    """While the block runs, `git gc` says that it is running already; one that is running is waited for."""
    file = repo.common_dir / "gc.pid"
    keeper = asyncio.create_task(_keep(file, held=_take(file)))
    try:
        yield
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        if _read(file) == _own():
            file.unlink(missing_ok=True)


async def _keep(file: Path, *, held: bool) -> None:
    while True:
        await asyncio.sleep(_LATER if held else _SOON)
        held = _take(file)


def _take(file: Path) -> bool:
    """Note this process there, or that it lives; whether that was possible."""
    with suppress(OSError):
        noted = _read(file)
        if noted == _own():
            os.utime(file)
        elif not noted or _is_over(file, noted):
            file.unlink(missing_ok=True)
            with file.open("x", encoding="utf-8") as new:
                new.write(_own())
        return _read(file) == _own()
    return False


def _own() -> str:
    return f"{os.getpid()} {socket.gethostname()}"


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _is_over(file: Path, noted: str) -> bool:
    """As git decides it."""
    pid, _, host = noted.partition(" ")
    if time.time() - file.stat().st_mtime > _STALE:
        return True
    return host == socket.gethostname() and not (pid.isdigit() and psutil.pid_exists(int(pid)))
