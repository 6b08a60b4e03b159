"""The sums of costs are those of the rows, and every question is answered from them or by an index."""

from __future__ import annotations

import asyncio
import random
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plugins.cost_world import START, World, make_world
from yoke_costs.queries import EVIDENCE, By, Line, Sums, Where, breakdown, lines, total, whole_months
from yoke_costs.report import Asked, report
from yokeflow.config import Cost
from yokeflow.errors import UsageError
from yokeflow.store import migrate
from yokeflow.store.driver import connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    import asyncpg

    Connection = asyncpg.Connection[Any]

PLUGINS = sorted((Path(__file__).parents[2] / "plugins").glob("*/migrations"))

NO_LIMITS = Cost().model_dump()

_TOKENS = "sum(input_tokens), sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens)"
_COUNTS = f"count(*), count(*) FILTER (WHERE cost_usd IS NULL), {_TOKENS}, coalesce(sum(cost_usd), 0)"
_KEPT = f"operations, unknown_costs, {_TOKENS.replace('sum(', '').replace(')', '')}, cost_usd"
#: What the sums must be, and what they are.
SUMS = {
    "daily_costs": (
        f"""SELECT project_id, CAST(occurred_at AT TIME ZONE 'UTC' AS date), model, operation_type, {_COUNTS}
            FROM agent_costs GROUP BY 1, 2, 3, 4""",
        f"SELECT project_id, day, model, operation_type, {_KEPT} FROM daily_costs WHERE operations <> 0",
    ),
    "item_costs": (
        f"""SELECT project_id, span, CASE span WHEN 'ever' THEN '0001-01-01'
                     ELSE CAST(date_trunc(span, occurred_at AT TIME ZONE 'UTC') AS date) END,
                   coalesce(work_item_id, '00000000-0000-0000-0000-000000000000'), {_COUNTS}
            FROM agent_costs, (VALUES ('day'), ('month'), ('ever')) length (span) GROUP BY 1, 2, 3, 4""",
        f"SELECT project_id, span, starts_on, work_item_id, {_KEPT} FROM item_costs WHERE operations <> 0",
    ),
}


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with connection(database_url) as opened:
        yield await make_world(opened)


async def assert_sums_are_right(opened: Connection) -> None:
    for table, (wanted, kept) in SUMS.items():
        rows = {tuple(row)[:4]: tuple(row)[4:] for row in await opened.fetch(wanted)}
        assert {tuple(row)[:4]: tuple(row)[4:] for row in await opened.fetch(kept)} == rows, table


def _row(world: World, chance: random.Random) -> tuple[object, ...]:
    return (
        world.project,
        chance.choice([*world.items.values(), None]),
        chance.choice(["haiku", "sonnet", "opus"]),
        chance.choice(["task", "reflection"]),
        chance.randrange(1000),
        chance.randrange(100),
        chance.randrange(5000),
        chance.choice([None, Decimal(chance.randrange(10**6)) / 10**6]),
        START + timedelta(hours=chance.randrange(2000)),
    )


_INSERT = """
INSERT INTO agent_costs (project_id, work_item_id, model, operation_type, input_tokens, output_tokens,
                         cache_read_tokens, cost_usd, occurred_at)
SELECT * FROM unnest(CAST($1 AS uuid[]), CAST($2 AS uuid[]), CAST($3 AS text[]), CAST($4 AS text[]),
                     CAST($5 AS bigint[]), CAST($6 AS bigint[]), CAST($7 AS bigint[]), CAST($8 AS numeric[]),
                     CAST($9 AS timestamptz[]))
"""
_SOME = "id IN (SELECT id FROM agent_costs ORDER BY md5(id::text || $1) LIMIT 5 FOR UPDATE SKIP LOCKED)"
_CHANGES = (
    f"UPDATE agent_costs SET cost_usd = coalesce(cost_usd, 0) + 0.01, model = 'opus' WHERE {_SOME}",
    f"UPDATE agent_costs SET cost_usd = NULL, work_item_id = NULL WHERE {_SOME}",
    f"UPDATE agent_costs SET occurred_at = occurred_at - interval '30 hours' WHERE {_SOME}",
    f"DELETE FROM agent_costs WHERE {_SOME}",
)


async def _write(url: str, world: World, seed: int) -> None:
    """Transactions of several statements, so that each holds sums that the others want, in any order."""
    chance = random.Random(seed)
    async with connection(url) as opened:
        for _ in range(12):
            keep = opened.transaction()
            await keep.start()
            for _ in range(chance.randrange(1, 4)):
                rows = [_row(world, chance) for _ in range(chance.randrange(1, 12))]
                await opened.execute(_INSERT, *map(list, zip(*rows, strict=True)))
                await opened.execute(chance.choice(_CHANGES), str(chance.random()))
            await (keep.commit() if chance.random() < 0.8 else keep.rollback())


async def test_sums_are_those_of_the_rows_whoever_writes_at_the_same_time(
    world: World, database_url: str
) -> None:
    await asyncio.gather(*(_write(database_url, world, seed) for seed in range(4)))
    assert await world.connection.fetchval("SELECT count(*) FROM agent_costs") > 50
    await assert_sums_are_right(world.connection)


async def test_sums_follow_what_is_deleted_elsewhere(world: World) -> None:
    await world.spend("1", task="ui.form", run=await world.run())
    await world.spend(None, task="ui.form")
    await world.connection.execute("DELETE FROM runs")
    await world.connection.execute("DELETE FROM work_items WHERE key = 'ui.form'")
    await assert_sums_are_right(world.connection)
    assert await lines(world.connection, Where(world.project), By.TASK) == [
        Line("", Sums(2, 1, output=2, known_usd=1.0))
    ]
    await world.connection.execute("TRUNCATE agent_costs")
    await assert_sums_are_right(world.connection)
    await world.connection.execute("DELETE FROM work_items WHERE parent_id IS NOT NULL")
    await world.connection.execute("DELETE FROM work_items")
    await world.connection.execute("DELETE FROM projects")


async def test_the_migration_sums_what_was_there(database_url: str, world: World) -> None:
    await world.spend("0.5", task="pay.api")
    await world.spend(None, task="pay.api", model="haiku", at=START + timedelta(days=40))
    before = await world.connection.fetch("SELECT * FROM v_project_costs ORDER BY model")
    await migrate.downgrade(database_url, PLUGINS, "yoke_costs_0002")
    await world.spend("0.25", task="pay.docs")
    reread = await world.connection.fetch("SELECT * FROM v_project_costs ORDER BY model")
    assert [tuple(row) for row in reread[:1]] == [tuple(row) for row in before[:1]]
    await migrate.upgrade(database_url, PLUGINS)
    await assert_sums_are_right(world.connection)
    again = await world.connection.fetch("SELECT * FROM v_project_costs ORDER BY model")
    assert again == reread


async def test_a_view_without_costs_is_empty_and_unknown_costs_have_no_sum(world: World) -> None:
    assert await world.connection.fetch("SELECT * FROM v_project_costs") == []
    await world.spend(None)
    (row,) = await world.connection.fetch("SELECT * FROM v_project_costs")
    assert (row["total_cost_usd"], row["avg_cost_usd"], row["unknown_cost_count"]) == (None, None, 1)


_DAYS = st.dates(date(2025, 11, 1), date(2026, 4, 30))


@given(since=_DAYS | st.just(date.min), until=_DAYS | st.just(date.max), day=_DAYS)
def test_a_day_is_counted_once_whether_by_itself_or_in_its_month(since: date, until: date, day: date) -> None:
    first, after = whole_months(since, until)
    counted = (first <= day.replace(day=1) < after) + (since <= day < first) + (after <= day <= until)
    assert counted == (since <= day <= until)


async def _fill(world: World, rows: int) -> UUID:
    """Rows of 90 days, of which the run given back has a few."""
    run = await world.run()
    other = await world.run(START + timedelta(days=1))
    await world.connection.execute(
        """INSERT INTO agent_costs
             (project_id, run_id, work_item_id, model, cost_usd, input_tokens, occurred_at)
           SELECT $1, CASE WHEN number % 100 = 0 THEN CAST($3 AS uuid) ELSE CAST($4 AS uuid) END,
                  (CAST($5 AS uuid[]))[1 + number % 5], 'model ' || number % 4,
                  CASE WHEN number % 7 <> 0 THEN number % 13 * 0.01 END, number % 1000,
                  CAST($6 AS timestamptz) + number % 90 * interval '1 day'
           FROM generate_series(1, $2) AS number""",
        world.project,
        rows,
        run,
        other,
        list(world.items.values()),
        START,
    )
    await world.connection.execute("ANALYZE")
    return run


_PERIODS = (
    (date.min, date.max),
    (date(2026, 2, 1), date.max),
    (date(2026, 1, 22), date(2026, 4, 3)),
    (date(2026, 2, 3), date(2026, 2, 5)),
)


async def test_every_answer_is_that_of_the_rows_and_none_reads_all_of_them(world: World) -> None:
    run = await _fill(world, 20_000)
    for by in (None, *By):
        for since, until in _PERIODS:
            for chosen in (None, run):
                where = Where(world.project, since, until, chosen)
                query = breakdown(where, by)
                plan = await world.connection.fetch(f"EXPLAIN {query.sql}", *query.values)
                assert "Seq Scan on agent_costs" not in str(plan), (by, since, chosen)
                found = await lines(world.connection, where, by)
                assert await _by_hand(world.connection, where, by) == {
                    line.key: (line.sums.operations, line.sums.unknown, line.sums.input) for line in found
                }
    plan = await world.connection.fetch(f"EXPLAIN {EVIDENCE}", world.project)
    plan += await world.connection.fetch("EXPLAIN SELECT * FROM v_project_costs")
    assert "agent_costs" not in str(plan)


_KEYS = {
    None: "''",
    By.MODEL: "cost.model",
    By.OPERATION: "operation_type",
    By.DAY: "left(CAST(occurred_at AT TIME ZONE 'UTC' AS text), 10)",
    By.TASK: "item.key",
    By.EPIC: "coalesce(epic.key, item.key)",
    By.CATEGORY: "item.category",
}


async def _by_hand(opened: Connection, where: Where, by: By | None) -> dict[str, tuple[int, int, int]]:
    rows = await opened.fetch(
        f"""SELECT {_KEYS[by]}, count(*), count(*) FILTER (WHERE cost.cost_usd IS NULL), sum(input_tokens)
            FROM agent_costs cost JOIN work_items item ON item.id = work_item_id
            LEFT JOIN work_items epic ON epic.id = item.parent_id
            WHERE CAST(occurred_at AT TIME ZONE 'UTC' AS date) BETWEEN $1 AND $2
              AND (run_id = $3 OR $3 IS NULL) GROUP BY 1""",
        where.since,
        where.until,
        where.run,
    )
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


async def test_the_dearest_come_first_and_days_in_their_order(world: World) -> None:
    await world.spend("1", task="ui.form", at=START)
    await world.spend("3", task="pay.api", at=START - timedelta(days=1))
    await world.spend(None, task="pay.docs", at=START + timedelta(days=1))
    where = Where(world.project)
    assert [line.key for line in await lines(world.connection, where, By.TASK)] == [
        "pay.api",
        "ui.form",
        "pay.docs",
    ]
    assert [line.key for line in await lines(world.connection, where, By.EPIC)] == ["pay", "ui"]
    assert [line.key for line in await lines(world.connection, where, By.CATEGORY)] == ["api", "docs"]
    days = [line.key for line in await lines(world.connection, where, By.DAY)]
    assert days == ["2026-01-19", "2026-01-20", "2026-01-21"]
    docs = (await lines(world.connection, where, By.TASK))[-1].sums
    assert (docs.cost_usd, docs.average_usd, docs.unknown) == (None, None, 1)


async def test_another_project_and_another_run_do_not_count(world: World) -> None:
    other = await make_world(world.connection)
    await other.spend("9", task="pay.api", run=await other.run())
    assert await total(world.connection, Where(world.project)) == Sums()
    run = await world.run()
    await world.spend("1", run=run)
    await world.spend("2")
    assert (await total(world.connection, Where(world.project, run=run))).known_usd == 1.0
    assert (await total(world.connection, Where(world.project))).known_usd == 3.0
    found = await report(world.connection, world.project, NO_LIMITS, Asked(run=str(run)[:8]))
    assert found.run == run
    for wrong in ("xyz", str(await other.run())):
        with pytest.raises(UsageError, match="no run"):
            await report(world.connection, world.project, NO_LIMITS, Asked(run=wrong))
