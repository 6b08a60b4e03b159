"""What a session's git tells of itself: which commands it ran, when, and how they ended."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

#: Bytes of a session's log that are looked at.
_MOST = 64_000_000
#: What is looked at in the log; git tells much more.
_TOLD = tuple(f'"event":"{event}"'.encode() for event in ("start", "exit"))
#: Options of git itself whose value is the next word.
_WITH_VALUE = {"-C", "-c", "--git-dir", "--work-tree", "--namespace", "--config-env", "--attr-source"}


@dataclass(frozen=True, slots=True)
class Command:
    """A command of git."""

    #: The verb and what follows it, without the options of git itself.
    words: tuple[str, ...]
    #: Seconds since the epoch.
    started: float
    #: None as long as it runs, and for a command that was killed.
    ended: float | None = None
    code: int | None = None

    @property
    def failed(self) -> bool:
        """Whether it told that it did not do what it was asked."""
        return self.code is not None and self.code != 0


def tell(log: Path) -> dict[str, str]:
    """Environment by which git tells its commands in `log`."""
    return {"GIT_TRACE2_EVENT": str(log), "GIT_TRACE2_EVENT_NESTING": "1"}


def commands(log: Path, after: int = 0) -> list[Command]:
    """Commands that are told in `log`, in the order in which they started.

    Those that were over when it had `after` bytes are left out. That order holds also when the clock jumps.
    """
    found: dict[str, Command] = {}
    for place, line in _lines(log):
        # A session can write what it likes into its log, and a killed git half a line.
        with suppress(ValueError, KeyError, TypeError, AttributeError):
            _take(found, json.loads(line), settled=place < after)
    return list(found.values())


def _take(found: dict[str, Command], entry: dict[str, Any], *, settled: bool) -> None:
    sid, at = entry["sid"], datetime.fromisoformat(entry["time"]).timestamp()
    if entry["event"] == "start":
        found[sid] = Command(_words(entry["argv"][1:]), at)
    elif settled:
        del found[sid]
    else:
        found[sid] = replace(found[sid], ended=at, code=int(entry["code"]))


def size(log: Path) -> int:
    """Bytes that were told until now."""
    return log.stat().st_size if log.is_file() else 0


def _lines(log: Path) -> Iterator[tuple[int, bytes]]:
    """What is looked at, with where it begins."""
    if not log.is_file():
        return
    with log.open("rb") as opened:
        lines = opened.readlines(_MOST)
    for line, place in zip(lines, accumulate(map(len, lines), initial=0), strict=False):
        if line[1:].startswith(_TOLD):
            yield place, line


def _words(argv: Sequence[str]) -> tuple[str, ...]:
    words = [str(word) for word in argv]
    while words and words[0].startswith("-"):
        del words[: 2 if words[0] in _WITH_VALUE else 1]
    return tuple(words)
