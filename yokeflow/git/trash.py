"""What was removed lies in trash folders until nobody is kept waiting by its deletion.

Deleting many files makes creating others up to ten times slower for a while, so nothing is deleted while
worktrees are still to be made.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from yokeflow.git.save import is_anything, make_writable

if TYPE_CHECKING:
    from collections.abc import Iterable


def lying_in(folders: Iterable[Path]) -> list[Path]:
    """What waits to be deleted."""
    return [Path(entry) for folder in folders if folder.is_dir() for entry in os.scandir(folder)]


async def delete(path: Path, until: float | None = None) -> bool:
    """Delete a file or folder; whether nothing is left of it.

    Stops at the time `until` of the monotonic clock. What nobody may delete stays.
    """
    await asyncio.to_thread(_delete, path, until)
    return not is_anything(path)


def _delete(path: Path, until: float | None) -> None:
    if not path.is_dir() or path.is_symlink():
        with suppress(OSError):
            path.unlink()
        return
    if _delete_folder(path, until) or (until is not None and monotonic() > until):
        return
    make_writable(path)
    _delete_folder(path, until)


def _delete_folder(path: Path, until: float | None) -> bool:
    """Whether nothing is left."""
    for parent, folders, files in os.walk(path, topdown=False):
        if until is not None and monotonic() > until:
            return False
        for name in files:
            with suppress(OSError):
                Path(parent, name).unlink()
        for name in folders:
            # It is empty by now, or a link to a folder.
            with suppress(OSError):
                child = Path(parent, name)
                child.unlink() if child.is_symlink() else child.rmdir()
    with suppress(OSError):
        path.rmdir()
    return not is_anything(path)
