"""Conflicts that are known before they happen, and files that were in conflict."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import text

from yokeflow.store.projections.registry import on

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yokeflow.events import Event

#: A pair that conflicts again begins anew.
_OPEN = text("""
INSERT INTO conflict_forecasts
       (project_id, epic, with_epic, target, files, more, tasks, opened_at, changed_at)
VALUES (CAST(:project AS uuid), :epic, :with_epic, :target, CAST(:files AS jsonb), CAST(:more AS int),
        CAST(:tasks AS jsonb), :at, :at)
ON CONFLICT (project_id, epic, with_epic) DO UPDATE
SET target = EXCLUDED.target, files = EXCLUDED.files, more = EXCLUDED.more, tasks = EXCLUDED.tasks,
    changed_at = EXCLUDED.changed_at, cleared_at = NULL,
    opened_at = CASE WHEN conflict_forecasts.cleared_at IS NULL THEN conflict_forecasts.opened_at
                     ELSE EXCLUDED.opened_at END
""")

_CLEAR = text("""
UPDATE conflict_forecasts SET cleared_at = :at, changed_at = :at
WHERE project_id = CAST(:project AS uuid) AND epic = :epic AND with_epic = :with_epic AND cleared_at IS NULL
""")

#: Counts one conflict more for each of these files. Paths too long for an index are nobody's habit.
_COUNT = """
INSERT INTO conflict_files AS known (project_id, path, {column}, epics, last_at)
SELECT CAST(:project AS uuid), path, 1, CAST(:epics AS jsonb), CAST(:at AS timestamptz)
FROM jsonb_array_elements_text(CAST(:files AS jsonb)) AS path
WHERE octet_length(path) BETWEEN 1 AND 1000
GROUP BY path
ON CONFLICT (project_id, path) DO UPDATE
SET {column} = known.{column} + 1, last_at = greatest(known.last_at, EXCLUDED.last_at),
    epics = (SELECT jsonb_agg(DISTINCT epic)
             FROM jsonb_array_elements(known.epics || EXCLUDED.epics) AS epic)
"""
_COUNTS = {column: text(_COUNT.format(column=column)) for column in ("forecasts", "hand_overs", "landings")}


@on("forecast.conflicted")
async def conflicted(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """Files count that were not in conflict a moment ago, and only between two epics.

    What conflicts with the target did so before with an epic that has landed since, or was met at landing.
    """
    data = event.data
    with_epic = data.get("with_epic") or ""
    values = {
        "with_epic": with_epic,
        "target": data.get("target") or "",
        "files": json.dumps(list(data.get("files") or ())),
        "more": data.get("more") or 0,
        "tasks": json.dumps(dict(data.get("tasks") or {})),
    }
    await conn.execute(_OPEN, {"project": str(project), "epic": event.epic, "at": event.at, **values})
    if with_epic:
        await _count(conn, project, event, "forecasts", data.get("new") or (), (event.epic, with_epic))


@on("forecast.cleared")
async def cleared(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """It may open again later."""
    pair = {"epic": event.epic, "with_epic": event.data.get("with_epic") or "", "at": event.at}
    await conn.execute(_CLEAR, {"project": str(project), **pair})


@on("landing.conflicted")
async def landing_conflicted(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """A conflict that came to be."""
    await _count(conn, project, event, "landings", event.data.get("files") or (), (event.epic,))


@on("handover.conflicted")
async def handover_conflicted(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """Work of another epic could not be taken in."""
    with_epic = event.data.get("with_epic") or ""
    epics = filter(None, (event.epic, with_epic))
    await _count(conn, project, event, "hand_overs", event.data.get("files") or (), epics)


async def _count(
    conn: AsyncConnection, project: UUID, event: Event, column: str, files: object, epics: Iterable[str]
) -> None:
    paths = list(files) if isinstance(files, list | tuple) else []
    told = {"files": json.dumps(paths), "epics": json.dumps(list(epics)), "at": event.at}
    await conn.execute(_COUNTS[column], {"project": str(project), **told})
