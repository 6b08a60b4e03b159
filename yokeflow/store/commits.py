"""What the reader of git hooks' notes wants to know: items, commits that may complete them, red epics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

#: Every item of the plan, and the epic of a task.
_ITEMS = text("""
SELECT item.key, coalesce(epic.key, '') AS epic
FROM work_items item LEFT JOIN work_items epic ON epic.id = item.parent_id
WHERE item.project_id = CAST(:project AS uuid) AND item.deleted_at IS NULL
""")

#: A person's commits that name a task which is not done, not left out and not worked on; oldest first.
#: One that is older than the opening of a task that was done, as by an undo, says nothing of it any more.
_CLAIMS = text("""
SELECT item.key AS task, made.commit, made.author
FROM commits made JOIN work_items item ON item.id = made.work_item_id
WHERE made.project_id = CAST(:project AS uuid) AND made.named AND made.writer = 'person'
  AND made.kind = 'commit' AND made.replaced_at IS NULL
  AND item.parent_id IS NOT NULL AND item.deleted_at IS NULL
  AND item.status IN ('proposed', 'pending', 'blocked', 'failed')
  AND NOT EXISTS (
      SELECT FROM events recorded JOIN events reopened
        ON reopened.project_id = recorded.project_id AND reopened.task = recorded.task
           AND reopened.type = 'task.reopened' AND reopened.seq > recorded.seq
      WHERE recorded.project_id = made.project_id AND recorded.task <> '' AND recorded.task = item.key
        AND recorded.type = 'commit.recorded' AND recorded.payload ->> 'commit' = made.commit
        AND 'task.completed' = (
            SELECT before.type FROM events before
            WHERE before.project_id = reopened.project_id
              AND before.task <> '' AND before.task = reopened.task AND before.seq < reopened.seq
              AND before.type IN ('task.completed', 'task.reopened')
            ORDER BY before.seq DESC LIMIT 1))
ORDER BY made.created_at, made.commit
""")

#: Persons' commits by which tasks are done of epics that never landed.
_CLOSED = text("""
SELECT item.key AS task, made.commit, made.author
FROM commits made JOIN work_items item ON item.id = made.work_item_id
WHERE made.project_id = CAST(:project AS uuid) AND made.named AND made.writer = 'person'
  AND item.status = 'completed' AND item.commit = made.commit AND item.deleted_at IS NULL
  AND NOT EXISTS (SELECT FROM landings WHERE work_item_id = item.parent_id AND status = 'landed')
ORDER BY item.key
""")

#: The same where another commit that nobody has replaced names the task, too.
_DOUBTFUL = text("""
SELECT item.key AS task, made.commit, made.author, epic.key AS epic
FROM commits made JOIN work_items item ON item.id = made.work_item_id
JOIN work_items epic ON epic.id = item.parent_id
WHERE made.project_id = CAST(:project AS uuid) AND made.named AND made.writer = 'person'
  AND item.status = 'completed' AND item.commit = made.commit AND item.deleted_at IS NULL
  AND NOT EXISTS (SELECT FROM landings WHERE work_item_id = item.parent_id AND status = 'landed')
  AND EXISTS (SELECT FROM commits other
              WHERE other.project_id = made.project_id AND other.work_item_id = item.id
                AND other.commit <> made.commit AND other.named AND other.writer = 'person'
                AND other.kind = 'commit' AND other.replaced_at IS NULL)
ORDER BY item.key
""")

#: All that name a task and nobody has replaced; newest first.
_NAMING = text("""
SELECT item.key AS task, made.commit, made.author
FROM commits made JOIN work_items item ON item.id = made.work_item_id
WHERE made.project_id = CAST(:project AS uuid) AND item.key = :task AND item.deleted_at IS NULL
  AND made.named AND made.writer = 'person' AND made.kind = 'commit' AND made.replaced_at IS NULL
ORDER BY made.created_at DESC, made.commit
""")

#: What is recorded of some commits, once for each item that has them.
_KNOWN = text("""
SELECT item.key, made.commit, made.updated_at, made.replaced_at IS NOT NULL AS replaced
FROM commits made JOIN work_items item ON item.id = made.work_item_id
WHERE made.project_id = CAST(:project AS uuid) AND made.commit = ANY(:oids)
""")

#: Those of some events that the store has, whatever the project: ids are unique in all of it.
_APPLIED = text("SELECT id FROM events WHERE id = ANY(:ids)")

#: Epics whose latest landing was rejected, with the commit that was tested. A branch that is elsewhere now is
#: another matter.
_RED = text("""
SELECT DISTINCT ON (landing.work_item_id) epic.key, landing.status, landing.epic_commit
FROM landings landing JOIN work_items epic ON epic.id = landing.work_item_id
LEFT JOIN events queued ON queued.id = landing.id
WHERE landing.project_id = CAST(:project AS uuid)
ORDER BY landing.work_item_id, queued.seq DESC NULLS LAST, landing.id
""")


@dataclass(frozen=True, slots=True)
class Claim:
    """A commit by which a person says that a task is done."""

    task: str
    commit: str
    author: str


@dataclass(frozen=True, slots=True)
class RecordedAt:
    """The state of one record."""

    changed: datetime
    replaced: bool


async def items(conn: AsyncConnection, project_id: UUID) -> dict[str, str]:
    """Every item of the plan; the epic of a task, empty for an epic."""
    rows = await conn.execute(_ITEMS, {"project": str(project_id)})
    return {row.key: row.epic for row in rows}


async def claims(conn: AsyncConnection, project_id: UUID) -> list[Claim]:
    """Commits that may complete a task."""
    rows = await conn.execute(_CLAIMS, {"project": str(project_id)})
    return [Claim(row.task, row.commit, row.author) for row in rows]


async def closed(conn: AsyncConnection, project_id: UUID) -> list[Claim]:
    """Commits that completed a task of an epic that has not landed."""
    rows = await conn.execute(_CLOSED, {"project": str(project_id)})
    return [Claim(row.task, row.commit, row.author) for row in rows]


async def doubtful(conn: AsyncConnection, project_id: UUID) -> list[tuple[Claim, str]]:
    """Those of which another commit may stand for the task by now, each with its epic."""
    rows = await conn.execute(_DOUBTFUL, {"project": str(project_id)})
    return [(Claim(row.task, row.commit, row.author), row.epic) for row in rows]


async def naming(conn: AsyncConnection, project_id: UUID, task: str) -> list[Claim]:
    """Commits that name a task, as far as nobody has replaced them; newest first."""
    rows = await conn.execute(_NAMING, {"project": str(project_id), "task": task})
    return [Claim(row.task, row.commit, row.author) for row in rows]


async def known(
    conn: AsyncConnection, project_id: UUID, oids: Collection[str]
) -> dict[tuple[str, str], RecordedAt]:
    """What is recorded of these commits, by item and commit."""
    rows = await conn.execute(_KNOWN, {"project": str(project_id), "oids": list(oids)})
    return {(row.key, row.commit): RecordedAt(row.updated_at, row.replaced) for row in rows}


async def applied(conn: AsyncConnection, ids: Collection[str]) -> set[str]:
    """Those of the events that were applied before."""
    rows = await conn.execute(_APPLIED, {"ids": [UUID(each) for each in ids]})
    return {str(each) for each in rows.scalars()}


async def red_tips(conn: AsyncConnection, project_id: UUID) -> Mapping[str, str]:
    """The commit that was rejected, by epic."""
    rows: Any = await conn.execute(_RED, {"project": str(project_id)})
    return {row.key: row.epic_commit for row in rows if row.status == "rejected" and row.epic_commit}
