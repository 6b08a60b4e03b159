"""Copies of what landings wrote, since a garbage collection that began before may still delete it.

`git gc --prune=now`, as an agent may run it, looks up what refs lead to and then deletes everything else. A
target that is moved in between would lead to nothing.
"""

from __future__ import annotations

import os
import re
import zlib
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from yokeflow.git.repo import Repo

#: A collection deletes soon after it has looked; what was written long before it spares.
_MOST: Final = 16
#: Seconds by which the time of a file may be behind.
_GRAIN: Final = 0.02
#: Bytes of a tree whose files nobody looks for one by one.
_LARGE: Final = 1 << 15
#: The names of a tree's entries, and of those that are trees, by the size of names. Where these find what
#: only looks like an entry, nothing has that name.
_ENTRIES: Final = {size: re.compile(rb"\d+ [^\0]+\0(.{%d})" % size, re.DOTALL) for size in (20, 32)}
_TREES: Final = {size: re.compile(rb"(?=40000 [^\0]+\0(.{%d}))" % size, re.DOTALL) for size in (20, 32)}


class Copies:
    """The object files of a run's latest landings."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._taken: deque[dict[str, bytes]] = deque(maxlen=_MOST)

    def take(self, commits: Iterable[str], since: float) -> None:
        """Copy some commits, and what they name that was written for them, which is all `since` that time."""
        for commit in commits:
            self._taken.append(self._written_for(commit, since - _GRAIN))

    async def restore(self) -> None:
        """Write again what is gone, unless git has packed it meanwhile."""
        for content in self._missing():
            kind, _, body = zlib.decompress(content).partition(b"\0")
            flags = ("-t", kind.split()[0].decode(), "-w", "--stdin")
            await self._repo.git("hash-object", *flags, stdin=body)

    def _missing(self) -> list[bytes]:
        return [
            content for files in self._taken for file, content in files.items() if not Path(file).exists()
        ]

    def _written_for(self, commit: str, since: float) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        names, objects = [commit], self._repo.common_dir / "objects"
        while names:
            name = names.pop()
            # There can be a thousand of them, for which a Path takes too long.
            file = f"{objects}/{name[:2]}/{name[2:]}"
            # What is in a pack only is older.
            with suppress(FileNotFoundError):
                if os.lstat(file).st_mtime >= since and file not in found:
                    found[file] = Path(file).read_bytes()
                    names += _below(zlib.decompress(found[file]), len(name) // 2)
        return found


def _below(content: bytes, size: int) -> list[str]:
    """The names, of `size` bytes, that a commit or a tree has in it, but for a commit's parents.

    Of a very large tree only those of its trees: to look for each of its files would hold up the landing.
    """
    kind, _, rest = content.partition(b"\0")
    if kind.startswith(b"commit"):
        return [rest[5 : 5 + 2 * size].decode()]
    if not kind.startswith(b"tree"):
        return []
    entries = _ENTRIES if len(rest) <= _LARGE else _TREES
    return [name.hex() for name in entries[size].findall(rest)]
