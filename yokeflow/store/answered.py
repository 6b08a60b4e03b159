"""What people answered that still counts: approvals, reasons of rejections, and answers to agents."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

#: Letters of an intervention's id by which it can be named; fewer would be a matter of luck.
SHORTEST_ID = 4
#: An answer counts until its task has been completed, or its epic has landed, after it was given: later in
#: the order of events, since clocks can be set back.
_ANSWERED = text("""
WITH given AS MATERIALIZED (
    SELECT payload ->> 'intervention' AS intervention, min(seq) AS seq FROM events
    WHERE project_id = CAST(:project AS uuid) AND type = 'intervention.resolved' GROUP BY 1
)
SELECT intervention.kind, item.key AS item, intervention.reason, intervention.choice,
       CAST(intervention.metadata AS text) AS more
FROM interventions intervention JOIN work_items item ON item.id = intervention.work_item_id
LEFT JOIN given ON given.intervention = CAST(intervention.id AS text)
WHERE intervention.project_id = CAST(:project AS uuid) AND intervention.kind IN ('approval', 'question')
  AND intervention.resolved_at IS NOT NULL
  AND NOT EXISTS (
      SELECT FROM events done
      WHERE done.project_id = intervention.project_id AND done.task <> '' AND done.task = item.key
        AND done.type = 'task.completed' AND done.seq > given.seq)
  AND NOT EXISTS (
      SELECT FROM events done
      WHERE done.project_id = intervention.project_id AND done.epic <> '' AND done.epic = item.key
        AND done.type = 'landing.landed' AND done.seq > given.seq)
ORDER BY given.seq, intervention.id
""")

#: The last conflict of each epic that an agent resolved since it landed last.
_RESOLVED = text("""
SELECT DISTINCT ON (resolved.epic) resolved.epic, resolved.payload ->> 'commit' AS commit
FROM events resolved
WHERE resolved.project_id = CAST(:project AS uuid) AND resolved.type = 'landing.resolved'
  AND resolved.payload ->> 'how' = 'agent'
  AND NOT EXISTS (
      SELECT FROM events landed
      WHERE landed.project_id = resolved.project_id AND landed.epic <> '' AND landed.epic = resolved.epic
        AND landed.type = 'landing.landed' AND landed.seq > resolved.seq)
ORDER BY resolved.epic, resolved.seq DESC
""")

#: How an intervention was answered.
_OUTCOME = text("""
SELECT intervention.choice, intervention.resolved_by AS by, intervention.resolved_at AS at
FROM interventions intervention LEFT JOIN work_items item ON item.id = intervention.work_item_id
LEFT JOIN events given ON given.project_id = intervention.project_id AND given.type = 'intervention.resolved'
                          AND given.payload ->> 'intervention' = CAST(intervention.id AS text)
WHERE intervention.project_id = CAST(:project AS uuid) AND intervention.resolved_at IS NOT NULL
  AND (CAST(intervention.id AS text) LIKE :pattern OR item.key = :item)
ORDER BY given.seq DESC NULLS LAST LIMIT 1
""")


@dataclass(frozen=True, slots=True)
class Answered:
    """An intervention of kind `approval` or `question` with its answer."""

    kind: str
    #: A task or an epic.
    item: str
    #: What was asked.
    reason: str
    choice: str
    #: What belongs to the question (`stage`, `commits`, `kept_ref`) and to the answer (`text`).
    more: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LastAnswer:
    """How the last question about something was answered."""

    choice: str
    by: str
    at: datetime


async def answered(conn: AsyncConnection, project_id: UUID) -> list[Answered]:
    """Answers that still count, oldest first."""
    rows = await conn.execute(_ANSWERED, {"project": str(project_id)})
    return [Answered(row.kind, row.item, row.reason, row.choice or "", json.loads(row.more)) for row in rows]


async def resolved_by_agents(conn: AsyncConnection, project_id: UUID) -> dict[str, str]:
    """By epic that has not landed since, the commit by which an agent resolved its last conflict."""
    rows = await conn.execute(_RESOLVED, {"project": str(project_id)})
    return {row.epic: row.commit for row in rows if row.commit}


async def last_answer(conn: AsyncConnection, project_id: UUID, name: str) -> LastAnswer | None:
    """The last answer about an item, or to the intervention whose id begins with `name`; None without one."""
    pattern = name.replace("\\", "").replace("%", "").replace("_", "") + "%"
    by_id = pattern if len(pattern) > SHORTEST_ID else ""
    given = {"project": str(project_id), "item": name, "pattern": by_id}
    row = (await conn.execute(_OUTCOME, given)).one_or_none()
    return None if row is None else LastAnswer(row.choice or "", row.by or "", row.at)
