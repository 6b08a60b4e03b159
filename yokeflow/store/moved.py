"""In which epics tasks were when they were done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

_DONE_IN = text("""
SELECT DISTINCT ON (done.task) done.task, done.epic FROM events done
WHERE done.project_id = CAST(:project AS uuid) AND done.type IN ('task.completed', 'task.rebased')
  AND done.task <> ''
ORDER BY done.task, done.seq DESC
""")


async def done_in(conn: AsyncConnection, project_id: UUID) -> dict[str, str]:
    """By task that was ever done, the epic in which it was when its commit was recorded."""
    rows = await conn.execute(_DONE_IN, {"project": str(project_id)})
    return {row.task: row.epic for row in rows}
