"""The books of a new run, from what the store knows of all runs before."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from yoke_costs.amounts import Amount, micro
from yoke_costs.estimates import Trait
from yoke_costs.limits import limits_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yoke_costs.accounts import Books, Key
    from yokeflow.config import Cost

#: Sessions that estimates are learned from: the newest of the project, whatever their number is.
_SAMPLES: Final = 2000

#: The newest sessions of known use, the oldest of them first. What was cut off says little about whole ones.
_NEWEST = text("""
SELECT session.agent, item.category, coalesce(session.metadata ->> 'tier', '') AS tier, session.model,
       session.cost_usd AS usd, yoke_costs_tokens(session.cost_usd, session.metadata -> 'usage') AS tokens
FROM (SELECT * FROM sessions
      WHERE project_id = CAST(:project AS uuid) AND state IN ('completed', 'failed')
        AND (cost_usd IS NOT NULL OR metadata ? 'usage')
        AND metadata ->> 'cost_source' IS DISTINCT FROM 'least'
      ORDER BY number DESC LIMIT :most) session
JOIN work_items item ON item.id = session.work_item_id
ORDER BY session.number
""")

#: By task and what makes sessions alike, today and for ever. Only where nobody knows what some of them used
#: does it matter what they are like.
_SPENT = text("""
SELECT coalesce(item.key, '') AS task, coalesce(epic.key, '') AS epic,
       coalesce(item.category, '') AS category, alike.agent, alike.tier, alike.model,
       sum.day <> DATE '0001-01-01' AS today, sum(sum.sessions) AS sessions, sum(sum.usd) AS usd,
       sum(sum.unknown_usd) AS unknown_usd, sum(sum.tokens) AS tokens,
       sum(sum.unknown_tokens) AS unknown_tokens
FROM budget_sums sum
LEFT JOIN work_items item ON item.id = sum.work_item_id
LEFT JOIN work_items epic ON epic.id = item.parent_id
LEFT JOIN LATERAL (
    SELECT sum.agent, sum.tier, sum.model WHERE sum.unknown_usd <> 0 OR sum.unknown_tokens <> 0
) alike ON TRUE
WHERE sum.project_id = CAST(:project AS uuid)
  AND (:ever AND sum.day = DATE '0001-01-01' OR :daily AND sum.day = CAST(:today AS date))
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
    today = books.day()
    where = {
        "project": str(project_id),
        "ever": bool(scopes & {"task", "epic"}),
        "daily": "day" in scopes,
        "today": date.fromisoformat(today[1]),
    }
    for row in await conn.execute(_SPENT, where):
        books.spend(_keys(row, today), _amount(row, books, cost))


def _keys(row: Any, today: Key) -> Sequence[Key]:
    if row.today:
        return (today,)
    return (("task", row.task), ("epic", row.epic)) if row.task else ()


def _amount(row: Any, books: Books, cost: Cost) -> Amount:
    """What the sessions of a row used; where nobody knows that nor what was set aside, an estimate."""
    known = Amount(_millionths(row.usd), int(row.tokens), int(row.sessions))
    if row.agent is None:
        return known
    guess = books.estimates.estimate(Trait(row.agent, row.category, row.tier, row.model), cost)
    return known + Amount(int(row.unknown_usd) * guess.usd, int(row.unknown_tokens) * guess.tokens)


def _millionths(usd: Decimal) -> int:
    """Of a sum, which may be more than one session can cost."""
    return int(usd * 1_000_000)
