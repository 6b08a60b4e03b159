"""`yoke cost`: what was spent, what the limits leave, and what is to come."""

from __future__ import annotations

import asyncio
import csv
import json
import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from tests.plugins.cost_world import START, World, make_world
from yoke_costs import in_force
from yoke_costs.command import command
from yoke_costs.forecast import Evidence, forecast
from yoke_costs.in_force import limits
from yoke_costs.queries import By, Line, Sums
from yoke_costs.report import Asked, Report, report
from yoke_costs.view import report_lines
from yokeflow.cli.output import width
from yokeflow.config import Cost
from yokeflow.engine.project import Project
from yokeflow.errors import UsageError
from yokeflow.store.driver import connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from click.testing import Result

#: Fixed, so that midnight may pass while the tests run.
TODAY = datetime(2026, 3, 14, 15, 9, tzinfo=UTC)
NO_LIMITS = Cost().model_dump()


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with connection(database_url) as opened:
        yield await make_world(opened)


async def test_limits_are_shown_with_what_the_last_run_and_today_used(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_force, "today", TODAY.date)
    yesterday = TODAY - timedelta(days=1)
    first, last = await world.run(yesterday), await world.run(TODAY)
    await world.spend("4", task="pay.api", run=first, at=yesterday, tokens=100)
    await world.spend("1", task="pay.docs", run=last, at=TODAY, tokens=10)
    await world.spend(None, task="ui.form", run=last, at=TODAY)
    done = "completed"
    for number, (run, task, at, state) in enumerate(
        [
            (first, "pay.api", yesterday, done),
            (first, "pay.docs", yesterday, done),
            (last, "pay.docs", TODAY, done),
            (last, "ui.form", TODAY, done),
            (last, "ui.form", TODAY, "interrupted"),  # before it did anything
        ],
        1,
    ):
        session = await world.connection.fetchval(
            """INSERT INTO sessions
                 (project_id, run_id, work_item_id, number, attempt, started_at, state, cost_usd)
               VALUES ($1, $2, $3, $4, 1, $5, $6, 0) RETURNING id""",
            *(world.project, run, world.items[task], number, at, state),
        )
        if run == last:
            await world.connection.execute(
                """INSERT INTO budget_reservations (project_id, run_id, session, amount_usd)
                   VALUES ($1, $2, $3, 0.5)""",
                *(world.project, run, session),
            )
    cost = {
        "budget_limit_usd": 5,
        "budgets": {
            "run": {"usd": 8, "sessions": 9},
            "day": {"tokens": 1000, "sessions": 7},
            "task": {"usd": 6, "sessions": 3},
            "epic": {"usd": 7},
        },
    }
    found = await limits(world.connection, world.project, Cost.model_validate(cost).model_dump())
    assert [(each.scope, each.unit, each.limit, each.used) for each in found] == [
        ("run", "usd", 5, 1),
        ("run", "sessions", 9, 2),
        ("day", "tokens", 1000, 12),
        ("day", "sessions", 7, 2),
        ("epic", "usd", 7, 5),
        ("task", "usd", 6, 4),
        ("task", "sessions", 3, 2),
    ]
    assert all(isinstance(each.used + each.reserved, int | float) for each in found)
    assert (found[0].unknown, found[0].reserved, found[0].of) == (1, 1.5, str(last))
    assert [found[place].of for place in (4, 5, 6)] == ["pay", "pay.api", "pay.docs"]
    off = Cost.model_validate({**cost, "enabled": False}).model_dump()
    assert await limits(world.connection, world.project, off) == []


async def test_the_forecast_is_built_on_whole_tasks(world: World) -> None:
    nothing = await report(world.connection, world.project, NO_LIMITS, Asked())
    assert (nothing.forecast.cost_usd, nothing.forecast.remaining) == (None, 3)
    await world.spend("1", task="pay.api")
    await world.spend("2", task="pay.api", at=START + timedelta(days=40))
    await world.spend(None, task="pay.docs")
    await world.spend("50", task="ui.form")  # which is not done, so it tells nothing
    await world.finish("pay.api", "pay.docs")
    found = (await report(world.connection, world.project, NO_LIMITS, Asked())).forecast
    assert (found.finished, found.unknown, found.remaining, found.cost_usd) == (1, 1, 1, 3.0)
    assert found.low_usd is None
    await world.finish("ui.form")
    done = (await report(world.connection, world.project, NO_LIMITS, Asked())).forecast
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
    await _repository(folder)
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


_LIGHT = """
import sys
from yoke_costs import in_force
from yoke_costs.command import command
command(["--json"], standalone_mode=False)
assert not {"pydantic", "sqlalchemy"} & sys.modules.keys(), "which take longer to load than all the rest"
"""


def test_settings_are_judged_once_and_again_when_they_change(shop: Callable[..., Result]) -> None:
    assert "of $10.00" in shop().output
    light = subprocess.run([sys.executable, "-c", _LIGHT], check=True, capture_output=True)
    found = json.loads(light.stdout)
    assert (found["project"], found["limits"][0]["limit"]) == ("shop", 10)
    Path(".yokeflow.yaml").write_text("cost: {budget_limit_usd: 20}\nproject: {name: market}\n")
    assert "Cost of market" in shop().output
    assert "of $20.00" in shop().output


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
        row["day"] for row in csv.DictReader(shop("--by", "day", "--csv", "--limit", "1").stdout.splitlines())
    ] == ["2026-01-21"]
    assert "1 more are left out" in shop("--by", "day", "--csv", "--limit", "1").stderr


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
        (("--run", ""), "names no run"),
    ],
)
def test_what_makes_no_sense_is_refused(
    shop: Callable[..., Result], words: tuple[str, ...], why: str
) -> None:
    error = shop(*words).exception
    assert isinstance(error, UsageError)
    assert why in error.message
    assert error.hint


@pytest.mark.parametrize("day", ["yesterday", "\N{ARABIC-INDIC DIGIT TWO}026-01-01", "2026-02-30", ""])
def test_what_is_no_day_is_refused_in_words(shop: Callable[..., Result], day: str) -> None:
    refused = shop("--since", day)
    assert refused.exit_code == 2
    assert "is no day: write it like 2026-01-31" in refused.stderr


def test_a_project_that_never_ran_has_no_costs(
    tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch, shop: Callable[..., Result]
) -> None:
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    plan = "epics: [{id: a, title: A, tasks: [{id: a.b, title: B, run: 'true'}]}]\n"
    (fresh / "plan.yaml").write_text(plan)
    asyncio.run(_repository(fresh))
    monkeypatch.chdir(fresh)
    shown = shop().output
    assert "nothing was spent" in shown
    assert "nothing is known yet for 1 task" in shown


async def _repository(folder: Path) -> None:
    for git in (("init", "-q", "-b", "main"), ("commit", "-q", "--allow-empty", "-m", "Start")):
        process = await asyncio.create_subprocess_exec("git", *git, cwd=folder)
        assert await process.wait() == 0
