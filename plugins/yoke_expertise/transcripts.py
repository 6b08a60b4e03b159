"""The commands an agent ran, read from its transcript: Claude's stream, Codex's stream, or plain text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from yoke_expertise.signature import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

#: Bytes of a transcript that are read, and commands that are kept.
_MOST_BYTES: Final = 4_000_000
_MOST_COMMANDS: Final = 200
_LONGEST_LINE: Final = 200_000
_LONGEST_COMMAND: Final = 120

#: Programs that build and test; others teach nothing about a project.
_PROGRAMS: Final = re.compile(
    r"^(?:(?:uv|poetry|pipenv|pdm|hatch|rye) run |(?:bundle exec|npx|pnpm exec|yarn|bunx) |python3? -m |\./|"
    r"(?:\.?venv|node_modules)/\.?bin/)*"
    r"(?:pytest|tox|nox|unittest|mypy|ruff|pyright|flake8|black|pre-commit|coverage|manage\.py test|"
    r"(?:npm|pnpm|yarn|bun) (?:run |test|ci|install|build|lint|typecheck)|"
    r"jest|vitest|eslint|tsc|playwright|cypress|"
    r"make|just|cmake|ctest|ninja|bazel|meson|"
    r"cargo (?:test|build|check|clippy|fmt|nextest)|go (?:test|build|vet)|golangci-lint|"
    r"(?:\./)?gradlew?|mvnw?|dotnet (?:test|build)|rspec|rake|rubocop|phpunit|composer|mix (?:test|compile)|"
    r"swift (?:test|build)|docker(?: compose|-compose)|terraform|alembic|prisma|yoke)\b"
)
_ASSIGNMENT: Final = re.compile(r"^(?:[A-Z_][A-Z0-9_]*=\S*\s+)+")
_PROMPT: Final = re.compile(r"^(?:\$|\+{1,3})\s+(?=\S)")
_SHELL: Final = re.compile(r"^(?:/\S+/)?(?:ba|z)?sh\s+-l?c\s+(['\"]?)(.*)\1$", re.DOTALL)
#: What cuts output or ignores a failure says nothing about the command before it.
_TAIL: Final = re.compile(r"\s*(?:2>&1|\|\s*(?:tail|head|tee|cat|grep|less)\b.*|>\s*\S+|\|\|\s*true)\s*$")


@dataclass(frozen=True, slots=True)
class Command:
    """One command; whether it exited 0 is None where the transcript does not say."""

    text: str
    ok: bool | None = None


def commands_in(transcript: Path) -> tuple[Command, ...]:
    """Commands that build and test, in order, redacted; none where there is no transcript."""
    found: list[Command] = []
    pending: dict[str, tuple[str, ...]] = {}
    try:
        with transcript.open("rb") as file:
            for line in _lines(file):
                for texts, ok in _read(line, pending):
                    found += [Command(text, ok) for text in texts]
                if len(found) >= _MOST_COMMANDS:
                    break
    except OSError:
        return ()
    # What was started and never answered.
    found += [Command(text) for texts in pending.values() for text in texts]
    return tuple(found[:_MOST_COMMANDS])


def worked(commands: Iterable[Command]) -> tuple[str, ...]:
    """Commands whose last run did not fail, in the order of their last run."""
    last: dict[str, bool | None] = {}
    for command in commands:
        last.pop(command.text, None)
        last[command.text] = command.ok
    return tuple(text for text, ok in last.items() if ok is not False)


def parts_of(script: str) -> tuple[str, ...]:
    """The commands of one line of shell that build or test, without what only cuts their output."""
    inner = _SHELL.match(script.strip())
    lines = (inner[2] if inner else script).strip().splitlines()
    parts = re.split(r"\s*(?:&&|;)\s*", lines[0]) if len(lines) == 1 else []
    return tuple(part for each in parts if (part := _plain(each)))


def _plain(part: str) -> str:
    before = ""
    while before != part:
        before, part = part, _TAIL.sub("", part).strip()
    part = _ASSIGNMENT.sub("", part)
    fits = _PROGRAMS.match(part) and len(part) <= _LONGEST_COMMAND and "`" not in part
    return clean(part, _LONGEST_COMMAND) if fits else ""


def _lines(file: Iterable[bytes]) -> Iterator[bytes]:
    left = _MOST_BYTES
    for line in file:
        left -= len(line)
        if left < 0:
            return
        if len(line) <= _LONGEST_LINE:
            yield line.strip()


def _read(line: bytes, pending: dict[str, tuple[str, ...]]) -> Iterator[tuple[tuple[str, ...], bool | None]]:
    """Commands of one line with how they ended; those that go on are put into `pending`."""
    if not line.startswith(b"{"):
        shown = line.decode(errors="replace")
        if _PROMPT.match(shown) and (texts := parts_of(_PROMPT.sub("", shown))):
            yield texts, None
        return
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return
    if isinstance(event, dict):
        yield from _claude(event, pending)
        yield from _codex(event)


def _claude(
    event: dict[str, Any], pending: dict[str, tuple[str, ...]]
) -> Iterator[tuple[tuple[str, ...], bool | None]]:
    message = event.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, dict):
            continue
        if part.get("type") == "tool_use":
            given = part.get("input")
            script = given.get("command") if isinstance(given, dict) else None
            if isinstance(script, str) and (texts := parts_of(script)):
                pending[str(part.get("id"))] = texts
        elif part.get("type") == "tool_result":
            texts = pending.pop(str(part.get("tool_use_id")), ())
            if texts:
                yield texts, not part.get("is_error")


def _codex(event: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], bool | None]]:
    item = event.get("item")
    if event.get("type") != "item.completed" or not isinstance(item, dict):
        return
    script, code = item.get("command"), item.get("exit_code")
    if item.get("type") == "command_execution" and isinstance(script, str) and (texts := parts_of(script)):
        yield texts, code == 0 if isinstance(code, int) else None
