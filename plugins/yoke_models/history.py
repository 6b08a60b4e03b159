"""Evidence in the store.

What became of a completed session is told by the landings of its epic that came after it: the last of
"landed" and "taken back by a person" counts, and where there is neither, whether a check turned it down.
Before that it is open, as it is while a landing waits for another reason, such as a conflict. A session after
which its task was done again gets no credit for what landed then.

The statements are in the driver's own words, so that nothing of SQLAlchemy is imported for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from yoke_models.memory import Group

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yoke_models.memory import Memory

#: The latest sessions, by which models are chosen.
LATEST: Final = 10_000

#: Finished sessions with what became of them. `$1` is the project, `$2` how many of the latest; NULL for all.
#: What came first is told by the order of events: clocks can be set back. No session of an epic runs while
#: that lands or is turned down, so one that had started by then, by its number, was also over.
OUTCOMES = """
WITH recent AS MATERIALIZED (
    SELECT work_item_id, number, attempt, agent, model, state, cost_usd, started_at, finished_at,
           metadata ->> 'tier' AS tier, metadata -> 'choice' AS choice
    FROM sessions WHERE project_id = $1 ORDER BY number DESC LIMIT $2
), told AS (
    SELECT item.key, 'landed' AS kind, landing.finished_at AS at,
           (SELECT max(seq) FROM events
            WHERE project_id = $1 AND epic <> '' AND epic = item.key AND type = 'landing.landed'
              AND payload ->> 'commit' = landing.commit) AS seq
    FROM landings landing JOIN work_items item ON item.id = landing.work_item_id
    WHERE landing.project_id = $1 AND landing.status = 'landed'
    UNION ALL
    SELECT epic, payload ->> 'kind', at, seq FROM events
    WHERE project_id = $1 AND type = 'intervention.opened' AND task = ''
      AND payload ->> 'kind' IN ('red_check', 'taken_back')
), last AS (
    SELECT key, kind, max(seq) AS seq, max(at) AS at FROM told GROUP BY 1, 2
), after AS MATERIALIZED (
    SELECT item.id AS epic, last.kind, seq, at,
           (SELECT number FROM sessions
            WHERE id = (SELECT CASE WHEN session ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                                    THEN CAST(session AS uuid) END
                        FROM events
                        WHERE project_id = $1 AND epic <> '' AND epic = last.key AND type = 'session.started'
                          AND seq < last.seq ORDER BY seq DESC LIMIT 1)) AS number
    FROM last JOIN work_items item ON item.project_id = $1 AND item.key = last.key
), landed AS (
    SELECT * FROM after WHERE kind = 'landed'
), blamed AS (
    SELECT epic, max(number) FILTER (WHERE kind = 'red_check') AS red,
           max(number) FILTER (WHERE kind = 'taken_back') AS taken,
           max(seq) FILTER (WHERE kind = 'taken_back') AS seq, max(at) AS at
    FROM after WHERE kind <> 'landed' GROUP BY 1
), numbered AS (
    SELECT *, max(number) OVER (PARTITION BY work_item_id) AS latest FROM recent
), outcomes AS (
    SELECT item.key AS task, item.category, epic.key AS epic, session.number, session.attempt, session.agent,
           session.model, session.state, session.cost_usd, session.started_at, session.finished_at,
           landed.at AS landed_at, blamed.at AS blamed_at,
           coalesce(session.tier, '') AS tier,
           coalesce(session.choice ->> 'size',
                    CASE WHEN item.estimate < 1200 THEN 'small' WHEN item.estimate >= 5400 THEN 'large'
                    ELSE 'medium' END) AS size,
           CAST(session.choice ->> 'score' AS double precision) AS score,
           session.number < session.latest AS superseded,
           CASE WHEN session.state = 'failed' THEN false
                WHEN session.number < session.latest
                     THEN CASE WHEN greatest(blamed.red, blamed.taken) >= session.number THEN false END
                WHEN greatest(landed.number, blamed.taken) >= session.number
                     THEN coalesce(landed.seq > blamed.seq, landed.seq IS NOT NULL)
                WHEN blamed.red >= session.number THEN false
           END AS landed
    FROM numbered session
    JOIN work_items item ON item.id = session.work_item_id
    LEFT JOIN work_items epic ON epic.id = item.parent_id
    LEFT JOIN landed ON landed.epic = item.parent_id
    LEFT JOIN blamed ON blamed.epic = item.parent_id
    WHERE session.state IN ('completed', 'failed')
)
"""

#: Sessions counted by what they are alike in; those whose landing is still to come, by epic.
_GROUPS = f"""{OUTCOMES}
SELECT agent, model, tier, category, size, landed, attempt > 1 AS again,
       CASE WHEN state = 'completed' AND landed IS NOT TRUE AND NOT superseded THEN epic ELSE '' END AS epic,
       count(*) AS sessions, CAST(coalesce(sum(cost_usd), 0) AS double precision) AS cost,
       count(cost_usd) AS priced
FROM outcomes GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
"""  # noqa: S608 - composed of the constant above

#: Failed sessions of tasks that are still to be done, since those were last opened.
_FAILURES = """
SELECT item.key AS task, session.agent, session.model, coalesce(session.metadata ->> 'tier', '') AS tier
FROM work_items item
JOIN sessions session ON session.work_item_id = item.id AND session.state = 'failed'
WHERE item.project_id = $1 AND item.deleted_at IS NULL AND item.status NOT IN ('completed', 'cancelled')
  AND NOT EXISTS (SELECT FROM events reopened JOIN events began
                    ON began.project_id = $1 AND began.task = item.key AND began.task <> ''
                       AND began.type = 'session.started' AND began.session = CAST(session.id AS text)
                  WHERE reopened.project_id = $1 AND reopened.type = 'task.reopened'
                    AND reopened.task = item.key AND reopened.task <> '' AND reopened.seq > began.seq)
ORDER BY session.number
"""

#: One row for each session with an outcome, oldest first, and when that was known.
_EPISODES = f"""{OUTCOMES}
SELECT task, category, size, score, agent, model, tier, attempt, landed,
       CAST(cost_usd AS double precision) AS cost, started_at AS started, finished_at AS finished,
       CASE WHEN state = 'failed' THEN finished_at WHEN landed THEN landed_at ELSE blamed_at END AS known
FROM outcomes WHERE landed IS NOT NULL ORDER BY number
"""  # noqa: S608 - composed of the constant above

_CHOICES = """
SELECT session.number, session.attempt, session.agent, session.model, session.state, session.reason,
       CAST(session.cost_usd AS double precision) AS cost_usd, session.started_at,
       coalesce(session.metadata ->> 'tier', '') AS tier,
       coalesce(session.metadata ->> 'model_reason', '') AS model_reason,
       coalesce(session.metadata -> 'choice', '{}'::jsonb) AS choice
FROM sessions session JOIN work_items item ON item.id = session.work_item_id
WHERE item.project_id = $1 AND item.key = $2 ORDER BY session.number
"""


async def load(connection: AsyncConnection, project: UUID, memory: Memory, latest: int = LATEST) -> None:
    """Put into the memory what the store knows of the latest sessions."""
    for group in await groups(connection, project, latest):
        memory.load(group)
    for row in await connection.exec_driver_sql(_FAILURES, (project,)):
        memory.load_failure(row.task, row.agent, row.model, row.tier)


async def groups(connection: AsyncConnection, project: UUID, latest: int | None = None) -> list[Group]:
    """The latest sessions, or all of them, counted."""
    rows = await connection.exec_driver_sql(_GROUPS, (project, latest))
    return [Group(**row._mapping) for row in rows]  # noqa: SLF001 - the documented name


async def episodes(
    connection: AsyncConnection, project: UUID, latest: int | None = None
) -> list[dict[str, Any]]:
    """Of the latest sessions, or of all, those whose outcome is known, oldest first."""
    rows = await connection.exec_driver_sql(_EPISODES, (project, latest))
    return [dict(row._mapping) for row in rows]  # noqa: SLF001 - the documented name


async def choices(connection: AsyncConnection, project: UUID, task: str) -> list[dict[str, Any]]:
    """Every session of a task with how its model was chosen, oldest first."""
    rows = await connection.exec_driver_sql(_CHOICES, (project, task))
    return [dict(row._mapping) for row in rows]  # noqa: SLF001 - the documented name
