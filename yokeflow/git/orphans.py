"""Git that outlived the YokeFlow that started it, and may still change what the next one has looked at."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from yokeflow.git.owner import is_gone
from yokeflow.git.runner import STARTED_BY

if TYPE_CHECKING:
    from collections.abc import Collection

#: How often to look whether it has ended by itself, and seconds between; then seconds to end when told to.
_LOOKS, _PAUSE, _PATIENCE = 10, 0.05, 2.0


async def end_orphans(folders: Collection[Path]) -> None:
    """Wait for git of a dead YokeFlow in these folders, and end what does not end by itself."""
    for _ in range(_LOOKS):
        if not await asyncio.to_thread(_orphans, folders):
            return
        await asyncio.sleep(_PAUSE)
    await asyncio.to_thread(_end, folders)


def _end(folders: Collection[Path]) -> None:
    left = _orphans(folders)
    for process in left:
        # Git then removes its locks.
        with suppress(psutil.Error):
            process.terminate()
    for process in psutil.wait_procs(left, timeout=_PATIENCE)[1]:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=_PATIENCE)


def _orphans(folders: Collection[Path]) -> list[psutil.Process]:
    return [process for process in psutil.process_iter(["name"]) if _is_orphan(process, folders)]


def _is_orphan(process: psutil.Process, folders: Collection[Path]) -> bool:
    if process.info["name"] != "git":
        return False
    try:
        owner, place = process.environ().get(STARTED_BY, ""), Path(process.cwd())
    except psutil.Error:
        return False
    return is_gone(owner) and any(place.is_relative_to(folder) for folder in folders)
