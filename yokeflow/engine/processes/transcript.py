"""What a process prints: kept in a file up to a limit, its end remembered, its lines handed on."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Self

from yokeflow.errors import DiskFullError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Bytes of the end of the output that are always kept.
TAIL = 65_536
#: Longer lines are cut.
LONGEST_LINE = 1_048_576
#: Lines handed on of one block of output, at most 256 KB; streams of JSON have far fewer.
LINES_A_BLOCK = 2_000
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Transcript:
    """The file of one process's output. Whole lines pass `redact`, so a secret is never seen in halves."""

    def __init__(self, path: Path, limit: int, redact: Callable[[bytes], bytes]) -> None:
        self._path = path
        self._limit = limit
        self._redact = redact
        self._fd = -1
        self._written = 0
        self._skipped = 0
        self._tail = b""

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise self._failure(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def write(self, block: bytes) -> None:
        """Take whole lines, of any size together.

        Raises DiskFullError.
        """
        self._tail = (self._tail + block)[-TAIL:]
        fits = self._fitting(block)
        self._put(self._redact(block[:fits]))
        self._written += fits
        self._skipped += len(block) - fits

    def close(self) -> str:
        """Write the end of what was left out; the tail as text.

        Raises DiskFullError.
        """
        tail = _whole_lines(self._tail) if len(self._tail) == TAIL else self._tail
        if self._skipped > len(tail):
            left_out = self._skipped - len(tail)
            self._put(b"\n[yoke: %d bytes left out; the end follows]\n" % left_out + self._redact(tail))
        elif self._skipped:
            self._put(self._redact(tail[-self._skipped :]))
        return self._redact(tail).decode(errors="replace")

    def _fitting(self, block: bytes) -> int:
        """How much of `block` goes into the file: whole lines, and none after one was left out."""
        room = 0 if self._skipped else self._limit - self._written
        return len(block) if len(block) <= room else block.rfind(b"\n", 0, max(room, 0)) + 1

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError) -> DiskFullError | OSError:
        if error.errno not in _FULL:
            return error
        return DiskFullError(
            f"no space is left to write {self._path}", hint="free some space, then `yoke resume` goes on"
        )


def _whole_lines(data: bytes) -> bytes:
    """Without the rest of a line at the beginning, which could be half a secret."""
    return data[data.find(b"\n") + 1 :] or data


class Lines:
    """Splits blocks of output into whole lines for `on_line` without ever holding more than two megabytes."""

    def __init__(self, limit: int, on_line: Callable[[bytes], None] | None) -> None:
        self._left = limit
        self._on_line = on_line
        self._partial = b""
        self._cutting = False
        self._trimmed = False
        self._window = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        """Take what was read; gives back the whole lines that are complete now, for the transcript."""
        end = chunk.rfind(b"\n") + 1
        if not end:
            return self._hold(chunk)
        block = self._partial + chunk[:end]
        self._partial = chunk[end:]
        self._hand_on(block)
        return block

    def finish(self) -> bytes:
        """The rest, which has no newline."""
        rest, self._partial = self._partial, b""
        if rest:
            self._hand_on(rest)
        if self._left <= 0 and self._on_line:
            lines = bytes(self._window).split(b"\n")
            self._deliver(lines[1:] if self._trimmed else lines)  # the first lost its beginning
        return rest

    def _hold(self, chunk: bytes) -> bytes:
        self._partial += chunk
        if len(self._partial) < LONGEST_LINE:
            return b""
        block, self._partial = self._partial, b""
        self._hand_on(block)
        self._cutting = True
        return block

    def _hand_on(self, block: bytes) -> None:
        if self._on_line is None:
            return
        if self._cutting:
            # The line was handed on already, cut: this is its rest.
            rest = block.find(b"\n") + 1
            self._cutting = rest == 0
            block = block[rest:] if rest else b""
        if self._left <= 0:
            self._window += block
            if len(self._window) > 2 * LONGEST_LINE:
                del self._window[:-LONGEST_LINE]
                self._trimmed = True
            return
        self._left -= len(block)
        self._deliver(block.split(b"\n"))

    def _deliver(self, lines: list[bytes]) -> None:
        for line in lines[-LINES_A_BLOCK - 1 :]:
            if line and self._on_line:
                self._on_line(line[:LONGEST_LINE])
