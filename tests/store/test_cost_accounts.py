"""What triggers keep of budgets and costs, once, and the books of the next run that begin with it."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

import yoke_costs
from yoke_costs import budget, loading
from yoke_costs.accounts import Books
from yoke_costs.in_force import limits
from yoke_costs.view import _limit
from yokeflow.config import Config, Cost
from yokeflow.events import Event
from yokeflow.model import AgentReport, Attempt, SessionResult, Task, Usage
from yokeflow.store import migrate
from yokeflow.store.drain import drain
from yokeflow.store.projection import apply

PLUGINS = sorted((Path(__file__).parents[2] / "plugins").glob("*/migrations"))
LIMITS = {"usd": 1000.0, "tokens": 10_000_000, "sessions": 1000}
SONNET: dict[str, Any] = {"model": "sonnet", "input": 100, "output": 20, "cache_read": 3, "cache_write": 4}


@pytest.fixture
def tell(store, project):
    """Apply events in one transaction."""

    async def tell(*events: Event) -> list[Event]:
        async with store.begin() as conn:
            return await apply(conn, project, events)

    return tell


@pytest.fixture
def rows(store):
    async def rows(query: str) -> list[tuple[Any, ...]]:
        async with store.begin() as conn:
            return [tuple(row) for row in await conn.execute(text(query))]

    return rows


def started(story: Any, session: str, task: str = "1a", **data: Any) -> Event:
    begin = {"agent": "claude", "model": "sonnet", **data}
    event: Event = story.task_event("session.started", task, session, **begin)
    return event


def finished(story: Any, session: str, task: str = "1a", **data: Any) -> Event:
    end = {"state": "completed", "usage": [], **data}
    event: Event = story.task_event("session.finished", task, session, **end)
    return event


RESERVATIONS = "SELECT state, amount_usd, amount_tokens, settled_usd, settled_tokens FROM budget_reservations"


async def test_a_claim_and_its_reservation_are_one(tell, rows, story):
    session = str(uuid4())
    start = started(story, session, reserved={"usd": 0.5, "tokens": 1000, "cap_usd": 3.0})
    await tell(story.started(), start)
    assert await rows(RESERVATIONS) == [("reserved", Decimal("0.5"), 1000, None, None)]
    assert await rows(
        """SELECT reservation.session = session.id, reservation.run_id = session.run_id,
                  reservation.work_item_id = session.work_item_id, reserved_at = started_at
           FROM budget_reservations reservation, sessions session"""
    ) == [(True, True, True, True)]
    end = finished(story, session, cost_usd=0.3, usage=[SONNET])
    await tell(end)
    assert await rows(RESERVATIONS) == [("settled", Decimal("0.5"), 1000, Decimal("0.3"), 127)]
    await tell(start, end, replaced(end))
    assert await rows("SELECT version FROM budget_reservations") == [(2,)]
    assert await rows("SELECT count(*) FROM agent_costs") == [(1,)]


def replaced(event: Event) -> Event:
    """The same said once more, as a recovering run might."""
    return Event(event.type, event.run, event.epic, event.task, event.session, event.data)


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ({"state": "failed"}, ("settled", None, None)),
        ({"state": "interrupted"}, ("settled", None, None)),
        ({"state": "interrupted", "cost_usd": 0.0}, ("released", Decimal(0), 0)),
        ({"state": "completed", "cost_usd": 0.0}, ("settled", Decimal(0), 0)),
        ({"state": "interrupted", "cost_usd": 0.0, "usage": [SONNET]}, ("settled", Decimal(0), 127)),
        ({"state": "failed", "usage": [SONNET, SONNET]}, ("settled", None, 254)),
    ],
)
async def test_what_is_unknown_is_not_free(tell, rows, story, end, expected):
    session = str(uuid4())
    await tell(
        story.started(), started(story, session, reserved={"usd": 1.0}), finished(story, session, **end)
    )
    assert await rows("SELECT state, settled_usd, settled_tokens FROM budget_reservations") == [expected]


async def test_an_earlier_session_that_never_ended_is_settled_too(tell, rows, story):
    first, second = str(uuid4()), str(uuid4())
    await tell(story.started(), *(started(story, each, reserved={"usd": 1}) for each in (first, second)))
    found = await rows(f"{RESERVATIONS} ORDER BY reserved_at, state DESC")
    assert sorted(row[0] for row in found) == ["reserved", "settled"]


async def test_nothing_is_reserved_without_a_limit(tell, rows, story):
    data: list[dict[str, Any]] = [{}, {"reserved": {}}, {"reserved": {"cap_usd": 2.0}}]
    events = [
        started(story, str(uuid4()), task, **each)
        for task, each in zip(("1a", "1b", "2a"), data, strict=True)
    ]
    await tell(story.started(), *events)
    assert await rows("SELECT count(*) FROM sessions") == [(3,)]
    assert await rows(RESERVATIONS) == []


async def test_tokens_alone_can_be_set_aside(tell, rows, story):
    await tell(story.started(), started(story, str(uuid4()), reserved={"tokens": 5}))
    assert await rows(RESERVATIONS) == [("reserved", None, 5, None, None)]


@pytest.mark.parametrize(
    "odd", ["x", [], {"usd": "1"}, {"usd": 1e300}, {"usd": -1}, {"tokens": 1.5}, {"tokens": 1e30}]
)
async def test_odd_numbers_keep_no_session_out(tell, rows, story, odd):
    session = str(uuid4())
    usage = [{"model": "m", "input": 1e30, "output": "x", "cache_read": -1, "cache_write": 2.4}, "x", None]
    await tell(story.started(), started(story, session, reserved=odd), finished(story, session, usage=usage))
    assert await rows("SELECT state FROM sessions") == [("completed",)]
    columns = "input_tokens, output_tokens, cache_read_tokens, cache_write_tokens"
    assert await rows(f"SELECT {columns} FROM agent_costs") == [(10**15, 0, 0, 2)]


async def test_reports_and_budgets_agree_about_sessions_that_told_nothing(tell, rows, story, store, project):
    """Those of a killed run are closed like that."""
    events = [story.started()]
    for task, state, cost in (("1a", "interrupted", None), ("1b", "failed", None), ("2a", "completed", 0.0)):
        session = str(uuid4())
        end = finished(story, session, task, state=state, cost_usd=cost)
        events += [started(story, session, task, reserved={"usd": 1.5}), end]
    await tell(*events)
    assert await rows("SELECT total_cost_usd, unknown_cost_count FROM v_project_costs") == [(Decimal(0), 2)]
    budgets = {scope: {"usd": 10} for scope in ("task", "epic", "run", "day")}
    settings = Cost.model_validate({"budgets": budgets}).model_dump()
    async with store.begin() as conn:
        raw = (await conn.get_raw_connection()).driver_connection
        found = {each.scope: each for each in await limits(raw, project, settings)}
    books = await Desk(story, store, project).begin()
    spent = {
        key[0]: books.account(key).spent.usd / 1e6 for key in (books.day(), ("task", "1a"), ("epic", "e1"))
    }
    assert {scope: found[scope].used for scope in spent} == spent == {"day": 3.0, "task": 1.5, "epic": 3.0}
    assert (found["run"].used, found["run"].assumed, found["run"].unknown) == (3.0, 3.0, 2)
    assert _limit(found["run"]).endswith(
        "30 %  $3.00 ($3.00 assumed for 2 unknown) of $10.00, in the last run"
    )
    yoke_costs._books.clear()


def entry(model: str, cost: float | None = None, input_: int = 1) -> dict[str, Any]:
    return {"model": model, "input": input_} | ({} if cost is None else {"cost_usd": cost})


@pytest.mark.parametrize(
    ("usage", "total", "expected"),
    [
        # The agent says 1.00 where the list says 2.00 in all.
        ([entry("haiku", 0.5), entry("sonnet", 1.5)], 1.0, {"haiku": "0.25", "sonnet": "0.75"}),
        # Thirds make the sum to the last digit.
        (
            [entry("a", 0.1), entry("b", 0.1), entry("c", 0.1)],
            1.0,
            {"a": "0.333333", "b": "0.333334", "c": "0.333333"},
        ),
        # One has no price: all goes to the model that was chosen.
        (
            [entry("haiku", 0.5), entry("sonnet"), entry("mystery")],
            1.0,
            {"sonnet": "1", "haiku": None, "mystery": None},
        ),
        ([entry("haiku"), entry("opus")], 1.0, {"haiku": "1", "opus": None}),
        # Prices of 0 tell no proportion.
        ([entry("haiku", 0.0), entry("sonnet", 0.0)], 1.0, {"haiku": None, "sonnet": "1"}),
        # Nobody knows the sum: tokens are kept, and the price of the part that has one.
        ([entry("sonnet")], None, {"sonnet": None}),
        ([entry("haiku", 0.5), entry("mystery")], None, {"haiku": "0.5", "mystery": None}),
        ([], 0.25, {"sonnet": "0.25"}),
        # Nobody knows anything: that is an operation of unknown cost.
        ([], None, {"sonnet": None}),
    ],
)
async def test_the_cost_of_a_session_is_shared_among_its_models(tell, rows, story, usage, total, expected):
    session = str(uuid4())
    end = finished(story, session, usage=usage, cost_usd=total)
    await tell(story.started(), started(story, session), end)
    found = dict(await rows("SELECT model, cost_usd FROM agent_costs"))
    assert found == {model: cost and Decimal(cost) for model, cost in expected.items()}
    known = [cost for cost in found.values() if cost is not None]
    assert total is None or sum(known) == Decimal(str(total))


async def test_shares_add_up_whatever_the_numbers_are(tell, rows, story):
    numbers, events = random.Random(7), [story.started()]
    totals = {}
    for _ in range(40):
        session, total = str(uuid4()), round(numbers.random() / 1000, 6)
        parts = [entry(f"m{n}", numbers.random() ** 8) for n in range(numbers.randint(1, 9))]
        events += [started(story, session), finished(story, session, usage=parts, cost_usd=total)]
        totals[session] = Decimal(str(total))
    await tell(*events)
    found = await rows("SELECT session_id::text, sum(cost_usd), min(cost_usd) FROM agent_costs GROUP BY 1")
    assert {session: total for session, total, _ in found} == totals
    assert min(least for _, _, least in found) >= 0


ASKED = """SELECT operation_type, model, input_tokens, cost_usd, run_id IS NOT NULL, session_id,
                  work_item_id IS NULL
           FROM agent_costs ORDER BY operation_type, model"""


async def test_what_agents_were_asked_is_on_the_books_once(tell, rows, story, store, project, journal):
    data = {"operation": "reflection", "agent": "claude", "model": "haiku", "seconds": 1.0, "ok": True}
    known = story.run_event("agent.asked", cost_usd=0.02, usage=[entry("haiku", input_=7)], **data)
    about = story.task_event("agent.asked", "1a", str(uuid4()), **data | {"operation": "o" * 80, "usage": []})
    journal.append(story.started(), known, about)
    for _ in range(2):
        await drain(store, project, journal)
    await tell(known, about)
    assert await rows(ASKED) == [
        ("o" * 50, "haiku", 0, None, True, None, False),
        ("reflection", "haiku", 7, Decimal("0.02"), True, None, True),
    ]


async def test_an_odd_question_holds_up_nothing(tell, rows, story):
    odd = {"operation": None, "model": 5, "usage": {"x": 1}, "cost_usd": "much"}
    away = Event("agent.asked", run="no uuid", task="gone", data=odd)
    await tell(away, story.started())
    assert await rows(ASKED) == [("question", "5", 0, None, False, None, True)]
    assert await rows("SELECT count(*) FROM runs") == [(1,)]


def task_of(task: str) -> Task:
    """As the plan of these tests has it."""
    return Task(task, f"e{task[0]}", "T", category="code" if task != "2a" else "")


class Desk:
    """One run: the plugin's hooks, and beside each the events that the engine records."""

    def __init__(self, story, store, project) -> None:
        budgets = dict.fromkeys(("task", "epic", "run", "day"), LIMITS)
        self.config = Config.model_validate({"cost": {"budgets": budgets, "session_limit_tokens": 500}})
        self.story = story
        self.host: Any = SimpleNamespace(
            run=story.run, project_id=project, begin=store.begin, emit=lambda *_, **__: None
        )

    async def begin(self) -> Books:
        await yoke_costs.begin_run(self.config, self.host)
        return yoke_costs._books[self.story.run]

    def session(
        self, task: str, state: str, cost: float | None, usage: list[dict[str, Any]], *, final: bool = True
    ) -> list[Event]:
        item = task_of(task)
        attempt = Attempt(item, 1, str(uuid4()), self.story.run, (), "claude", None, "sonnet", "balanced")
        held = yoke_costs.reserve_budget(attempt, self.config)
        assert held is not None
        reserved = {"usd": held.usd, "tokens": held.tokens, "cap_usd": held.cap_usd}
        given = [Usage(**each) for each in usage]
        assert yoke_costs.check_spending(attempt, given, self.config) is None
        report = AgentReport(ok=True, usage=tuple(given), final=final)
        result = SessionResult(attempt, "claude", "sonnet", state, "", 1.0, report, cost_usd=cost)
        yoke_costs.settle_budget(result, self.config, self.host)
        start = started(self.story, attempt.session, task, tier="balanced", reserved=reserved)
        end = {
            "state": state,
            "cost_usd": cost,
            "usage": usage,
            "cost_source": "prices" if final else "least",
        }
        return [start, finished(self.story, attempt.session, task, **end)]

    def ask(self, task: str) -> Event:
        data = {"agent": "claude", "model": "haiku", "operation": "reflection"}
        where: dict[str, Any] = {"task": task, "epic": f"e{task[0]}"} if task else {}
        asked = Event(
            "agent.asked", self.story.run, **where, data=data | {"cost_usd": 0.07, "usage": [SONNET]}
        )
        if task:
            attempt = Attempt(task_of(task), 1, str(uuid4()), self.story.run, question=True)
            asked = Event(asked.type, asked.run, asked.epic, asked.task, attempt.session, asked.data)
            yoke_costs.reserve_budget(attempt, self.config)
        yoke_costs.on_event(asked)
        if task:
            report = AgentReport(ok=True, usage=(Usage(**SONNET),))
            result = SessionResult(attempt, "claude", "haiku", "completed", "", 1.0, report, cost_usd=0.07)
            yoke_costs.settle_budget(result, self.config, self.host)
        return asked


async def test_the_next_run_begins_with_what_the_last_one_knew(tell, story, store, project, database_url):
    desk, numbers = Desk(story, store, project), random.Random(3)
    books = await desk.begin()
    assert not books.accounts
    events = [story.started()]
    for _ in range(60):
        usage = [SONNET | {"input": numbers.randint(0, 999)}] * numbers.randint(0, 2)
        cost = numbers.choice([None, 0.0, round(numbers.random(), 6), numbers.random() * 3])
        state = numbers.choice(["completed", "failed", "interrupted"])
        final = cost == 0 or numbers.random() < 0.8
        events += desk.session(numbers.choice(["1a", "1b", "2a"]), state, cost, usage, final=final)
    events += [desk.ask(""), desk.ask("1b")]
    await tell(*events)
    assert not books.holdings
    again = Desk(type(story)(), store, project)
    loaded = await again.begin()
    del books.accounts[("run", "")]
    assert loaded.accounts == books.accounts
    assert len(loaded.accounts) == 3 + 2 + 1
    assert (loaded.estimates.usd, loaded.estimates.tokens) == (books.estimates.usd, books.estimates.tokens)
    yoke_costs._books.clear()
    # The migration counts what was there before as the triggers do.
    await migrate.downgrade(database_url, PLUGINS, "yoke_costs_0002")
    await migrate.upgrade(database_url, PLUGINS)
    assert (await again.begin()).accounts == books.accounts
    yoke_costs._books.clear()


QUESTION = {"agent": "claude", "model": "haiku", "operation": "conflict"}


@pytest.mark.parametrize(
    ("end", "spent", "reservation"),
    [
        (None, 3.0, ("reserved", 3, None)),
        ({"cost_usd": 0.4, "cost_source": "agent"}, 0.4, ("settled", 3, Decimal("0.4"))),
        ({"cost_usd": 4.5, "cost_source": "agent"}, 4.5, ("settled", 3, Decimal("4.5"))),
        ({"cost_usd": None, "cost_source": "unknown"}, 3.0, ("settled", 3, None)),
        ({"cost_usd": 0.4, "cost_source": "least"}, 3.0, ("settled", Decimal("2.6"), None)),
    ],
)
@pytest.mark.parametrize("together", [True, False])
async def test_a_question_counts_from_its_start_on_and_its_answer_takes_its_place(
    tell, rows, story, store, project, end, spent, reservation, together
):
    session, data = str(uuid4()), QUESTION | {"reserved": {"usd": 3.0, "cap_usd": 3.0}}
    events = [story.task_event("agent.asking", "1a", session, **data)]
    if end is not None:
        events.append(story.task_event("agent.asked", "1a", session, **data, **end, seconds=0.1))
    for batch in (
        [[story.started(), *events]] if together else [[story.started()], *([each] for each in events)]
    ):
        await tell(*batch)
    loaded = await Desk(story, store, project).begin()
    for key in (("task", "1a"), ("epic", "e1"), loaded.day()):
        assert loaded.account(key).spent.usd == spent * 1_000_000
        assert not loaded.account(key).spent.sessions
    found = await rows("SELECT state, amount_usd, settled_usd FROM budget_reservations")
    assert found == [reservation]
    # What `yoke cost` shows is what budgets count.
    told = await rows("SELECT coalesce(sum(cost_usd), 0) FROM agent_costs")
    assumed = await rows("SELECT sum(amount_usd) FROM budget_reservations WHERE settled_usd IS NULL")
    assert float(told[0][0] + (assumed[0][0] or 0)) == spent
    yoke_costs._books.clear()


async def test_a_question_for_which_nothing_was_set_aside_counts_as_an_estimate_once(
    tell, story, store, project
):
    session, desk = str(uuid4()), Desk(story, store, project)
    await tell(story.started(), story.task_event("agent.asking", "1a", session, **QUESTION, reserved={}))
    spent = (await desk.begin()).account(("task", "1a")).spent
    assert spent.usd > 0
    end: dict[str, Any] = {"cost_usd": None, "cost_source": "unknown", "usage": []}
    await tell(story.task_event("agent.asked", "1a", session, **QUESTION, reserved={}, **end))
    assert (await desk.begin()).account(("task", "1a")).spent == spent
    yoke_costs._books.clear()


SONNETS = {"model": "sonnet", "input": 1, "cost_usd": 2.5}


@pytest.mark.parametrize(
    ("reserved", "end", "spent", "settled"),
    [
        # Cut off before its last word: at least what it told, and what it might have spent.
        (3.0, {"cost_usd": 0.4, "cost_source": "least"}, 3.0, None),
        (3.0, {"cost_usd": 4.5, "cost_source": "least"}, 4.5, None),
        (3.0, {"cost_usd": 0.4, "cost_source": "prices"}, 0.4, 0.4),
        # One of its models has no price.
        (1.0, {"usage": [SONNETS, {"model": "mystery", "input": 1}]}, 2.5, None),
        (3.0, {"usage": [SONNETS, {"model": "mystery", "input": 1}]}, 3.0, None),
    ],
)
async def test_what_is_known_of_a_session_is_the_least_that_it_counts(
    tell, rows, story, store, project, reserved, end, spent, settled
):
    session = str(uuid4())
    begin = started(story, session, reserved={"usd": reserved})
    await tell(story.started(), begin, finished(story, session, state="failed", **end))
    loaded = await Desk(story, store, project).begin()
    for key in (("task", "1a"), ("epic", "e1"), loaded.day()):
        assert loaded.account(key).spent.usd == spent * 1_000_000
    found = await rows("SELECT settled_usd FROM budget_reservations")
    assert found == [(settled and Decimal(str(settled)),)]
    yoke_costs._books.clear()


async def test_a_session_counts_on_the_day_it_starts_on(tell, rows, story, store, project):
    """By the limits, the report and the next run alike, though it ends today."""
    desk, midnight = Desk(story, store, project), datetime.now(UTC).replace(hour=0, minute=0, second=0)
    evening = midnight - timedelta(minutes=9)
    await desk.begin()
    start, end = desk.session("1a", "completed", 0.5, [])
    asked = Event("agent.asked", story.run, data={"cost_usd": 0.25, "seconds": 900.0}, at=evening)
    late = Event("agent.asked", story.run, data=asked.data, at=midnight + timedelta(minutes=1))
    await tell(story.started(), replace(start, at=evening), replace(end, at=late.at), asked, late)
    books = Books()
    budget.count_asked(books, late)
    assert books.account(books.day(evening.date())).spent.usd == 250_000
    assert await rows("SELECT DISTINCT CAST(occurred_at AT TIME ZONE 'UTC' AS date) FROM agent_costs") == [
        (evening.date(),)
    ]
    assert books.day() not in (await Desk(type(story)(), store, project).begin()).accounts
    yoke_costs._books.clear()


async def test_a_run_begins_without_reading_every_session(store, project):
    async with store.begin() as conn:
        await conn.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
        where = {"project": str(project), "ever": True, "daily": True, "today": date(2026, 1, 1)}
        plan = await conn.execute(text(f"EXPLAIN {loading._SPENT}"), where)
        read = "\n".join(row[0] for row in plan)
    assert "budget_sums" in read
    assert not {"sessions", "events", "agent_costs"} & set(re.findall(r" on (\w+)", read))


async def test_only_today_counts_for_the_day(tell, story, store, project):
    desk = Desk(story, store, project)
    await desk.begin()
    yesterday = [
        Event(
            each.type,
            each.run,
            each.epic,
            each.task,
            each.session,
            each.data,
            at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        for each in [*desk.session("1a", "completed", 0.5, []), desk.ask("")]
    ]
    await tell(story.started(), *yesterday, *desk.session("1b", "completed", 0.25, []))
    loaded = await Desk(type(story)(), store, project).begin()
    spent = {key: account.spent.usd for key, account in loaded.accounts.items()}
    assert spent == {
        ("task", "1a"): 500_000,
        ("task", "1b"): 250_000,
        ("epic", "e1"): 750_000,
        loaded.day(): 250_000,
    }
    yoke_costs._books.clear()


async def test_a_session_of_unknown_cost_without_a_reservation_counts_as_an_estimate(
    tell, story, store, project
):
    session = str(uuid4())
    await tell(story.started(), started(story, session), finished(story, session, state="failed"))
    loaded = await Desk(story, store, project).begin()
    spent = loaded.account(("task", "1a")).spent
    assert (spent.usd, spent.tokens, spent.sessions) == (1_000_000, 500, 1)
    yoke_costs._books.clear()


async def test_a_run_with_limits_of_its_own_alone_reads_no_history(tell, story, store, project):
    session = str(uuid4())
    await tell(story.started(), started(story, session), finished(story, session, cost_usd=0.5))
    desk = Desk(story, store, project)
    desk.config = Config.model_validate({"cost": {"budget_limit_usd": 5.0}})
    assert not (await desk.begin()).accounts
    yoke_costs._books.clear()
    desk.config = Config.model_validate({"cost": {"enabled": False, "budget_limit_usd": 5.0}})
    await yoke_costs.begin_run(desk.config, desk.host)
    assert not yoke_costs._books
