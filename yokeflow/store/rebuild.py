"""What a store knows of a project already, and items that come back without a plan that has them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

_HAS_ITEMS = text("SELECT EXISTS (SELECT FROM work_items WHERE project_id = CAST(:project AS uuid))")

#: One row. What other projects on the same server have is told apart, since ids are unique in all of it.
_KNOWN = text("""
SELECT CAST(json_build_object(
    'items', (SELECT coalesce(json_agg(key), '[]') FROM work_items WHERE project_id = CAST(:project AS uuid)),
    'runs', (SELECT coalesce(json_agg(id), '[]') FROM runs WHERE project_id = CAST(:project AS uuid)),
    'sessions', (SELECT coalesce(json_agg(id), '[]') FROM sessions WHERE project_id = CAST(:project AS uuid)),
    'landings', (SELECT coalesce(json_agg(DISTINCT commit), '[]') FROM landings
                 WHERE project_id = CAST(:project AS uuid) AND commit IS NOT NULL
                   AND status IN ('landed', 'undone')),
    'undos', (SELECT coalesce(json_agg(DISTINCT metadata ->> 'undone_by'), '[]') FROM landings
              WHERE project_id = CAST(:project AS uuid) AND metadata ? 'undone_by'),
    'turned', (SELECT coalesce(json_agg(DISTINCT task), '[]') FROM events
               WHERE project_id = CAST(:project AS uuid) AND task <> ''
                 AND type IN ('task.completed', 'task.reopened')),
    'attempts', (SELECT coalesce(json_object_agg(key, attempts), '{}') FROM work_items
                 WHERE project_id = CAST(:project AS uuid) AND attempts > 0),
    'others', (SELECT coalesce(json_agg(id), '[]') FROM (
        SELECT id FROM runs WHERE project_id <> CAST(:project AS uuid) AND id = ANY (CAST(:ids AS uuid[]))
        UNION ALL
        SELECT id FROM sessions WHERE project_id <> CAST(:project AS uuid) AND id = ANY (CAST(:ids AS uuid[]))
    ) other)
) AS text)
""")

#: The newest commits that the store knows to be on a target, the newest first.
_LANDED = text("""
SELECT landing.commit FROM landings landing LEFT JOIN events queued ON queued.id = landing.id
WHERE landing.project_id = CAST(:project AS uuid) AND landing.target = :target
  AND landing.status IN ('landed', 'undone') AND landing.commit IS NOT NULL
ORDER BY queued.seq DESC NULLS LAST LIMIT 20
""")

#: Commits by which landings were taken off a target.
_UNDOS = text("""
SELECT DISTINCT metadata ->> 'undone_by' FROM landings
WHERE project_id = CAST(:project AS uuid) AND target = :target AND metadata ? 'undone_by'
""")

#: Where a target was when the last run began on it, which looked at what was there.
_SEEN = text("""
SELECT run.target_commit
FROM runs run LEFT JOIN events started
  ON started.project_id = run.project_id AND started.type = 'run.started'
     AND started.run = CAST(run.id AS text)
WHERE run.project_id = CAST(:project AS uuid) AND run.target = :target AND run.target_commit IS NOT NULL
ORDER BY started.seq DESC NULLS LAST, run.started_at DESC LIMIT 1
""")

#: Items that no plan has: gone from it, until something says that they are finished.
_RESTORE = text("""
INSERT INTO work_items (project_id, key, parent_id, kind, title, position, deleted_at)
SELECT CAST(:project AS uuid), wanted.key, parent.id, wanted.kind, left(wanted.title, 200), wanted.position,
       now()
FROM jsonb_to_recordset(CAST(:items AS jsonb))
     AS wanted(key text, parent text, kind text, title text, position int)
LEFT JOIN work_items parent ON parent.project_id = CAST(:project AS uuid) AND parent.key = wanted.parent
ON CONFLICT (project_id, key) DO NOTHING
""")

#: What is finished stays in sight, as it does when it goes from the plan; so does the epic of what stays.
_SHOW = text("""
UPDATE work_items item SET deleted_at = NULL
WHERE item.project_id = CAST(:project AS uuid) AND item.deleted_at IS NOT NULL
  AND item.key = ANY (CAST(:keys AS text[]))
  AND (item.status IN ('completed', 'cancelled')
       OR EXISTS (SELECT FROM work_items task
                  WHERE task.parent_id = item.id AND task.status IN ('completed', 'cancelled')))
""")


@dataclass(frozen=True, slots=True)
class Known:
    """What needs no telling."""

    items: frozenset[str] = frozenset()
    runs: frozenset[str] = frozenset()
    sessions: frozenset[str] = frozenset()
    #: Commits of landings.
    landings: frozenset[str] = frozenset()
    #: Commits that took landings back.
    undos: frozenset[str] = frozenset()
    #: Tasks that were completed or opened again.
    turned: frozenset[str] = frozenset()
    #: Sessions started, by task.
    attempts: Mapping[str, int] | None = None
    #: Ids of runs and sessions that another project of the same store has, such as another clone.
    others: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Lost:
    """An item that the plan does not have."""

    key: str
    title: str
    #: The epic of a task; empty for an epic, and for a task of which nobody knows.
    epic: str = ""
    is_epic: bool = False


async def has_items(conn: AsyncConnection, project_id: UUID) -> bool:
    """Whether the store has any item of a project: what happens to unknown ones leaves no trace."""
    return bool(await conn.scalar(_HAS_ITEMS, {"project": str(project_id)}))


async def known(conn: AsyncConnection, project_id: UUID, ids: Collection[str]) -> Known:
    """What the store knows of a project, and which of the `ids` of runs and sessions belong to others."""
    answer = await conn.scalar(_KNOWN, {"project": str(project_id), "ids": sorted(ids)})
    found: dict[str, Any] = json.loads(answer or "{}")
    return Known(
        attempts=found.pop("attempts"), **{name: frozenset(values) for name, values in found.items()}
    )


async def landed_commits(conn: AsyncConnection, project_id: UUID, target: str) -> list[str]:
    """The newest commits by which epics landed on a target, the newest first."""
    return list(await conn.scalars(_LANDED, {"project": str(project_id), "target": target}))


async def undo_commits(conn: AsyncConnection, project_id: UUID, target: str) -> set[str]:
    """The commits by which landings were taken off a target."""
    return set(await conn.scalars(_UNDOS, {"project": str(project_id), "target": target}))


async def last_target_commit(conn: AsyncConnection, project_id: UUID, target: str) -> str | None:
    """Where a target was when the last run began; None before the first one."""
    found: str | None = await conn.scalar(_SEEN, {"project": str(project_id), "target": target})
    return found


async def restore_items(conn: AsyncConnection, project_id: UUID, items: Sequence[Lost]) -> None:
    """Make rows for items that no plan has, so that what happened to them has a place."""
    # Epics first, since a task looks its epic up.
    for epics in (True, False):
        rows = [
            {
                "key": item.key,
                "parent": item.epic or None,
                "kind": "epic" if item.is_epic else "task",
                "title": item.title or item.key,
                "position": place,
            }
            for place, item in enumerate(items)
            if item.is_epic is epics
        ]
        if rows:
            await conn.execute(_RESTORE, {"project": str(project_id), "items": json.dumps(rows)})


async def show_finished(conn: AsyncConnection, project_id: UUID, items: Sequence[Lost]) -> None:
    """Have those items shown that are finished."""
    await conn.execute(_SHOW, {"project": str(project_id), "keys": [item.key for item in items]})
