"""Leave in a used worktree only the files that are just as in a new one.

Git's index is not asked: an agent may have told it anything. A file stays only when its kind, owner, rights,
size and number of names are those of a new one, and git itself compares its content afterwards.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yokeflow.git.checkouts import set_aside

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

_LINK = "120000"
_PROGRAM = "100755"
_PLAIN = "100644"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as a commit has it."""

    mode: str
    size: int


def entries(listing: Sequence[str]) -> dict[str, Entry]:
    """Path -> entry, from the pieces of `git ls-tree -r -l -z`."""
    found = {}
    for part in listing:
        meta, _, path = part.partition("\t")
        mode, _, _, size = meta.split()
        found[path] = Entry(mode, int(size) if size.isdigit() else -1)
    return found


def sift(folder: Path, wanted: Mapping[str, Entry], rewrite: Collection[str], trash: Path) -> None:
    """Move everything out of `folder` into `trash` that is not as `wanted`, and the paths in `rewrite`.

    Raises OSError for what cannot be moved.
    """
    folders = {path[:at] for path in wanted for at in _slashes(path)}
    _Sifter(wanted, folders, frozenset(rewrite), trash, _mask(trash)).walk(folder, "")


def _slashes(path: str) -> list[int]:
    return [at for at, char in enumerate(path) if char == "/"]


def _mask(trash: Path) -> int:
    """The rights that a fresh folder has here."""
    trash.mkdir(parents=True, exist_ok=True)
    fresh = trash / f"rights-{os.urandom(6).hex()}"
    fresh.mkdir()
    try:
        return stat.S_IMODE(fresh.stat().st_mode)
    finally:
        fresh.rmdir()


@dataclass(frozen=True, slots=True)
class _Sifter:
    wanted: Mapping[str, Entry]
    folders: Collection[str]
    rewrite: Collection[str]
    trash: Path
    #: Rights of a fresh folder.
    rights: int

    def walk(self, folder: Path, prefix: str) -> None:
        with os.scandir(folder) as found:
            names = [(entry.name, entry.stat(follow_symlinks=False)) for entry in found]
        for name, status in names:
            path = f"{prefix}{name}"
            if path == ".git":
                continue
            if path in self.folders and stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid():
                if stat.S_IMODE(status.st_mode) != self.rights:
                    (folder / name).chmod(self.rights)
                self.walk(folder / name, f"{path}/")
            elif not self._is_fresh(path, status):
                set_aside(folder / name, self.trash)

    def _is_fresh(self, path: str, status: os.stat_result) -> bool:
        entry = self.wanted.get(path)
        if entry is None or path in self.rewrite or status.st_uid != os.geteuid():
            return False
        return status.st_nlink == 1 and status.st_size == entry.size and self._has_mode(entry, status.st_mode)

    def _has_mode(self, entry: Entry, mode: int) -> bool:
        if entry.mode == _LINK:
            return stat.S_ISLNK(mode)
        rights = {_PROGRAM: self.rights & 0o777, _PLAIN: self.rights & 0o666}.get(entry.mode)
        return stat.S_ISREG(mode) and stat.S_IMODE(mode) == rights
