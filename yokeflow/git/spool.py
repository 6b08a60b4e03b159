"""What git hooks wrote down for us: read in order, lost never, now and then read twice."""

from __future__ import annotations

import fcntl
import json
import os
import re
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yokeflow.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

#: Bytes of notes that are read at once; branches tell of the rest.
_MOST = 4_000_000
_OID = r"[0-9a-f]{40}|[0-9a-f]{64}"
_SEEN = re.compile(rf"1 (post-commit|post-merge) ({_OID}) (refs/heads/\S+|-)")
_REWRITTEN = re.compile(rf"1 post-rewrite ({_OID}) ({_OID}) (?:\S+ )*(amend|rebase)")


@dataclass(frozen=True, slots=True)
class Seen:
    """A hook saw this commit at HEAD."""

    hook: str
    commit: str
    #: Full name of the branch; empty where HEAD was detached.
    ref: str


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A commit that took the place of another."""

    old: str
    new: str
    #: `amend` or `rebase`
    how: str


class Spool:
    """The notes of one repository's hooks, and where all branches were when they were last read."""

    def __init__(self, state_dir: Path) -> None:
        self._folder = state_dir
        self._new = state_dir / "spool"
        self._taken = state_dir / "spool.read"
        self._state_file = state_dir / "spool.json"
        self._read = 0

    @property
    def waits(self) -> bool:
        """Whether there are notes that nobody has read."""
        return self._new.exists()

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Keep other readers out while the block runs; False when one is at it."""
        descriptor = os.open(self._folder / "spool.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)

    def tips(self) -> dict[str, str] | None:
        """Commit by branch when notes were last read; None for never."""
        try:
            state = json.loads(self._state_file.read_bytes())
            return {str(ref): str(oid) for ref, oid in state["tips"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def take(self, tips: Mapping[str, str]) -> list[Seen | Rewritten]:
        """The notes that were not read yet; they are read again until `done` is called.

        A hook that has the file open when it is renamed writes into the renamed one, which is why that stays
        until the next time.
        """
        lines = self._lines(self._offset())
        self._save(tips, 0)
        with suppress(FileNotFoundError):
            self._new.replace(self._taken)
            lines += self._lines(0)
        return [note for line in lines if (note := _note(line))]

    def done(self, tips: Mapping[str, str]) -> None:
        """What was taken is safe elsewhere, and branches were at `tips`."""
        self._save(tips, self._read)

    def _offset(self) -> int:
        try:
            return int(json.loads(self._state_file.read_bytes())["read"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def _save(self, tips: Mapping[str, str], read: int) -> None:
        write_whole(self._state_file, json.dumps({"tips": tips, "read": read}))

    def _lines(self, offset: int) -> list[str]:
        """Complete lines of the file that was taken, as many as are read at once."""
        self._read = 0
        try:
            with self._taken.open("rb") as opened:
                opened.seek(offset)
                data = opened.read(_MOST)
        except FileNotFoundError:
            return []
        end = data.rfind(b"\n") + 1
        # No note is as long as all that is read at once.
        self._read = offset + (end or (len(data) if len(data) == _MOST else 0))
        return data[:end].decode("ascii", "replace").splitlines()


def _note(line: str) -> Seen | Rewritten | None:
    if found := _SEEN.fullmatch(line):
        return Seen(found[1], found[2], found[3].removeprefix("-"))
    if found := _REWRITTEN.fullmatch(line):
        return Rewritten(found[1], found[2], found[3])
    return None
