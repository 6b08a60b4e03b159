"""Small files that are written whole: a reader meets the old one or the new one, never a part."""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

_NEW = re.compile(r".+\.[0-9a-f]{8}")


def write_whole(path: Path, content: str | bytes, *, mode: int | None = None, durable: bool = False) -> None:
    """Put a file in the place of whatever is there, also of a link.

    `mode` holds whatever the umask is. What is `durable` outlasts a loss of power from then on. Raises
    OSError and leaves nothing of its own behind; only a kill can leave a file `NAME.<8 hexadecimal digits>`,
    which `remove_left` removes.
    """
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
    while not _written(path, data, mode, durable=durable):
        pass


def _written(path: Path, data: bytes, mode: int | None, *, durable: bool) -> bool:
    """Whether it is there; false when somebody took the new file for one that was left."""
    new = path.with_name(f"{path.name}.{os.urandom(4).hex()}")
    flags = os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    # A program cannot be started while it is open for writing, so that is not what holds the lock.
    held = os.open(new, flags, 0o600 if mode else 0o666)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not os.fstat(held).st_nlink:
            return False
        if mode is not None:
            os.fchmod(held, mode)
        with new.open("r+b") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        new.replace(path)
        if durable:
            _sync_folder(path.parent)
        return True
    finally:
        os.close(held)
        new.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Until then, a loss of power may bring back the file that was there before."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(held)
    finally:
        os.close(held)


def remove_left(folder: Path, names: Collection[str] | None = None) -> None:
    """Remove what killed writers left in a folder, of files of these `names` where others write there too.

    One that is at work holds a lock on its file. The folder need not be there.
    """
    for path in folder.iterdir() if folder.is_dir() else ():
        ours = _NEW.fullmatch(path.name) and (names is None or path.stem in names)
        if ours and path.is_file():
            with suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
