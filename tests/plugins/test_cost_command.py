"""`yoke cost`: the sums behind it are those of the rows, and what it prints is what was spent."""

from __future__ import annotations

import asyncio
import csv
import json
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from yoke_costs.command import command
from yoke_costs.forecast import Evidence, forecast
from yoke_costs.in_force import limits
from yoke_costs.queries import EVIDENCE, By, Line, Sums, Where, breakdown, lines, total, whole_months
from yoke_costs.report import Asked, Report, report
from yoke_costs.view import report_lines
from yokeflow.cli.output import width
from yokeflow.config import Config
from yokeflow.engine.project import Project
from yokeflow.errors import UsageError
from yokeflow.store import migrate
from yokeflow.store.driver import connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import asyncpg
    from click.testing import Result

    Connection = asyncpg.Connection[Any]

PLUGINS = sorted((Path(__file__).parents[2] / "plugins").glob("*/migrations"))
START = datetime(2026, 1, 20, 12, tzinfo=UTC)
TODAY = datetime.now(UTC)

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


class World(NamedTuple):
    """A project with two epics, and tasks by their key."""

    connection: Connection
    project: UUID
    items: dict[str, UUID]

    async def run(self, started: datetime = START) -> UUID:
        made: UUID = await self.connection.fetchval(
            "INSERT INTO runs (project_id, started_at) VALUES ($1, $2) RETURNING id", self.project, started
        )
        return made

    async def spend(
        self,
        usd: str | None,
        *,
        task: str = "",
        model: str = "sonnet",
        at: datetime = START,
        run: UUID | None = None,
        tokens: int = 0,
    ) -> None:
        await self.connection.execute(
            """INSERT INTO agent_costs (project_id, work_item_id, model, cost_usd, occurred_at, run_id,
                                        input_tokens, output_tokens)
               VALUES ($1, $2, $3, $4, $5, $6, $7, 1)""",
            self.project,
            self.items.get(task),
            model,
            usd and Decimal(usd),
            at,
            run,
            tokens,
        )

    async def finish(self, *keys: str) -> None:
        await self.connection.execute(
            "UPDATE work_items SET status = 'completed', attempts = 1 WHERE key = ANY($1)", keys
        )


async def make_world(opened: Connection, project: UUID | None = None) -> World:
    if project is None:
        project = await opened.fetchval(
            "INSERT INTO projects (repo_key, name) VALUES ($1, 'shop') RETURNING id", str(uuid4())
        )
    items: dict[str, UUID] = {}
    for key, category in {
        "pay": "",
        "pay.api": "api",
        "pay.docs": "docs",
        "ui": "",
        "ui.form": "api",
    }.items():
        items[key] = await opened.fetchval(
            """INSERT INTO work_items (project_id, key, kind, title, category, parent_id)
               VALUES ($1, $2, $3, $2, $4, $5) RETURNING id""",
            project,
            key,
            "task" if "." in key else "epic",
            category,
            items[key.partition(".")[0]] if "." in key else None,
        )
    assert project is not None
    return World(opened, project, items)


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
    found = await report(world.connection, world.project, Config(), Asked(run=str(run)[:8]))
    assert found.run == run
    for wrong in ("xyz", str(await other.run())):
        with pytest.raises(UsageError, match="no run"):
            await report(world.connection, world.project, Config(), Asked(run=wrong))


async def test_limits_are_shown_with_what_the_last_run_and_today_used(world: World) -> None:
    yesterday = TODAY - timedelta(days=1)
    first, last = await world.run(yesterday), await world.run(TODAY)
    await world.spend("4", task="pay.api", run=first, at=yesterday, tokens=100)
    await world.spend("1", task="pay.docs", run=last, at=TODAY, tokens=10)
    await world.spend(None, task="ui.form", run=last, at=TODAY)
    for number, (run, task, at) in enumerate(
        [(first, "pay.api", yesterday), (last, "pay.docs", TODAY), (last, "ui.form", TODAY)], 1
    ):
        session = await world.connection.fetchval(
            """INSERT INTO sessions (project_id, run_id, work_item_id, number, attempt, started_at, state)
               VALUES ($1, $2, $3, $4, 1, $5, 'completed') RETURNING id""",
            world.project, run, world.items[task], number, at,
        )  # fmt: skip
        if run == last:
            await world.connection.execute(
                """INSERT INTO budget_reservations (project_id, run_id, session, amount_usd)
                   VALUES ($1, $2, $3, 0.5)""",
                world.project, run, session,
            )  # fmt: skip
    await world.connection.execute("UPDATE work_items SET attempts = 2 WHERE key = 'pay.docs'")
    cost = {
        "budget_limit_usd": 5,
        "budgets": {
            "run": {"usd": 8, "sessions": 9},
            "day": {"tokens": 1000, "sessions": 7},
            "task": {"usd": 6, "sessions": 3},
            "epic": {"usd": 7},
        },
    }
    found = await limits(world.connection, world.project, Config.model_validate({"cost": cost}))
    assert [(each.scope, each.unit, each.limit, each.used) for each in found] == [
        ("run", "usd", 5, 1),
        ("run", "sessions", 9, 2),
        ("day", "tokens", 1000, 12),
        ("day", "sessions", 7, 2),
        ("epic", "usd", 7, 5),
        ("task", "usd", 6, 4),
        ("task", "sessions", 3, 2),
    ]
    assert (found[0].unknown, found[0].reserved, found[0].of) == (1, 1.0, str(last))
    assert [found[place].of for place in (4, 5, 6)] == ["pay", "pay.api", "pay.docs"]
    off = Config.model_validate({"cost": {**cost, "enabled": False}})
    assert await limits(world.connection, world.project, off) == []


async def test_the_forecast_is_built_on_whole_tasks(world: World) -> None:
    nothing = await report(world.connection, world.project, Config(), Asked())
    assert (nothing.forecast.cost_usd, nothing.forecast.remaining) == (None, 3)
    await world.spend("1", task="pay.api")
    await world.spend("2", task="pay.api", at=START + timedelta(days=40))
    await world.spend(None, task="pay.docs")
    await world.spend("50", task="ui.form")  # which is not done, so it tells nothing
    await world.finish("pay.api", "pay.docs")
    found = (await report(world.connection, world.project, Config(), Asked())).forecast
    assert (found.finished, found.unknown, found.remaining, found.cost_usd) == (1, 1, 1, 3.0)
    assert found.low_usd is None
    await world.finish("ui.form")
    done = (await report(world.connection, world.project, Config(), Asked())).forecast
    assert (done.remaining, done.cost_usd) == (0, 0.0)


def test_a_category_with_few_tasks_leans_towards_all() -> None:
    known = Evidence("api", 0, finished=40, mean_usd=1.0, deviations=10.0)
    few = forecast([known, Evidence("docs", 10, finished=1, mean_usd=9.0)])
    many = forecast([known, Evidence("docs", 10, finished=40, mean_usd=9.0, deviations=10.0)])
    none = forecast([known, Evidence("docs", 10)])
    assert none.cost_usd == pytest.approx(10.0)
    assert few.cost_usd is not None
    assert 20 < few.cost_usd < 50
    assert many.cost_usd is not None
    assert 80 < many.cost_usd < 90


def test_four_of_five_intervals_hold_the_cost() -> None:
    chance = random.Random(7)
    held = 0
    for _ in range(400):
        means = {"api": 0.0, "docs": 0.7}
        past = {name: [chance.lognormvariate(mean, 0.6) for _ in range(12)] for name, mean in means.items()}
        costs = [chance.lognormvariate(mean, 0.6) for mean in means.values() for _ in range(15)]
        found = forecast([_known(name, 15, values) for name, values in past.items()])
        assert found.low_usd is not None
        assert found.high_usd is not None
        held += found.low_usd <= sum(costs) <= found.high_usd
    assert 0.74 < held / 400 < 0.88


def _known(category: str, remaining: int, values: list[float]) -> Evidence:
    mean = sum(values) / len(values)
    deviations = sum((value - mean) ** 2 for value in values)
    return Evidence(category, remaining, len(values), 0, mean, deviations)


def _report(*keys: str, by: By = By.TASK) -> Report:
    sums = Sums(1_234, 2, 123_456_789, 5_000_000, 99_999_000, 0, 1_234.5)
    found = tuple(Line(key, sums) for key in keys)
    return Report(Asked(by), None, found, sum((line.sums for line in found), Sums()), (), forecast([]))


def test_a_table_fits_the_terminal_and_names_what_it_leaves_out() -> None:
    names = [f"payments.a-task-with-a-very-long-name-{number}" for number in range(5)]
    shown = list(report_lines(_report(*names), "shop", 3, 80))
    assert max(map(width, shown[1:])) <= 80
    assert "2 others" in "\n".join(shown)
    assert "$6,172.50" in "\n".join(shown)
    assert "+ 10" in "\n".join(shown)
    days = list(report_lines(_report("2026-01-01", "2026-01-02", by=By.DAY), "shop", 1, None))
    assert days[3].startswith("1 earlier")
    assert days[4].startswith("2026-01-02")
    assert len({width(line) for line in days[2:6]}) == 1


@pytest.fixture
def shop(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """A repository with some costs; gives what runs `yoke cost` there."""
    asyncio.run(_make_shop(tmp_path, database_url, monkeypatch))

    def cost(*words: str) -> Result:
        return CliRunner().invoke(command, words)

    return cost


async def _make_shop(folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for git in (("init", "-q", "-b", "main"), ("commit", "-q", "--allow-empty", "-m", "Start")):
        process = await asyncio.create_subprocess_exec("git", *git, cwd=folder)
        assert await process.wait() == 0
    monkeypatch.chdir(folder)
    monkeypatch.setenv("YOKE_DATABASE_URL", url)
    (folder / ".yokeflow.yaml").write_text("cost: {budget_limit_usd: 10}\nproject: {name: shop}\n")
    project = await Project.open(folder)
    async with project.store() as (_, project_id), connection(url) as opened:
        world = await make_world(opened, project_id)
        await world.spend("1.25", task="pay.api", tokens=1_234_567, run=await world.run())
        await world.spend(None, task="pay.docs", model="haiku", at=START + timedelta(days=1))
        await world.finish("pay.api")


def test_the_total_says_what_is_unknown_and_what_is_to_come(shop: Callable[..., Result]) -> None:
    shown = shop().output
    assert "$1.25 + 1 unknown" in shown
    assert "1,234,567 in" in shown
    assert " 12 %  $1.25 of $10.00, in the last run" in shown
    assert "about $2.50 for 2 tasks" in shown
    assert "about $3.75 + 1 unknown" in shop("--forecast").output


def test_json_and_csv_have_the_same_numbers(shop: Callable[..., Result]) -> None:
    found = json.loads(shop("--by", "model", "--json").output)
    assert found["total"]["cost_usd"] == 1.25
    assert found["total"]["unknown"] == 1
    assert {line["key"]: line["cost_usd"] for line in found["lines"]} == {"sonnet": 1.25, "haiku": None}
    assert found["limits"][0]["used"] == 1.25
    assert isclose(found["forecast"]["cost_usd"], 2.5)
    rows = list(csv.DictReader(shop("--by", "model", "--csv").output.splitlines()))
    assert [(row["model"], row["cost_usd"]) for row in rows] == [("sonnet", "1.25"), ("haiku", "")]
    assert [
        row["day"] for row in csv.DictReader(shop("--by", "day", "--csv", "--limit", "1").output.splitlines())
    ] == ["2026-01-21"]


def test_costs_are_narrowed_by_days_and_runs(shop: Callable[..., Result]) -> None:
    assert "nothing was spent" in shop("--since", "2026-01-22").output
    assert json.loads(shop("--until", "2026-01-20", "--json").output)["total"]["unknown"] == 0
    assert json.loads(shop("--run", "last", "--json", "--by", "task").output)["lines"][0]["key"] == "pay.api"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--since", "2026-02-02", "--until", "2026-02-01"), "nothing is since"),
        (("--csv", "--json"), "--csv does not go with"),
        (("--forecast", "--by", "task"), "whole plan"),
        (("--run", "nowhere"), "no run"),
    ],
)
def test_what_makes_no_sense_is_refused(
    shop: Callable[..., Result], words: tuple[str, ...], why: str
) -> None:
    error = shop(*words).exception
    assert isinstance(error, UsageError)
    assert why in error.message
    assert error.hint


def test_a_project_that_never_ran_has_no_costs(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, shop: Callable[..., Result]
) -> None:
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    plan = "epics: [{id: a, title: A, tasks: [{id: a.b, title: B, run: 'true'}]}]\n"
    (fresh / "plan.yaml").write_text(plan)
    asyncio.run(_git(fresh))
    monkeypatch.chdir(fresh)
    shown = shop().output
    assert "nothing was spent" in shown
    assert "nothing is known yet for 1 task" in shown


async def _git(folder: Path) -> None:
    for git in (("init", "-q", "-b", "main"), ("commit", "-q", "--allow-empty", "-m", "Start")):
        process = await asyncio.create_subprocess_exec("git", *git, cwd=folder)
        assert await process.wait() == 0
