"""What people asked for and nobody has answered yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from yokeflow.events import Event

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

#: Requests that ask for a confirmation and have none, oldest first. A run confirms what it heard; one that
#: has ended hears no more, and to stop or pause it is of no use then.
_KEPT = text("""
SELECT CAST(asked.id AS text) AS id, asked.run, asked.type, asked.at, asked.payload
FROM events asked
WHERE asked.project_id = CAST(:project AS uuid) AND asked.type = 'control.requested'
  AND asked.payload ->> 'confirm' = 'true'
  AND asked.payload ->> 'action' NOT IN ('pause', 'continue', 'cancel')
  AND NOT EXISTS (SELECT FROM events applied
                  WHERE applied.project_id = asked.project_id AND applied.type = 'control.applied'
                    AND applied.payload ->> 'request' = CAST(asked.id AS text))
ORDER BY asked.seq
""")


async def kept_requests(conn: AsyncConnection, project_id: UUID) -> list[Event]:
    """What was asked for while nobody could do it. The caller knows that no run is going on."""
    rows = await conn.execute(_KEPT, {"project": str(project_id)})
    return [Event(row.type, row.run, data=row.payload, id=row.id, at=row.at) for row in rows]
