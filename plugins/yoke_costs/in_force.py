"""The limits in force, with what is used of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from yoke_costs.queries import Sums, Where, last_run, today, total

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date
    from uuid import UUID

    import asyncpg

    Connection = asyncpg.Connection[Any]

UNITS = ("usd", "tokens", "sessions")


@dataclass(frozen=True, slots=True)
class InForce:
    """One limit and how near it is."""

    #: `run`, `day`, `epic` or `task`
    scope: str
    #: One of `UNITS`.
    unit: str
    limit: float
    used: float
    #: Operations of unknown cost.
    unknown: int = 0
    #: The part of `used` that stands for them: what was set aside for their sessions and nobody told of.
    assumed: float = 0.0
    #: Set aside for sessions that run, not in `used`.
    reserved: float = 0.0
    #: Which run, day, epic or task; of epics and tasks the one that used most. Empty when there is none.
    of: str = ""


class _Used(NamedTuple):
    """What a run, a day, an epic or a task used of everything."""

    of: str
    sums: Sums = Sums()
    sessions: int = 0
    reserved_usd: float = 0.0
    reserved_tokens: float = 0.0
    assumed_usd: float = 0.0

    def measured(self, scope: str, unit: str, most: float) -> InForce:
        """Against one limit."""
        if unit == "usd":
            used = self.sums.known_usd + self.assumed_usd
            unknown = self.sums.unknown
            return InForce(scope, unit, most, used, unknown, self.assumed_usd, self.reserved_usd, self.of)
        if unit == "tokens":
            return InForce(scope, unit, most, self.sums.tokens, reserved=self.reserved_tokens, of=self.of)
        return InForce(scope, unit, most, self.sessions, of=self.of)


_RESERVED = """
SELECT CAST(coalesce(sum(amount_usd), 0) AS double precision),
       CAST(coalesce(sum(amount_tokens), 0) AS double precision)
FROM budget_reservations WHERE project_id = $1 AND state = 'reserved' AND (run_id = $2 OR $2 IS NULL)
"""
#: By session, what counts of it beyond what is known.
_ASSUMED = """
SELECT held.work_item_id, greatest(held.amount_usd - coalesce((
           SELECT sum(known.cost_usd) FROM agent_costs known WHERE known.session_id = held.session
       ), 0), 0) AS usd
FROM budget_reservations held
WHERE held.project_id = $1 AND held.state = 'settled' AND held.settled_usd IS NULL
"""
_ASSUMED_OF = """
SELECT CAST(coalesce(sum(assumed.usd), 0) AS double precision)
FROM ({each} AND (held.run_id = $2 OR $2 IS NULL)
      AND (CAST(held.reserved_at AT TIME ZONE 'UTC' AS date) = $3 OR $3 IS NULL)) assumed
"""
#: A session that did nothing counts for no budget.
_SESSIONS_OF_RUN = """
SELECT count(*) FROM sessions session
WHERE run_id = $1
  AND NOT yoke_costs_released(session.state, session.cost_usd, session.metadata -> 'usage')
"""
_SESSIONS_OF_DAY = """
SELECT CAST(coalesce(sum(sessions), 0) AS bigint) FROM budget_sums WHERE project_id = $1 AND day = $2
"""

#: The tasks, or the epics, with what they used of each unit; the one that used most is first.
_MOST = """
WITH spent AS (
    SELECT work_item_id, cost_usd AS usd, unknown_costs AS unknown,
           input_tokens + output_tokens + cache_read_tokens + cache_write_tokens AS tokens
    FROM item_costs WHERE project_id = $1 AND span = 'ever'
), assumed AS (
    SELECT work_item_id, sum(usd) AS assumed FROM ({each}) session GROUP BY work_item_id
)
SELECT owner.key, CAST(coalesce(sum(usd), 0) + coalesce(sum(assumed), 0) AS double precision) AS usd,
       CAST(coalesce(sum(assumed), 0) AS double precision) AS assumed,
       CAST(coalesce(sum(unknown), 0) AS bigint) AS unknown,
       CAST(coalesce(sum(tokens), 0) AS bigint) AS tokens,
       CAST(sum({sessions}) AS bigint) AS sessions
FROM work_items item
LEFT JOIN spent ON spent.work_item_id = item.id
LEFT JOIN assumed ON assumed.work_item_id = item.id
JOIN work_items owner ON owner.id = {owner}
WHERE item.project_id = $1 AND item.kind <> 'epic'
GROUP BY owner.key ORDER BY {unit} DESC, owner.key LIMIT 1
"""
_SESSIONS_OF_ITEM = """
(SELECT coalesce(sum(counted.sessions), 0) FROM budget_sums counted
 WHERE counted.project_id = $1 AND counted.day = DATE '0001-01-01' AND counted.work_item_id = item.id)
"""
_OWNERS = {"task": "item.id", "epic": "item.parent_id"}


async def limits(connection: Connection, project: UUID, cost: Mapping[str, Any]) -> list[InForce]:
    """Every limit that `cost` sets, those of runs first; nothing is in force where it is not `enabled`.

    It is plain data, since building a `Config` takes longer than all answers.
    """
    found = []
    used = _Uses(connection, project)
    for scope, unit, most in _set(cost) if cost["enabled"] else ():
        found.append((await used.of(scope, unit)).measured(scope, unit, most))
    return found


def _set(cost: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
    for scope in ("run", "day", "epic", "task"):
        for unit in UNITS:
            most = cost["budgets"][scope][unit]
            if scope == "run" and unit == "usd":
                either = [each for each in (most, cost["budget_limit_usd"]) if each is not None]
                most = min(either, default=None)
            if most is not None:
                yield scope, unit, most


@dataclass
class _Uses:
    """What was used, asked for once and only where a limit is set."""

    connection: Connection
    project: UUID
    _known: dict[str, _Used] = field(default_factory=dict)

    async def of(self, scope: str, unit: str) -> _Used:
        if scope in _OWNERS:
            return await self._most(scope, unit)
        if scope not in self._known:
            self._known[scope] = await (self._run() if scope == "run" else self._day())
        return self._known[scope]

    async def _run(self) -> _Used:
        run = await last_run(self.connection, self.project)
        if run is None:
            return _Used("")
        return _Used(
            str(run),
            await total(self.connection, Where(self.project, run=run)),
            await self.connection.fetchval(_SESSIONS_OF_RUN, run),
            *await self._reserved(run),
            await self._assumed(run, None),
        )

    async def _day(self) -> _Used:
        day = today()
        return _Used(
            day.isoformat(),
            await total(self.connection, Where(self.project, day, day)),
            await self.connection.fetchval(_SESSIONS_OF_DAY, self.project, day),
            *await self._reserved(None),
            await self._assumed(None, day),
        )

    async def _assumed(self, run: UUID | None, day: date | None) -> float:
        sql = _ASSUMED_OF.format(each=_ASSUMED)
        usd: float = await self.connection.fetchval(sql, self.project, run, day)
        return usd

    async def _reserved(self, run: UUID | None) -> tuple[float, float]:
        (usd, tokens), *_ = await self.connection.fetch(_RESERVED, self.project, run)
        return usd, tokens

    async def _most(self, scope: str, unit: str) -> _Used:
        sessions = _SESSIONS_OF_ITEM if unit == "sessions" else "0"
        sql = _MOST.format(owner=_OWNERS[scope], unit=unit, sessions=sessions, each=_ASSUMED)
        row = await self.connection.fetchrow(sql, self.project)
        if row is None:
            return _Used("")
        sums = Sums(unknown=row["unknown"], input=row["tokens"], known_usd=row["usd"] - row["assumed"])
        return _Used(row["key"], sums, row["sessions"], assumed_usd=row["assumed"])
