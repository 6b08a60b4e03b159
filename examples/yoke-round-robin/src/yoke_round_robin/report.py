"""What the table says."""

from __future__ import annotations

from sqlalchemy import text

from yokeflow.cli.opened import opened

_TURNS = text("""
SELECT epic, sum(turns)::int AS turns
FROM round_robin_turns
WHERE project_id = :project
GROUP BY epic
ORDER BY turns DESC, epic
""")


async def count_turns() -> dict[str, int]:
    """Started tasks by epic, for the project around the current folder."""
    async with opened() as place, place.store.begin() as conn:
        rows = await conn.execute(_TURNS, {"project": place.id})
        return {row.epic: row.turns for row in rows}
