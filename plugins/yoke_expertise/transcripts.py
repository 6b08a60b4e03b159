"""The commands an agent ran, read from its transcript: Claude's stream, Codex's stream, or plain text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from yoke_expertise.shell import parts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from yoke_expertise.shell import Part

#: Commands of one line, and how it ended.
_Ran: TypeAlias = "tuple[tuple[Part, ...], bool | None]"

#: Bytes of a transcript that are read, and commands that are kept.
_MOST_BYTES: Final = 4_000_000
_MOST_COMMANDS: Final = 200
_LONGEST_LINE: Final = 200_000

_PROMPT: Final = re.compile(r"^(?:\$|\+{1,3})\s+(?=\S)")


@dataclass(frozen=True, slots=True)
class Command:
    """One command; whether it succeeded is None where the transcript does not say."""

    text: str
    ok: bool | None = None


def commands_in(transcript: Path) -> tuple[Command, ...]:
    """Commands that build and test, in order, redacted; none where there is no transcript."""
    found: list[Command] = []
    pending: dict[str, tuple[Part, ...]] = {}
    try:
        with transcript.open("rb") as file:
            for line in _lines(file):
                for parts, ok in _read(line, pending):
                    found += [Command(part.text, ok if part.told else None) for part in parts]
                if len(found) >= _MOST_COMMANDS:
                    break
    except OSError:
        return ()
    # What was started and never answered.
    found += [Command(part.text) for parts in pending.values() for part in parts]
    return tuple(found[:_MOST_COMMANDS])


def worked(commands: Iterable[Command]) -> tuple[str, ...]:
    """Commands that succeeded when it was last known how they ended, in the order in which they did."""
    last: dict[str, bool] = {}
    for command in commands:
        if command.ok is not None:
            last.pop(command.text, None)
            last[command.text] = command.ok
    return tuple(text for text, ok in last.items() if ok)


def _lines(file: Iterable[bytes]) -> Iterator[bytes]:
    left = _MOST_BYTES
    for line in file:
        left -= len(line)
        if left < 0:
            return
        if len(line) <= _LONGEST_LINE:
            yield line.strip()


def _read(line: bytes, pending: dict[str, tuple[Part, ...]]) -> Iterator[_Ran]:
    """Commands of one line with how they ended; those that go on are put into `pending`."""
    if not line.startswith(b"{"):
        shown = line.decode(errors="replace")
        if _PROMPT.match(shown) and (parts := parts_of(_PROMPT.sub("", shown))):
            yield parts, None
        return
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return
    if isinstance(event, dict):
        yield from _claude(event, pending)
        yield from _codex(event)


def _claude(event: dict[str, Any], pending: dict[str, tuple[Part, ...]]) -> Iterator[_Ran]:
    message = event.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, dict):
            continue
        if part.get("type") == "tool_use":
            given = part.get("input")
            script = given.get("command") if isinstance(given, dict) else None
            left = isinstance(given, dict) and given.get("run_in_background")
            if isinstance(script, str) and not left and (parts := parts_of(script)):
                pending[str(part.get("id"))] = parts
        elif part.get("type") == "tool_result":
            parts = pending.pop(str(part.get("tool_use_id")), ())
            if parts:
                yield parts, not part.get("is_error")


def _codex(event: dict[str, Any]) -> Iterator[_Ran]:
    item = event.get("item")
    if event.get("type") != "item.completed" or not isinstance(item, dict):
        return
    script, code = item.get("command"), item.get("exit_code")
    if item.get("type") == "command_execution" and isinstance(script, str) and (parts := parts_of(script)):
        yield parts, code == 0 if isinstance(code, int) else None
