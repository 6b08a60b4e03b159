"""The file in which Codex CLI keeps a conversation: what each answer took, also of a turn that failed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from yoke_agents.common import json_object, mapping, text

if TYPE_CHECKING:
    from pathlib import Path

#: Of the lines that matter; the others hold whole prompts and are not worth decoding.
_MARKS = (b'"token_usage_record"', b'"token_count"', b'"turn_context"')


class SessionFile:
    """Follows the file of a conversation that has just begun; one that cannot be read tells nothing."""

    def __init__(self, home: Path) -> None:
        """`home` is the program's own folder."""
        self._folder = home / "sessions"
        self._path: Path | None = None
        self._read = 0
        #: The model that answers, and what it used in all, as the program counts; empty where unknown.
        self.model = ""
        self.usage: dict[str, Any] = {}

    def follow(self, conversation: str) -> None:
        """Read what was written since the last time."""
        try:
            self._path = self._path or self._find(conversation)
            if self._path is None:
                return
            with self._path.open("rb") as file:
                file.seek(self._read)
                lines = file.read()
        except OSError:
            return
        # The last line may be half written.
        lines = lines[: lines.rfind(b"\n") + 1]
        self._read += len(lines)
        for line in lines.splitlines():
            if any(mark in line for mark in _MARKS):
                self._take(json_object(line))

    def _find(self, conversation: str) -> Path | None:
        try:
            name = f"rollout-*-{UUID(conversation)}.jsonl"
        except ValueError:
            return None
        # Folders are days by the clock of some zone.
        days = (datetime.now(UTC) + timedelta(days=days) for days in (0, -1, 1))
        found = (path for day in days for path in self._folder.glob(f"{day:%Y/%m/%d}/{name}"))
        return next(found, None)

    def _take(self, line: dict[str, Any]) -> None:
        said = mapping(line.get("payload"))
        match line.get("type"):
            case "turn_context":
                self.model = text(said.get("model")) or self.model
            case "token_usage_record":
                self.usage = mapping(said.get("thread_token_usage")) or self.usage
            case "event_msg" if said.get("type") == "token_count":
                # Versions that keep no record of each answer have this one.
                self.usage = mapping(mapping(said.get("info")).get("total_token_usage")) or self.usage
