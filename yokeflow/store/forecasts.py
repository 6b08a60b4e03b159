"""What earlier runs and this one found out about conflicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

#: Conflicts of a file, foreseen or met, from which on it is one that often conflicts.
OFTEN = 3

_OPEN = text("""
SELECT epic, with_epic, target, files, more, tasks FROM conflict_forecasts
WHERE project_id = CAST(:project AS uuid) AND cleared_at IS NULL
ORDER BY opened_at, epic, with_epic
""")

_FILES = text("""
SELECT path, forecasts + hand_overs + landings AS conflicts, epics FROM conflict_files
WHERE project_id = CAST(:project AS uuid)
ORDER BY conflicts DESC, last_at DESC, path
LIMIT 1000
""")


@dataclass(frozen=True, slots=True)
class Forecast:
    """Two epics, or an epic and the target, that do not merge as they are."""

    #: The first in plan order.
    epic: str
    #: Empty for the target.
    with_epic: str
    target: str
    #: The first of them, and how many there are beyond.
    files: tuple[str, ...]
    more: int = 0
    #: By epic the tasks whose commits changed these files.
    tasks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def pair(self) -> tuple[str, str]:
        """What tells it from others."""
        return self.epic, self.with_epic


@dataclass(frozen=True, slots=True)
class ConflictHistory:
    """A file that was in conflict."""

    path: str
    #: How often, foreseen or met.
    conflicts: int
    #: Ids of those who took part.
    epics: frozenset[str]


async def open_forecasts(conn: AsyncConnection, project_id: UUID) -> list[Forecast]:
    """The conflicts that were known last, the oldest first."""
    rows = await conn.execute(_OPEN, {"project": str(project_id)})
    return [
        Forecast(
            row.epic,
            row.with_epic,
            row.target,
            tuple(row.files),
            row.more,
            {epic: tuple(tasks) for epic, tasks in row.tasks.items()},
        )
        for row in rows
    ]


async def conflict_files(conn: AsyncConnection, project_id: UUID) -> list[ConflictHistory]:
    """Files that were in conflict, the most frequent first."""
    rows = await conn.execute(_FILES, {"project": str(project_id)})
    return [ConflictHistory(row.path, row.conflicts, frozenset(row.epics)) for row in rows]
