"""Sessions, and what their start and end mean for the task and its epic."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import text

from yokeflow.store.projections.registry import as_uuid, commit, item_of, on

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yokeflow.events import Event

#: At most one session of an item runs: an earlier one that never ended is closed before the next starts.
_CLOSE_EARLIER = text("""
UPDATE sessions
SET state = 'interrupted', reason = 'another attempt started', finished_at = CAST(:at AS timestamptz)
FROM work_items item
WHERE item.project_id = CAST(:project AS uuid) AND item.key = :item
  AND sessions.work_item_id = item.id AND sessions.state = 'running' AND sessions.id <> CAST(:session AS uuid)
""")

#: Locks the item, counts the attempt and takes the epic along; the session gets the project's next number.
#: Sessions of unknown items or runs leave no row.
_START = text("""
WITH item AS (
    UPDATE work_items
    SET status = 'in_progress', reason = '', attempts = attempts + 1, completed_at = NULL,
        started_at = coalesce(started_at, CAST(:at AS timestamptz)), version = version + 1
    WHERE project_id = CAST(:project AS uuid) AND key = :item
    RETURNING id, parent_id, attempts
), epic AS (
    UPDATE work_items
    SET status = 'in_progress', started_at = coalesce(work_items.started_at, CAST(:at AS timestamptz)),
        version = work_items.version + 1
    FROM item
    WHERE work_items.id = item.parent_id AND work_items.status IN ('proposed', 'pending', 'blocked', 'failed')
)
INSERT INTO sessions (id, project_id, run_id, work_item_id, number, attempt, agent, model, lane, worktree,
                      base_commit, folder, started_at, metadata)
SELECT CAST(:session AS uuid), CAST(:project AS uuid), run.id, item.id,
       (SELECT coalesce(max(number), 0) + 1 FROM sessions WHERE project_id = CAST(:project AS uuid)),
       coalesce(CAST(CAST(:attempt AS text) AS integer), item.attempts), :agent, :model, :lane, :worktree,
       CAST(:base_commit AS text), :folder, CAST(:at AS timestamptz), CAST(:metadata AS jsonb)
FROM item JOIN runs run ON run.id = CAST(:run AS uuid)
ON CONFLICT (id) DO NOTHING
""")

#: Closes a running session once, adds its cost to item and epic, and gives an interrupted item back. A cost
#: that was not told adds nothing, not even a 0.
_FINISH = text("""
WITH session AS (
    UPDATE sessions
    SET state = :state, reason = :reason, exit_code = CAST(CAST(:exit_code AS text) AS integer),
        seconds = CAST(CAST(:seconds AS text) AS double precision),
        cost_usd = CAST(CAST(:cost AS text) AS numeric), head_commit = CAST(:head_commit AS text),
        kept_ref = CAST(:kept_ref AS text), answer = :answer,
        metadata = metadata || CAST(:metadata AS jsonb), finished_at = CAST(:at AS timestamptz)
    WHERE id = CAST(:session AS uuid) AND state = 'running'
    RETURNING work_item_id, cost_usd AS cost, state
), item AS (
    UPDATE work_items
    SET cost_usd = coalesce(work_items.cost_usd + session.cost, session.cost, work_items.cost_usd),
        status = CASE WHEN back.given THEN 'pending' ELSE work_items.status END,
        version = work_items.version + CASE WHEN back.given THEN 1 ELSE 0 END
    FROM session, work_items before
         CROSS JOIN LATERAL (SELECT before.status = 'in_progress' AND :state = 'interrupted' AS given) back
    WHERE work_items.id = session.work_item_id AND before.id = work_items.id
    RETURNING work_items.parent_id, session.cost
)
UPDATE work_items epic SET cost_usd = coalesce(epic.cost_usd, 0) + item.cost
FROM item WHERE epic.id = item.parent_id AND item.cost IS NOT NULL
""")

#: What a started session keeps in `metadata`, for the plugins whose decisions they are.
_MORE = ("profile", "tier", "model_reason", "choice", "reserved")


@on("session.started")
async def started(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """A session begins and its task with it."""
    data = event.data
    where = {
        "project": str(project),
        "item": item_of(event),
        "session": str(as_uuid(event.session)),
        "at": event.at,
    }
    await conn.execute(_CLOSE_EARLIER, where)
    words = {name: data.get(name) or "" for name in ("agent", "model", "lane", "worktree", "folder")}
    attempt = None if data.get("attempt") is None else str(data["attempt"])
    more = {name: data[name] for name in _MORE if data.get(name)}
    await conn.execute(
        _START,
        where
        | words
        | {
            "run": str(as_uuid(event.run)),
            "attempt": attempt,
            "base_commit": commit(data, "base_commit"),
            "metadata": json.dumps(more),
        },
    )


@on("session.finished")
async def finished(conn: AsyncConnection, _project: UUID, event: Event) -> None:
    """A session ends; whether its task is done is for a later event to say."""
    data = event.data
    numbers = {
        "exit_code": data.get("exit_code"),
        "seconds": data.get("seconds"),
        "cost": data.get("cost_usd"),
    }
    await conn.execute(
        _FINISH,
        {name: None if value is None else str(value) for name, value in numbers.items()}
        | {
            "session": str(as_uuid(event.session)),
            "at": event.at,
            "state": data["state"],
            "reason": data.get("reason") or "",
            "head_commit": commit(data, "head_commit"),
            "kept_ref": data.get("kept_ref"),
            "answer": data.get("answer") or "",
            "metadata": json.dumps(
                {name: data[name] for name in ("usage", "cost_source", "output") if data.get(name)}
            ),
        },
    )
