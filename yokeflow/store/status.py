"""The state of a project, as `yoke status --json` gives it. Does not import SQLAlchemy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from yokeflow.store.cache import write_cache

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

#: The whole public object as one JSON text, from one snapshot. Its only parameter is the project's id, so any
#: client can run it. An unfinished item waits for its unfinished hard predecessors, its epic's included, and
#: for the interventions open on it. Causes are looked up by index for each item, since right after a plan was
#: imported the planner has no statistics and would compare everything with everything. A run that began at no
#: commit has what git knows of no run in particular.
STATUS = """
WITH asked AS MATERIALIZED (
    SELECT intervention.id, intervention.work_item_id, intervention.kind, work.key AS item,
           intervention.reason, intervention.opened_at, intervention.choices
    FROM interventions intervention LEFT JOIN work_items work ON work.id = intervention.work_item_id
    WHERE intervention.project_id = CAST(:project AS uuid) AND intervention.resolved_at IS NULL
), latest_run AS (
    SELECT run.* FROM runs run LEFT JOIN events started
      ON started.project_id = run.project_id AND started.type = 'run.started'
         AND started.run = CAST(run.id AS text)
    WHERE run.project_id = CAST(:project AS uuid)
    ORDER BY run.target_commit IS NULL, started.seq DESC NULLS LAST, run.started_at DESC LIMIT 1
), landing AS (
    SELECT DISTINCT ON (way.work_item_id) way.work_item_id, way.status, way.commit, way.reason, way.queued_at
    FROM landings way LEFT JOIN events queued ON queued.id = way.id
    WHERE way.project_id = CAST(:project AS uuid)
    ORDER BY way.work_item_id, queued.seq DESC NULLS LAST, way.id
)
SELECT CAST(json_build_object(
    'project', (SELECT name FROM projects WHERE id = CAST(:project AS uuid)),
    'run', (
        SELECT json_build_object(
            'id', run.id, 'state', run.state, 'reason', run.reason, 'strategy', run.strategy,
            'started', run.started_at,
            'elapsed', CAST(extract(epoch FROM coalesce(run.finished_at, now()) - run.started_at)
                            AS double precision),
            'cost_usd', spent.cost_usd, 'unknown_costs', spent.unknown)
        FROM latest_run run CROSS JOIN LATERAL (
            SELECT CAST(sum(cost_usd) AS double precision) AS cost_usd,
                   count(*) FILTER (WHERE finished_at IS NOT NULL AND cost_usd IS NULL) AS unknown
            FROM sessions WHERE run_id = run.id) spent),
    'items', (
        SELECT coalesce(json_agg(json_build_object(
            'id', item.key, 'kind', item.kind, 'epic', epic.key, 'title', item.title,
            'status', item.status, 'attempts', item.attempts,
            'cost_usd', CAST(item.cost_usd AS double precision), 'commit', item.commit,
            'waits_for', coalesce(waiting.causes, CAST('[]' AS json)))
            ORDER BY coalesce(epic.position, item.position), coalesce(epic.key, item.key),
                     epic.key NULLS FIRST, item.position, item.key), '[]')
        FROM work_items item
        LEFT JOIN work_items epic ON epic.id = item.parent_id
        LEFT JOIN LATERAL (
            SELECT json_agg(key ORDER BY key) AS causes FROM (
                SELECT before.key
                FROM work_item_dependencies edge JOIN work_items before ON before.id = edge.predecessor_id
                WHERE edge.successor_id IN (item.id, item.parent_id) AND edge.strength = 'hard'
                  AND item.status IN ('proposed', 'pending', 'blocked')
                  AND before.status NOT IN ('completed', 'cancelled') AND before.deleted_at IS NULL
                UNION
                SELECT CAST(asked.id AS text) FROM asked WHERE asked.work_item_id = item.id) cause
        ) waiting ON true
        WHERE item.project_id = CAST(:project AS uuid) AND item.deleted_at IS NULL),
    'landings', (
        SELECT coalesce(json_agg(json_build_object(
            'epic', work.key, 'status', landing.status, 'commit', landing.commit, 'reason', landing.reason)
            ORDER BY landing.queued_at, work.key), '[]')
        FROM landing JOIN work_items work ON work.id = landing.work_item_id),
    'interventions', (
        SELECT coalesce(json_agg(json_build_object(
            'id', id, 'kind', kind, 'item', item, 'reason', reason, 'opened', opened_at, 'choices', choices)
            ORDER BY opened_at, id), '[]')
        FROM asked),
    'forecasts', (
        SELECT coalesce(json_agg(json_build_object(
            'epics', CASE WHEN with_epic = '' THEN json_build_array(epic)
                          ELSE json_build_array(epic, with_epic) END,
            'target', nullif(CASE WHEN with_epic = '' THEN target END, ''),
            'files', files, 'more', more, 'tasks', tasks, 'since', opened_at,
            'meaning', epic || CASE WHEN with_epic = ''
                THEN ' does not merge into ' || target || ' as it is now: its landing will conflict'
                ELSE ' and ' || with_epic || ' do not merge: whichever lands second will conflict' END)
            ORDER BY opened_at, epic, with_epic), '[]')
        FROM conflict_forecasts
        WHERE project_id = CAST(:project AS uuid) AND cleared_at IS NULL),
    'hot_files', (
        SELECT coalesce(json_agg(json_build_object('path', path, 'conflicts', conflicts)
            ORDER BY conflicts DESC, path), '[]')
        FROM (SELECT path, forecasts + hand_overs + landings AS conflicts FROM conflict_files
              WHERE project_id = CAST(:project AS uuid) AND forecasts + hand_overs + landings >= 3
              ORDER BY conflicts DESC, last_at DESC, path LIMIT 5) hot),
    'source', json_build_object('layer', 'postgres', 'age_seconds', 0.0)
) AS text)
"""

#: How far the journal was applied, as the state shows it.
_POSITION = (
    "SELECT CAST(coalesce(metadata -> 'journal', '{}') AS text) FROM projects WHERE id = CAST($1 AS uuid)"
)

#: Pairs of epics of which the first takes in work of the second, by hard dependencies, its tasks' too.
EPIC_EDGES = """
SELECT DISTINCT coalesce(epic.key, after.key), coalesce(above.key, before.key)
FROM work_item_dependencies edge
JOIN work_items after ON after.id = edge.successor_id
JOIN work_items before ON before.id = edge.predecessor_id
LEFT JOIN work_items epic ON epic.id = after.parent_id
LEFT JOIN work_items above ON above.id = before.parent_id
WHERE after.project_id = CAST(:project AS uuid) AND edge.strength = 'hard'
  AND after.deleted_at IS NULL AND before.deleted_at IS NULL
"""


async def status(conn: AsyncConnection, project_id: UUID, cache: Path | None = None) -> dict[str, Any]:
    """The object of `yoke status --json`; `source.age_seconds` is 0 since the caller drained before.

    `cache` is the file that keeps it for when the store is away.
    """
    # Compiling the statement takes longer than running it.
    await conn.exec_driver_sql("SET LOCAL jit = off")
    found = await conn.exec_driver_sql(STATUS.replace(":project", "$1"), (str(project_id),))
    told = found.scalar_one()
    answer: dict[str, Any] = json.loads(told)
    if cache is not None and answer["items"]:
        position = await conn.exec_driver_sql(_POSITION, (str(project_id),))
        write_cache(cache, told, json.loads(position.scalar_one()))
    return answer


async def epic_edges(conn: AsyncConnection, project_id: UUID) -> list[tuple[str, str]]:
    """Which epic takes in work of which other one."""
    found = await conn.exec_driver_sql(EPIC_EDGES.replace(":project", "$1"), (str(project_id),))
    rows: Sequence[Any] = found.all()
    return [(after, before) for after, before in rows]
