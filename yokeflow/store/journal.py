"""The journal: events of a project in one file, written before anything relies on them.

The file is JSON lines: a header `{"journal":"<generation>"}`, then one event a line. Lines that are no events
are skipped, so a writer need not care about the header: a shell appends with

    printf '\\n%s\\n' "$event" >&9; [ "$journal" -ef /dev/fd/9 ] || printf '\\n%s\\n' "$event" >>"$journal"

where descriptor 9 was opened by `9>>"$journal"`. The second append matters when a compaction came in between;
applying an event twice does no harm.

What is appended together counts together or not at all, also where a crash tears it: a line `{"batch":[...]}`
before it has the beginnings of its events' ids, and unless all of them follow none is read.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from yokeflow.errors import DiskFullError
from yokeflow.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT)
_PIECE = 1 << 20
#: Events that `events` reads at once.
_PAGE = 2000
_HEADER_LIMIT = 200
#: Characters of an id by which a batch names its events.
_NAMED = 8


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some events and the place behind them."""

    events: tuple[Event, ...]
    #: Changes whenever the file is written anew; empty for a file that never had a header.
    generation: str
    #: Byte at which the next read starts.
    offset: int
    #: Lines that were no events: torn by a crash, or foreign.
    skipped: int = 0


class Journal:
    """A file that several processes append to and read at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, *events: Event) -> None:
        """Add events, all or none of them, in one write.

        Raises DiskFullError when there is no room; the file is then as it was.
        """
        lines = _batch_line(events) + "".join(f"{event.to_json()}\n" for event in events)
        with _full_disk(self.path), self._opened(os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX) as file:
            _append(file, lines.encode("utf-8", "replace"))

    def read(self, generation: str, offset: int, *, limit: int = 500) -> Chunk:
        """At most `limit` events from `offset` of `generation` on.

        Where the file is of another generation it is read from its start. A line without an end is left for
        later: its writer may be at work, and if it died the next append closes the line.
        """
        if not self.path.exists():
            return Chunk((), "", 0)
        with self._opened(os.O_RDONLY, fcntl.LOCK_SH) as file:
            current, start = _header(file)
            size = os.fstat(file).st_size
            if generation != current or not start <= offset <= size:
                offset = start
            return _parse(_lines(file, offset), current, offset, limit)

    def events(self, generation: str = "", offset: int = 0) -> Iterator[Event]:
        """All events from a place on; from the start where the file is of another generation."""
        while True:
            chunk = self.read(generation, offset, limit=_PAGE)
            yield from chunk.events
            if len(chunk.events) < _PAGE:
                return
            generation, offset = chunk.generation, chunk.offset

    def compact(self, generation: str, offset: int) -> bool:
        """Drop what lies before `offset`; the rest becomes a new generation, to be read from its start.

        Nothing appended meanwhile is lost: writers of ours wait for the lock, and what a shell adds to
        the old file up to the moment of the rename is copied after it. False when the generation has passed.
        """
        if not self.path.exists():
            return False
        with _full_disk(self.path), self._opened(os.O_RDONLY, fcntl.LOCK_EX) as old:
            current, start = _header(old)
            if current != generation or offset <= start:
                return False
            self._replace(old, offset)
        return True

    def _replace(self, old: int, offset: int) -> None:
        new_path = self.path.with_name(f"{self.path.name}.{uuid4().hex}")
        new = os.open(new_path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_EXCL, 0o600)
        try:
            # Held until the tail is over, so that no writer of ours gets between.
            fcntl.flock(new, fcntl.LOCK_EX)
            rest = _read_from(old, offset)
            _append(new, rest)
            new_path.rename(self.path)
            late = _read_from(old, offset + len(rest))
            if late:
                _append(new, late)
        finally:
            os.close(new)
            new_path.unlink(missing_ok=True)

    @contextmanager
    def _opened(self, flags: int, lock: int) -> Iterator[int]:
        """The file that bears the name at the moment the lock is held."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            file = os.open(self.path, flags | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, lock)
                if self._is_current(file):
                    yield file
                    return
            finally:
                os.close(file)

    def _is_current(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), self.path.stat())
        except FileNotFoundError:
            return False


@contextmanager
def _full_disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFullError(
            f"no space is left to write {path}", hint="free some space on that disk, then `yoke resume`"
        ) from error


def _append(file: int, data: bytes) -> None:
    """Write at the end, behind a header and a closed line; take a partial write back."""
    size = os.fstat(file).st_size
    if size == 0:
        data = json.dumps({"journal": uuid4().hex}, separators=(",", ":")).encode() + b"\n" + data
    elif os.pread(file, 1, size - 1) != b"\n":
        data = b"\n" + data
    try:
        while data:
            data = data[os.write(file, data) :]
    except OSError:
        os.ftruncate(file, size)
        raise


def _header(file: int) -> tuple[str, int]:
    """Generation of a file and where its events start."""
    first, newline, _ = os.pread(file, _HEADER_LIMIT, 0).partition(b"\n")
    if not newline:
        return "", 0
    try:
        return str(json.loads(first)["journal"]), len(first) + 1
    except (ValueError, KeyError, TypeError):
        return "", 0


def _lines(file: int, offset: int) -> Iterator[bytes]:
    """Complete lines from a place on, without their newlines."""
    rest = b""
    while piece := os.pread(file, _PIECE, offset):
        offset += len(piece)
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines


def _batch_line(events: Sequence[Event]) -> str:
    """The line before events that count together; none before a single one."""
    if len(events) < 2:
        return ""
    return json.dumps({"batch": [event.id[:_NAMED] for event in events]}, separators=(",", ":")) + "\n"


def _parse(lines: Iterator[bytes], generation: str, offset: int, limit: int) -> Chunk:
    found = _Found(offset)
    for line in lines:
        found.take(line)
        if len(found.events) >= limit:
            break
    # The rest of a batch that is known to be whole may be read the next time.
    events = found.events[:limit]
    end = events[-1][1] if len(found.events) > limit else found.offset
    return Chunk(tuple(event for event, _ in events), generation, end, found.skipped)


class _Found:
    """Events out of lines; those of a batch when its last one is there."""

    def __init__(self, offset: int) -> None:
        #: Each with the place behind it.
        self.events: list[tuple[Event, int]] = []
        self.skipped = 0
        #: Behind what is settled: a batch that is not whole may be so when more was read.
        self.offset = offset
        self._at = offset
        self._held: list[tuple[Event, int]] = []
        self._wanted: list[str] = []

    def take(self, line: bytes) -> None:
        """One more line."""
        self._at += len(line) + 1
        try:
            if ids := _batch_ids(line):
                self._give_up()
                self._wanted = ids[::-1]
                return
            self._add(_event(line))
        except (ValueError, KeyError, TypeError, AttributeError):
            self.skipped += bool(line.strip())
            self._give_up()
        if not self._wanted:
            self.offset = self._at

    def _add(self, event: Event) -> None:
        if self._wanted and event.id[:_NAMED] != self._wanted.pop():
            self._give_up()
        self._held.append((event, self._at))
        if not self._wanted:
            self.events += self._held
            self._held = []

    def _give_up(self) -> None:
        """A crash has torn what was to count together."""
        self.skipped += len(self._held)
        self._held, self._wanted = [], []


def _batch_ids(line: bytes) -> list[str]:
    """The beginnings of ids that a line says to follow; none for any other line."""
    if not line.startswith(b'{"batch":'):
        return []
    return [str(name) for name in json.loads(line)["batch"]]


def _event(line: bytes) -> Event:
    event = Event.from_json(line)
    UUID(event.id)
    if not all(
        isinstance(word, str) for word in (event.type, event.run, event.epic, event.task, event.session)
    ):
        raise TypeError("common fields are text")
    return event


def _read_from(file: int, offset: int) -> bytes:
    pieces = []
    while piece := os.pread(file, _PIECE, offset):
        pieces.append(piece)
        offset += len(piece)
    return b"".join(pieces)
