"""The books of a new run, from what the store knows of all runs before."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from yoke_costs.amounts import Amount, micro
from yoke_costs.estimates import Trait
from yoke_costs.limits import limits_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yoke_costs.accounts import Books, Key
    from yokeflow.config import Cost

#: Sessions that estimates are learned from: the newest of the project, whatever their number is.
_SAMPLES: Final = 2000

#: The newest sessions of known use, the oldest of them first. Interrupted ones say little about whole ones.
_NEWEST = text("""
SELECT session.agent, item.category, coalesce(session.metadata ->> 'tier', '') AS tier, session.model,
       session.cost_usd AS usd, yoke_costs_tokens(session.cost_usd, session.metadata -> 'usage') AS tokens
FROM (SELECT * FROM sessions
      WHERE project_id = CAST(:project AS uuid) AND state IN ('completed', 'failed')
        AND (cost_usd IS NOT NULL OR metadata ? 'usage')
      ORDER BY number DESC LIMIT :most) session
JOIN work_items item ON item.id = session.work_item_id
ORDER BY session.number
""")

#: Sums of sessions by task, day and what makes them alike. What nobody knows counts as what was set aside; it
#: is only numbered where nothing was. Without `all` only sessions of today are read; tokens, which are slow
#: to read, only where they are limited.
_SPENT = text("""
SELECT item.key AS task, coalesce(epic.key, '') AS epic, item.category, session.agent,
       coalesce(session.metadata ->> 'tier', '') AS tier, session.model,
       session.started_at >= :today AS today, count(*) AS sessions, coalesce(sum(used.usd), 0) AS usd,
       count(*) FILTER (WHERE used.usd IS NULL) AS unknown_usd,
       coalesce(sum(used.tokens), 0) AS tokens, count(*) FILTER (WHERE used.tokens IS NULL) AS unknown_tokens
FROM sessions session
JOIN work_items item ON item.id = session.work_item_id
LEFT JOIN work_items epic ON epic.id = item.parent_id
CROSS JOIN LATERAL (
    SELECT coalesce(session.cost_usd, yoke_costs_usd(session.metadata -> 'reserved' -> 'usd')) AS usd,
           CASE WHEN :tokens THEN
               coalesce(yoke_costs_tokens(session.cost_usd, session.metadata -> 'usage'),
                        yoke_costs_count(session.metadata -> 'reserved' -> 'tokens'))
           ELSE 0 END AS tokens
) used
WHERE session.project_id = CAST(:project AS uuid) AND (:all OR session.started_at >= :today)
  AND NOT (session.state = 'interrupted'
           AND yoke_costs_released(session.state, session.cost_usd, session.metadata -> 'usage'))
GROUP BY 1, 2, 3, 4, 5, 6, 7
""")

#: The same of what agents were asked, which leaves no session.
_ASKED = text("""
SELECT event.task, event.epic, coalesce(item.category, '') AS category, event.payload ->> 'agent' AS agent,
       '' AS tier, event.payload ->> 'model' AS model, event.at >= :today AS today,
       count(*) AS sessions, coalesce(sum(used.usd), 0) AS usd,
       count(*) FILTER (WHERE used.usd IS NULL AND event.task <> '') AS unknown_usd,
       coalesce(sum(used.tokens), 0) AS tokens,
       count(*) FILTER (WHERE used.tokens IS NULL AND event.task <> '') AS unknown_tokens
FROM events event
LEFT JOIN work_items item ON item.project_id = event.project_id AND item.key = event.task
CROSS JOIN LATERAL (
    SELECT yoke_costs_usd(event.payload -> 'cost_usd') AS usd,
           CASE WHEN :tokens THEN
               yoke_costs_tokens(yoke_costs_usd(event.payload -> 'cost_usd'), event.payload -> 'usage')
           ELSE 0 END AS tokens
) used
WHERE event.project_id = CAST(:project AS uuid) AND event.type = 'agent.asked'
  AND (:all OR event.at >= :today)
GROUP BY 1, 2, 3, 4, 5, 6, 7
""")


async def load(conn: AsyncConnection, project_id: UUID, cost: Cost, books: Books) -> None:
    """Fill the books of a run that begins."""
    limits = limits_of(cost)
    scopes = {limit.scope for limit in limits}
    for row in await conn.execute(_NEWEST, {"project": str(project_id), "most": _SAMPLES}):
        books.estimates.learn(
            Trait(row.agent, row.category, row.tier, row.model),
            None if row.usd is None else micro(row.usd),
            None if row.tokens is None else int(row.tokens),
        )
    if scopes <= {"run"}:
        return
    key = books.day()
    where = {
        "project": str(project_id),
        "today": _midnight(key),
        "all": bool(scopes & {"task", "epic"}),
        "tokens": any(limit.unit == "tokens" for limit in limits),
    }
    for query in (_SPENT, _ASKED):
        for row in await conn.execute(query, where):
            books.spend(_keys(row, key), _amount(row, books, cost))


def _midnight(day: Key) -> datetime:
    return datetime.combine(date.fromisoformat(day[1]), time(), UTC)


def _keys(row: Any, day: Key) -> Sequence[Key]:
    own: tuple[Key, ...] = (("task", row.task), ("epic", row.epic)) if row.task else ()
    return (*own, day) if row.today else own


def _amount(row: Any, books: Books, cost: Cost) -> Amount:
    """What the sessions of a row used; where nobody knows that nor what was set aside, an estimate."""
    guess = books.estimates.estimate(Trait(row.agent, row.category, row.tier, row.model), cost)
    return Amount(
        micro(row.usd) + row.unknown_usd * guess.usd,
        int(row.tokens) + row.unknown_tokens * guess.tokens,
        row.sessions if row.task else 0,
    )
