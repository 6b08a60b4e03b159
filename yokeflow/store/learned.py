"""What earlier sessions teach about later ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

#: Median seconds of the sessions that completed, by task and by category.
_DURATIONS = text("""
SELECT coalesce(item.key, 'category:' || item.category) AS name,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY session.seconds) AS median
FROM sessions session JOIN work_items item ON item.id = session.work_item_id
WHERE session.project_id = CAST(:project AS uuid) AND session.state = 'completed'
  AND session.seconds IS NOT NULL
GROUP BY GROUPING SETS ((item.key), (item.category))
HAVING item.key IS NOT NULL OR item.category <> ''
""")


async def durations(conn: AsyncConnection, project_id: UUID) -> dict[str, float]:
    """Seconds by id of a task, and by category under `category:<name>`."""
    rows = await conn.execute(_DURATIONS, {"project": str(project_id)})
    return {row.name: row.median for row in rows}
