"""What is asked about items that left the plan, and what was asked about those that came back to it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from yokeflow.model import Kind

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

#: How an intervention ends whose item left the plan.
GONE = "gone"
_FIELDS = """
SELECT CAST(asked.id AS text) AS id, item.key AS item, item.kind AS item_kind,
       coalesce(epic.key, item.key) AS epic, asked.kind, asked.reason, CAST(asked.choices AS text) AS choices,
       CAST(asked.metadata AS text) AS more
"""
_OPEN = text(f"""
{_FIELDS}
FROM interventions asked
JOIN work_items item ON item.id = asked.work_item_id
LEFT JOIN work_items epic ON epic.id = item.parent_id
WHERE asked.project_id = CAST(:project AS uuid) AND asked.resolved_at IS NULL AND NOT item.key = ANY(:plan)
ORDER BY asked.opened_at, asked.id
""")

#: The last of each kind, where the item was not opened again, done or landed since.
_WITHDRAWN = text(f"""
{_FIELDS}
FROM (
    SELECT DISTINCT ON (one.work_item_id, one.kind) one.*, given.seq
    FROM interventions one
    JOIN events given ON given.project_id = one.project_id AND given.type = 'intervention.resolved'
                     AND given.payload ->> 'intervention' = CAST(one.id AS text)
    WHERE one.project_id = CAST(:project AS uuid)
    ORDER BY one.work_item_id, one.kind, given.seq DESC
) asked
JOIN work_items item ON item.id = asked.work_item_id
LEFT JOIN work_items epic ON epic.id = item.parent_id
WHERE asked.choice = :gone AND item.key = ANY(:plan)
  AND NOT EXISTS (SELECT FROM interventions open
                  WHERE open.work_item_id = item.id AND open.kind = asked.kind AND open.resolved_at IS NULL)
  AND NOT EXISTS (
      SELECT FROM events later
      WHERE later.project_id = CAST(:project AS uuid) AND later.seq > asked.seq
        AND (later.task = item.key AND later.type IN ('task.reopened', 'task.completed', 'task.skipped')
             OR later.epic = item.key AND later.type = 'landing.landed'))
ORDER BY asked.seq, asked.id
""")  # noqa: S608 - composed of the constants above


@dataclass(frozen=True, slots=True)
class Asked:
    """An intervention with the place of its item in the plan as that was last."""

    id: str
    kind: str
    epic: str
    #: Empty where it is about the epic.
    task: str
    reason: str
    choices: tuple[str, ...]
    #: What belongs to the question.
    more: dict[str, Any]


async def open_about_gone(conn: AsyncConnection, project_id: UUID, plan: Collection[str]) -> list[Asked]:
    """What waits for a person and is about none of the plan's items, oldest first."""
    return await _asked(conn, _OPEN, project=str(project_id), plan=list(plan))


async def withdrawn(conn: AsyncConnection, project_id: UUID, plan: Collection[str]) -> list[Asked]:
    """What was withdrawn as its item was gone, and that is one of the plan's items again, oldest first."""
    return await _asked(conn, _WITHDRAWN, project=str(project_id), plan=list(plan), gone=GONE)


async def _asked(conn: AsyncConnection, statement: Any, **values: Any) -> list[Asked]:
    return [
        Asked(
            id=row.id,
            kind=row.kind,
            epic=row.epic,
            task=row.item if row.item_kind == Kind.TASK else "",
            reason=row.reason,
            choices=tuple(json.loads(row.choices)),
            more=json.loads(row.more),
        )
        for row in await conn.execute(statement, values)
    ]
