"""What happened: the data of `yoke log` and `yoke show`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select, text

from yokeflow.events import Event
from yokeflow.store.announcements import announcements
from yokeflow.store.tables import StoredEvent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from uuid import UUID

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from yokeflow.store.connection import Store

_PAGE = 500

#: One item with all that belongs to it, as one JSON text from one snapshot; an epic has its tasks too.
ITEM = """
WITH item AS (
    SELECT work.*, epic.key AS epic FROM work_items work LEFT JOIN work_items epic ON epic.id = work.parent_id
    WHERE work.project_id = CAST(:project AS uuid) AND work.key = :item
), family AS (
    SELECT work.id, work.key, work.title, work.status, work.commit, work.position
    FROM work_items work JOIN item ON work.parent_id = item.id WHERE work.deleted_at IS NULL
)
SELECT CAST(json_build_object(
    'id', item.key, 'kind', item.kind, 'epic', item.epic, 'title', item.title, 'status', item.status,
    'reason', item.reason, 'prompt', item.prompt, 'run', item.run, 'category', item.category,
    'priority', item.priority, 'estimate', item.estimate, 'attempts', item.attempts,
    'cost_usd', CAST(item.cost_usd AS double precision), 'unknown_costs', (
        SELECT count(*) FROM sessions
        WHERE work_item_id IN (SELECT item.id UNION ALL SELECT id FROM family)
          AND finished_at IS NOT NULL AND cost_usd IS NULL),
    'commit', item.commit, 'started', item.started_at, 'completed', item.completed_at,
    'in_plan', item.deleted_at IS NULL,
    'depends_on', (
        SELECT coalesce(json_agg(json_build_object(
            'id', before.key, 'type', edge.strength, 'reason', edge.reason, 'status', before.status,
            'of', CASE WHEN edge.successor_id = item.id THEN item.key ELSE item.epic END)
            ORDER BY edge.successor_id <> item.id, before.key), '[]')
        FROM work_item_dependencies edge JOIN work_items before ON before.id = edge.predecessor_id
        WHERE edge.successor_id IN (item.id, item.parent_id)),
    'tasks', (
        SELECT coalesce(json_agg(json_build_object(
            'id', key, 'title', title, 'status', status, 'commit', commit) ORDER BY position), '[]')
        FROM family),
    'sessions', (
        SELECT coalesce(json_agg(json_build_object(
            'id', id, 'run', run_id, 'number', number, 'attempt', attempt, 'agent', agent, 'model', model,
            'profile', metadata ->> 'profile', 'tier', metadata ->> 'tier',
            'model_reason', metadata ->> 'model_reason', 'cost_source', metadata ->> 'cost_source',
            'usage', coalesce(metadata -> 'usage', '[]'),
            'state', state, 'reason', reason, 'exit_code', exit_code, 'seconds', seconds,
            'cost_usd', CAST(cost_usd AS double precision), 'base_commit', base_commit,
            'head_commit', head_commit, 'kept_ref', kept_ref, 'folder', folder, 'answer', answer,
            'started', started_at, 'finished', finished_at) ORDER BY number), '[]')
        FROM sessions WHERE work_item_id = item.id),
    'checks', (
        SELECT coalesce(json_agg(json_build_object(
            'session', result.session_id, 'landing', result.landing_id, 'stage', result.stage,
            'command', result.command, 'tree', result.tree, 'environment', result.environment,
            'passed', result.passed, 'flaky', result.flaky, 'tries', result.tries,
            'exit_code', result.exit_code, 'seconds', result.seconds, 'log', result.log,
            'at', result.checked_at,
            'reused', CASE WHEN result.source_id IS NOT NULL THEN json_build_object(
                'check', source.id, 'item', of.key, 'session', source.session_id,
                'attempt', maker.attempt, 'landing', source.landing_id, 'at', source.checked_at,
                'seconds', source.seconds, 'log', source.log) END)
            ORDER BY result.checked_at, result.id), '[]')
        FROM check_results result
        LEFT JOIN check_results source ON source.id = result.source_id
        LEFT JOIN work_items of ON of.id = source.work_item_id
        LEFT JOIN sessions maker ON maker.id = source.session_id
        WHERE result.work_item_id = item.id),
    'commits', (
        SELECT coalesce(json_agg(commit ORDER BY is_epic, position), '[]') FROM (
            SELECT commit, position, false AS is_epic FROM family WHERE commit IS NOT NULL
            UNION ALL
            SELECT item.commit, item.position, true WHERE item.commit IS NOT NULL) own),
    'recorded', (
        SELECT coalesce(json_agg(json_build_object(
            'commit', commit, 'kind', kind, 'subject', subject, 'author', author, 'writer', writer,
            'branch', branch, 'session', session, 'at', authored_at, 'replaced', replaced_at,
            'replaced_by', replaced_by, 'replaced_how', replaced_how)
            ORDER BY authored_at, created_at, commit), '[]')
        FROM commits WHERE work_item_id = item.id),
    'landings', (
        SELECT coalesce(json_agg(json_build_object(
            'id', id, 'status', status, 'commit', commit, 'target', target, 'strategy', strategy,
            'reason', reason, 'output', output, 'files', files, 'seconds', seconds, 'queued', queued_at,
            'finished', finished_at) ORDER BY queued_at, created_at), '[]')
        FROM landings WHERE work_item_id = item.id),
    'interventions', (
        SELECT coalesce(json_agg(json_build_object(
            'id', id, 'kind', kind, 'reason', reason, 'choices', choices, 'opened', opened_at,
            'resolved', resolved_at, 'choice', choice, 'by', resolved_by) ORDER BY opened_at, id), '[]')
        FROM interventions WHERE work_item_id = item.id)
) AS text)
FROM item
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """An event and its place in the log."""

    #: Grows by the order of applying; what to go on after.
    seq: int
    event: Event


async def log(
    conn: AsyncConnection,
    project_id: UUID,
    *,
    run: str = "",
    item: str = "",
    type: str = "",  # noqa: A002 - the field's name
    after: int = 0,
    limit: int = _PAGE,
) -> list[Entry]:
    """The newest events that fit, newest last; `item` is a task or an epic."""
    query = select(StoredEvent.__table__).where(StoredEvent.project_id == project_id, StoredEvent.seq > after)
    if run:
        query = query.where(StoredEvent.run == run)
    if item:
        query = query.where(or_(StoredEvent.task == item, StoredEvent.epic == item))
    if type:
        query = query.where(StoredEvent.type == type)
    rows = (await conn.execute(query.order_by(StoredEvent.seq.desc()).limit(limit))).all()
    return [_entry(row) for row in reversed(rows)]


async def show(conn: AsyncConnection, project_id: UUID, item: str) -> dict[str, Any] | None:
    """One item with its attempts, checks, commits, landings and interventions; None when it is unknown."""
    answer = await conn.scalar(text(ITEM), {"project": str(project_id), "item": item})
    return None if answer is None else json.loads(answer)


async def follow(
    store: Store,
    project_id: UUID,
    after: int,
    *,
    run: str = "",
    type: str = "",  # noqa: A002 - the field's name
) -> AsyncGenerator[Entry]:
    """Every event behind `after`, then those to come as they are applied; of one run and type if named.

    Never ends by itself: close it (`contextlib.aclosing`). Raises ConnectionLostError without a server.
    """
    async with announcements(store.url, str(project_id)) as announced:
        while True:
            entries = await _read_after(store, project_id, after, run, type)
            for entry in entries:
                after = entry.seq
                yield entry
            if not entries:
                await announced()


async def _read_after(store: Store, project_id: UUID, after: int, run: str, type_: str) -> list[Entry]:
    query = select(StoredEvent.__table__).where(StoredEvent.project_id == project_id, StoredEvent.seq > after)
    if run:
        query = query.where(StoredEvent.run == run)
    if type_:
        query = query.where(StoredEvent.type == type_)
    async with store.begin() as conn:
        return [_entry(row) for row in await conn.execute(query.order_by(StoredEvent.seq).limit(_PAGE))]


def _entry(row: Row[Any]) -> Entry:
    event = Event(
        type=row.type,
        run=row.run,
        epic=row.epic,
        task=row.task,
        session=row.session,
        data=row.payload,
        id=str(row.id),
        at=row.at,
    )
    return Entry(row.seq, event)
