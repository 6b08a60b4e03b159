"""Small files that are written whole: a reader meets the old one or the new one, never a part."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_whole(path: Path, content: str | bytes, *, mode: int | None = None, durable: bool = False) -> None:
    """Put a file in the place of whatever is there, also of a link.

    `mode` holds whatever the umask is. What is `durable` outlasts a loss of power from then on. Raises
    OSError and leaves nothing of its own behind; only a kill can leave a file `NAME.<8 hexadecimal digits>`.
    """
    new = path.with_name(f"{path.name}.{os.urandom(4).hex()}")
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
    try:
        descriptor = os.open(
            new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600 if mode else 0o666
        )
        with os.fdopen(descriptor, "wb") as file:
            if mode is not None:
                os.fchmod(descriptor, mode)
            file.write(data)
            if durable:
                file.flush()
                os.fsync(descriptor)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
