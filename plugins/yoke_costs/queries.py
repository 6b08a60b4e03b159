"""What is asked about costs, in SQL. Does not import SQLAlchemy, which takes longer than all answers.

Everything is answered from the sums that triggers keep (`rollups.py`), but for a single run, whose rows are
found by index.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from yoke_costs.forecast import Evidence

if TYPE_CHECKING:
    from uuid import UUID

    import asyncpg

    Connection = asyncpg.Connection[Any]


class By(StrEnum):
    """What a report is broken down by."""

    MODEL = "model"
    EPIC = "epic"
    TASK = "task"
    CATEGORY = "category"
    DAY = "day"
    OPERATION = "operation"


@dataclass(frozen=True, slots=True)
class Sums:
    """What some operations took; an operation is what one model did in one session."""

    operations: int = 0
    #: Operations whose cost nobody knows. They are not in `known_usd`.
    unknown: int = 0
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    known_usd: float = 0.0

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.operations + other.operations,
            self.unknown + other.unknown,
            self.input + other.input,
            self.output + other.output,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
            self.known_usd + other.known_usd,
        )

    @property
    def tokens(self) -> int:
        """Of all kinds together."""
        return self.input + self.output + self.cache_read + self.cache_write

    @property
    def cost_usd(self) -> float | None:
        """What is known of the cost; None when there were operations and none has a known cost."""
        return None if self.operations and self.operations == self.unknown else self.known_usd

    @property
    def average_usd(self) -> float | None:
        """Dollars for an operation, among those with a known cost."""
        known = self.operations - self.unknown
        return self.known_usd / known if known else None


class Line(NamedTuple):
    """One line of a report."""

    key: str
    sums: Sums


@dataclass(frozen=True, slots=True)
class Where:
    """Which costs of a project are asked for."""

    project: UUID
    #: Days by UTC, both included.
    since: date = date.min
    until: date = date.max
    run: UUID | None = None


#: The columns that are summed, in the order of the fields of `Sums`.
_COLUMNS = (
    "operations",
    "unknown_costs",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cost_usd",
)
_SUMS = ", ".join(f"coalesce(sum(cost.{column}), 0) AS {column}" for column in _COLUMNS)

#: One run: the index on its id leads to its rows.
_OF_RUN = """
SELECT project_id, CAST(occurred_at AT TIME ZONE 'UTC' AS date) AS day, model, operation_type, work_item_id,
       1 AS operations, CAST(cost_usd IS NULL AS integer) AS unknown_costs, input_tokens, output_tokens,
       cache_read_tokens, cache_write_tokens, cost_usd
FROM agent_costs
WHERE run_id = $4 AND project_id = $1 AND CAST(occurred_at AT TIME ZONE 'UTC' AS date) BETWEEN $2 AND $3
"""
_OF_DAYS = "SELECT * FROM daily_costs WHERE project_id = $1 AND day BETWEEN $2 AND $3"

#: Whole months from $4 to before $5, and the days before and after them.
_OF_ITEMS = """
SELECT * FROM item_costs
WHERE project_id = $1 AND span = 'month' AND starts_on >= $4 AND starts_on < $5
UNION ALL
SELECT * FROM item_costs
WHERE project_id = $1 AND span = 'day' AND starts_on >= $2 AND starts_on < $4
UNION ALL
SELECT * FROM item_costs
WHERE project_id = $1 AND span = 'day' AND starts_on >= $5 AND starts_on <= $3
"""
_OF_ITEMS_EVER = "SELECT * FROM item_costs WHERE project_id = $1 AND span = 'ever'"
_ITEM = "LEFT JOIN work_items item ON item.id = cost.work_item_id"
_EPIC = f"{_ITEM} LEFT JOIN work_items epic ON epic.id = item.parent_id"


class _Key(NamedTuple):
    """How the lines of a breakdown are told apart."""

    #: The column of the sums.
    column: str
    #: What is shown for it, and what has to be joined for that.
    shown: str
    joins: str = ""


_KEYS = {
    None: _Key("project_id", "''"),
    By.MODEL: _Key("model", "cost.model"),
    By.OPERATION: _Key("operation_type", "cost.operation_type"),
    By.DAY: _Key("day", "CAST(cost.day AS text)"),
    By.TASK: _Key("work_item_id", "coalesce(item.key, '')", _ITEM),
    By.EPIC: _Key("work_item_id", "coalesce(epic.key, item.key, '')", _EPIC),
    By.CATEGORY: _Key("work_item_id", "coalesce(item.category, '')", _ITEM),
}

#: Sums are made before anything is joined to them: there are far fewer.
_BREAKDOWN = """
SELECT {key.shown} AS key, {sums}
FROM (SELECT cost.{key.column}, {sums} FROM ({source}) cost GROUP BY cost.{key.column}) cost {key.joins}
GROUP BY 1 HAVING sum(cost.operations) > 0 ORDER BY {order}
"""


class Query(NamedTuple):
    """A statement with its values."""

    sql: str
    values: tuple[object, ...]


def breakdown(where: Where, by: By | None) -> Query:
    """The lines of a report: days in their order, anything else the dearest first."""
    key = _KEYS[by]
    source, values = _source(where, of_items=key.column == "work_item_id")
    order = "key" if by is By.DAY else "cost_usd DESC, operations DESC, key"
    return Query(_BREAKDOWN.format(key=key, sums=_SUMS, source=source, order=order), values)


def _source(where: Where, *, of_items: bool) -> Query:
    values = (where.project, where.since, where.until)
    if where.run is not None:
        return Query(_OF_RUN, (*values, where.run))
    if of_items and (where.since, where.until) == (date.min, date.max):
        return Query(_OF_ITEMS_EVER, (where.project,))
    if of_items:
        return Query(_OF_ITEMS, (*values, *whole_months(where.since, where.until)))
    return Query(_OF_DAYS, values)


def whole_months(since: date, until: date) -> tuple[date, date]:
    """The first day of the whole months within two days, and the day after them.

    Without a whole month both are the day after `until`, so that all days come before them.
    """
    first = since if since.day == 1 else _next_month(since)
    after = until if until == date.max else (until + timedelta(days=1)).replace(day=1)
    if first < after:
        return first, after
    beyond = until if until == date.max else until + timedelta(days=1)
    return beyond, beyond


def _next_month(day: date) -> date:
    last = (day.year, day.month) == (date.max.year, 12)
    return date.max if last else (day.replace(day=28) + timedelta(days=4)).replace(day=1)


#: What every task cost, and how far it is. Finished ones that left the plan still tell what tasks cost.
EVIDENCE = """
WITH spent AS (
    SELECT work_item_id, operations, unknown_costs AS unknown, cost_usd AS cost
    FROM item_costs WHERE project_id = $1 AND span = 'ever'
), task AS (
    SELECT item.category, item.status = 'completed' AS done,
           CASE WHEN spent.operations > spent.unknown THEN CAST(spent.cost AS double precision) END AS cost,
           item.status IN ('proposed', 'pending', 'in_progress', 'blocked', 'failed')
               AND item.deleted_at IS NULL AS remains
    FROM work_items item LEFT JOIN spent ON spent.work_item_id = item.id
    WHERE item.project_id = $1 AND item.kind <> 'epic'
)
SELECT category, count(*) FILTER (WHERE remains) AS remaining, count(cost) FILTER (WHERE done) AS finished,
       count(*) FILTER (WHERE done AND cost IS NULL) AS unknown,
       coalesce(avg(cost) FILTER (WHERE done), 0) AS mean_usd,
       coalesce(var_pop(cost) FILTER (WHERE done) * count(cost) FILTER (WHERE done), 0) AS deviations
FROM task GROUP BY category ORDER BY category
"""

#: By the order in which runs were told, since clocks can be set back.
_LAST_RUN = """
SELECT run.id FROM runs run LEFT JOIN events started
  ON started.project_id = run.project_id AND started.type = 'run.started'
     AND started.run = CAST(run.id AS text)
WHERE run.project_id = $1 ORDER BY started.seq DESC NULLS LAST, run.started_at DESC LIMIT 1
"""
_RUNS_CALLED = "SELECT id FROM runs WHERE project_id = $1 AND starts_with(CAST(id AS text), $2) LIMIT 2"


async def lines(connection: Connection, where: Where, by: By | None = None) -> list[Line]:
    """The lines of a report."""
    sql, values = breakdown(where, by)
    return [Line(row[0], _sums(row)) for row in await connection.fetch(sql, *values)]


async def total(connection: Connection, where: Where) -> Sums:
    """All of it together."""
    found = await lines(connection, where)
    return found[0].sums if found else Sums()


async def evidence(connection: Connection, project: UUID) -> list[Evidence]:
    """What a forecast is built on."""
    return [Evidence(**dict(row)) for row in await connection.fetch(EVIDENCE, project)]


async def last_run(connection: Connection, project: UUID) -> UUID | None:
    """The run that started last."""
    found: UUID | None = await connection.fetchval(_LAST_RUN, project)
    return found


async def runs_called(connection: Connection, project: UUID, beginning: str) -> list[UUID]:
    """Up to two runs whose id begins like this."""
    return [row[0] for row in await connection.fetch(_RUNS_CALLED, project, beginning.lower())]


def today() -> date:
    """By UTC, as costs are counted."""
    return datetime.now(UTC).date()


def _sums(row: asyncpg.Record) -> Sums:
    *counts, cost = row[1:]
    operations, unknown, read, written, cache_read, cache_write = map(int, counts)
    return Sums(operations, unknown, read, written, cache_read, cache_write, float(cost))
