"""Work items: bringing a plan into the store, and how far each item is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from yokeflow.model import Failure, Kind, Status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yokeflow.model import Dependency, Epic, Plan, Task

_NAMES = ("kind", "title", "prompt", "run", "priority", "category", "position", "estimate", "metadata")
_COLUMNS = ", ".join(_NAMES)
_OLD = ", ".join(f"work_items.{name}" for name in _NAMES)
_NEW = ", ".join(f"EXCLUDED.{name}" for name in _NAMES)
_FIELDS = (
    "key text, parent text, kind text, title text, prompt text, run text, priority smallint, category text,"
    " position int, estimate double precision, metadata jsonb"
)

#: Puts the plan's items into the store, epics before their tasks. What happened to an item is kept, what has
#: not changed is left alone, and what was gone comes back.
_UPSERT = text(f"""
INSERT INTO work_items (project_id, key, parent_id, {_COLUMNS})
SELECT CAST(:project AS uuid), wanted.key, parent.id, wanted.kind, left(wanted.title, 200), wanted.prompt,
       wanted.run, wanted.priority, wanted.category, wanted.position, wanted.estimate, wanted.metadata
FROM jsonb_to_recordset(CAST(:items AS jsonb)) AS wanted({_FIELDS})
LEFT JOIN work_items parent ON parent.project_id = CAST(:project AS uuid) AND parent.key = wanted.parent
ON CONFLICT (project_id, key) DO UPDATE
SET (parent_id, {_COLUMNS}) = ROW (EXCLUDED.parent_id, {_NEW}),
    deleted_at = NULL, version = work_items.version + 1
WHERE work_items.deleted_at IS NOT NULL
   OR (work_items.parent_id, {_OLD}) IS DISTINCT FROM (EXCLUDED.parent_id, {_NEW})
RETURNING key, xmax = 0 AS added
""")  # noqa: S608 - composed of the constants above

#: Marks what is gone from the plan, unless it is finished. Its history stays.
_RETIRE = text("""
UPDATE work_items SET deleted_at = now(), version = version + 1
WHERE project_id = CAST(:project AS uuid) AND deleted_at IS NULL AND kind IN ('epic', 'task')
  AND status NOT IN ('completed', 'cancelled')
  AND NOT (key = ANY (SELECT jsonb_array_elements_text(CAST(:keys AS jsonb))))
RETURNING key
""")

_EDGES = text("""
SELECT predecessor.key AS predecessor, successor.key AS successor, edge.strength, edge.reason
FROM work_item_dependencies edge
JOIN work_items predecessor ON predecessor.id = edge.predecessor_id
JOIN work_items successor ON successor.id = edge.successor_id
WHERE successor.project_id = CAST(:project AS uuid)
""")

_DELETE_EDGES = text("""
DELETE FROM work_item_dependencies edge
USING jsonb_to_recordset(CAST(:edges AS jsonb)) AS gone(predecessor text, successor text),
      work_items predecessor, work_items successor
WHERE predecessor.project_id = CAST(:project AS uuid) AND predecessor.key = gone.predecessor
  AND successor.project_id = CAST(:project AS uuid) AND successor.key = gone.successor
  AND edge.predecessor_id = predecessor.id AND edge.successor_id = successor.id
""")

_INSERT_EDGES = text("""
INSERT INTO work_item_dependencies (predecessor_id, successor_id, strength, reason)
SELECT predecessor.id, successor.id, wanted.strength, wanted.reason
FROM jsonb_to_recordset(CAST(:edges AS jsonb))
     AS wanted(predecessor text, successor text, strength text, reason text)
JOIN work_items predecessor
     ON predecessor.project_id = CAST(:project AS uuid) AND predecessor.key = wanted.predecessor
JOIN work_items successor
     ON successor.project_id = CAST(:project AS uuid) AND successor.key = wanted.successor
ON CONFLICT (predecessor_id, successor_id) DO UPDATE
SET strength = EXCLUDED.strength, reason = EXCLUDED.reason
""")

#: What happened to every item, with its last three failed sessions (newest last) and the number of those
#: since it was reopened.
_STATES = text("""
WITH reopened AS (
    SELECT task AS key, max(seq) AS seq FROM events
    WHERE project_id = CAST(:project AS uuid) AND type = 'task.reopened' GROUP BY task
), began AS (
    SELECT session, max(seq) AS seq FROM events
    WHERE project_id = CAST(:project AS uuid) AND type = 'session.started' GROUP BY session
), failed AS (
    SELECT session.work_item_id, session.reason, session.answer, began.seq,
           row_number() OVER (PARTITION BY session.work_item_id ORDER BY session.number DESC) AS back
    FROM sessions session
    LEFT JOIN began ON began.session = CAST(session.id AS text)
    WHERE session.project_id = CAST(:project AS uuid) AND session.state = 'failed'
), failures AS (
    SELECT failed.work_item_id,
           count(*) FILTER (WHERE reopened.seq IS NULL OR failed.seq > reopened.seq) AS recent,
           json_agg(json_build_array(failed.reason, failed.answer) ORDER BY failed.back DESC)
               FILTER (WHERE failed.back <= 3) AS last
    FROM failed
    JOIN work_items item ON item.id = failed.work_item_id
    LEFT JOIN reopened USING (key)
    GROUP BY failed.work_item_id
)
SELECT item.key, item.kind, item.status, item.attempts, CAST(item.cost_usd AS double precision) AS cost_usd,
       item.commit, item.reason, coalesce(failures.recent, 0) AS recent, CAST(failures.last AS text) AS last
FROM work_items item LEFT JOIN failures ON failures.work_item_id = item.id
WHERE item.project_id = CAST(:project AS uuid) AND item.deleted_at IS NULL
""")


@dataclass(frozen=True, slots=True)
class ItemState:
    """What happened to one item."""

    #: Its id in the plan.
    id: str
    kind: Kind
    status: Status
    #: Sessions started, those that were interrupted included.
    attempts: int
    #: Sessions that failed since the item was reopened last.
    failed_attempts: int
    #: None when no session told it.
    cost_usd: float | None
    commit: str | None
    #: The last three, newest last.
    failures: tuple[Failure, ...] = ()
    #: Why it failed or is blocked.
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PlanChanges:
    """What a plan has that the store had not, and the other way round."""

    added: tuple[str, ...] = ()
    #: Items that are told otherwise, or stand somewhere else.
    changed: tuple[str, ...] = ()
    #: Not finished, and not in the plan any more.
    gone: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.gone)


async def sync_plan(conn: AsyncConnection, project_id: UUID, plan: Plan) -> PlanChanges:
    """Make items and dependencies those of the plan; what happened to them stays."""
    project = str(project_id)
    epics = [_epic_row(epic) for epic in plan.epics]
    tasks = [_task_row(task) for task in plan.tasks.values()]
    added: list[str] = []
    changed: list[str] = []
    # In this order, since a task looks its epic up.
    for rows in (epics, tasks):
        for row in await conn.execute(_UPSERT, {"project": project, "items": json.dumps(rows)}):
            (added if row.added else changed).append(row.key)
    keys = [row["key"] for row in (*epics, *tasks)]
    gone = await conn.scalars(_RETIRE, {"project": project, "keys": json.dumps(keys)})
    await _sync_dependencies(conn, project, plan)
    return PlanChanges(tuple(added), tuple(changed), tuple(sorted(gone)))


async def _sync_dependencies(conn: AsyncConnection, project: str, plan: Plan) -> None:
    wanted = {
        (edge.predecessor, successor): (str(edge.strength), edge.reason) for edge, successor in _edges(plan)
    }
    rows = await conn.execute(_EDGES, {"project": project})
    there = {
        (predecessor, successor): (strength, reason) for predecessor, successor, strength, reason in rows
    }
    gone = [{"predecessor": p, "successor": s} for p, s in there.keys() - wanted.keys()]
    new = [
        {"predecessor": p, "successor": s, "strength": strength, "reason": reason}
        for (p, s), (strength, reason) in wanted.items()
        if there.get((p, s)) != (strength, reason)
    ]
    for statement, edges in ((_DELETE_EDGES, gone), (_INSERT_EDGES, new)):
        if edges:
            await conn.execute(statement, {"project": project, "edges": json.dumps(edges)})


def _edges(plan: Plan) -> Iterator[tuple[Dependency, str]]:
    items: tuple[Epic | Task, ...] = (*plan.epics, *plan.tasks.values())
    for item in items:
        for edge in item.depends_on:
            yield edge, item.id


def _epic_row(epic: Epic) -> dict[str, Any]:
    return {
        "key": epic.id,
        "parent": None,
        "kind": Kind.EPIC,
        "title": epic.title,
        "prompt": "",
        "run": "",
        "priority": 5,
        "category": "",
        "position": epic.position,
        "estimate": None,
        "metadata": {"approve": epic.approve} if epic.approve else {},
    }


def _task_row(task: Task) -> dict[str, Any]:
    more: dict[str, Any] = {
        "files": task.files,
        "conflicts_with": task.conflicts_with,
        "verify": task.verify,
        "agent": task.agent,
        "model": task.model,
        "profile": task.profile,
        "needs": task.needs,
        "critical": task.critical,
        "timeout": task.timeout,
        "allow_empty": task.allow_empty,
        "approve": task.approve,
    }
    return {
        "key": task.id,
        "parent": task.epic,
        "kind": Kind.TASK,
        "title": task.title,
        "prompt": task.prompt,
        "run": task.run,
        "priority": task.priority,
        "category": task.category,
        "position": task.position,
        "estimate": task.estimate,
        "metadata": {name: value for name, value in more.items() if value},
    }


async def load_states(conn: AsyncConnection, project_id: UUID) -> dict[str, ItemState]:
    """What happened to every item of the plan, by id."""
    rows = await conn.execute(_STATES, {"project": str(project_id)})
    return {
        row.key: ItemState(
            id=row.key,
            kind=Kind(row.kind),
            status=Status(row.status),
            attempts=row.attempts,
            failed_attempts=row.recent,
            cost_usd=row.cost_usd,
            commit=row.commit,
            failures=tuple(Failure(reason, output) for reason, output in json.loads(row.last or "[]")),
            reason=row.reason,
        )
        for row in rows
    }
