"""No budget is passed, and what is refused, stopped and warned of is said in words."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

import yoke_costs
from yoke_costs.accounts import Books
from yoke_costs.estimates import FEWEST, MOST
from yokeflow.config import Config
from yokeflow.errors import LimitError, StoreError
from yokeflow.events import Event
from yokeflow.model import AgentReport, Attempt, BudgetLeft, Reservation, SessionResult, Task, Usage
from yokeflow.testing import check_budget, check_pricing

#: A dollar for a million tokens of any kind but the cache.
PRICES = {"m": {"input": 1, "output": 1}}


class Host:
    """Keeps what is emitted."""

    def __init__(self) -> None:
        self.warned: list[dict[str, Any]] = []

    def emit(self, type_: str, **data: Any) -> None:
        assert type_ == "budget.warned"
        self.warned.append(data)


class Desk:
    """The plugin's hooks, called as the engine calls them for one run."""

    def __init__(self, *, at_once: int = 3, **cost: Any) -> None:
        parallel = {"max_concurrency": at_once}
        self.config = Config.model_validate({"cost": {"prices": PRICES} | cost, "parallel": parallel})
        self.run = str(uuid4())
        self.host: Any = Host()
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)
        yoke_costs._books[self.run] = self.books = Books(clock=lambda: self.now)

    def attempt(self, session: str = "s", task: str = "a.1", **more: Any) -> Attempt:
        category = more.pop("category", "")
        item = Task(task, task.partition(".")[0], "T", category=category)
        return Attempt(item, 1, session, self.run, **{"agent": "x"} | more)

    def reserve(self, session: str = "s", task: str = "a.1", **more: Any) -> Reservation | None:
        return yoke_costs.reserve_budget(self.attempt(session, task, **more), self.config)

    def refusal(self, session: str = "s", task: str = "a.1") -> LimitError:
        with pytest.raises(LimitError) as caught:
            self.reserve(session, task)
        return caught.value

    def used(self, tokens: int, session: str = "s", task: str = "a.1") -> str | None:
        usage = (Usage("m", tokens),) if tokens else ()
        return yoke_costs.check_spending(self.attempt(session, task), usage, self.config)

    def settle(
        self,
        cost: float | None,
        session: str = "s",
        task: str = "a.1",
        *,
        tokens: int = 0,
        state: str = "completed",
        final: bool = True,
        **more: Any,
    ) -> None:
        report = AgentReport(ok=True, usage=(Usage("m", tokens),) if tokens else (), final=final)
        attempt = self.attempt(session, task, **more)
        result = SessionResult(attempt, "x", "m", state, "", 1.0, report, cost_usd=cost)
        yoke_costs.settle_budget(result, self.config, self.host)

    def left(self, task: str = "a.1") -> BudgetLeft | None:
        return yoke_costs.budget_left(self.attempt("new", task), self.config)


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    yoke_costs._books.clear()


async def test_of_fifty_that_race_ten_are_served() -> None:
    desk = Desk(at_once=50, budget_limit_usd=10.0)
    gate, served, most = asyncio.Event(), 0, 0

    async def race(number: int) -> bool:
        nonlocal served, most
        await gate.wait()
        try:
            desk.reserve(str(number), f"e{number % 7}.{number}")
        except LimitError:
            return False
        served += 1
        most = max(most, served)
        await asyncio.sleep(0)
        return True

    racing = [asyncio.create_task(race(number)) for number in range(50)]
    gate.set()
    assert sum(await asyncio.gather(*racing)) == most == 10
    desk.refusal("another")


async def test_room_that_others_leave_is_given_again_but_never_twice() -> None:
    """A hundred sessions that use half of what is set aside: ten at a time, and nineteen in all."""
    desk = Desk(at_once=100, budget_limit_usd=10.0)
    running = most = ended = 0

    async def work(number: int) -> None:
        nonlocal running, most, ended
        for _ in range(200):
            try:
                desk.reserve(str(number), f"e.{number}")
                break
            except LimitError:
                await asyncio.sleep(0)
        else:
            return
        running += 1
        most = max(most, running)
        for _ in range(number % 3 + 1):
            await asyncio.sleep(0)
        running -= 1
        ended += 1
        # Nobody learns from sessions that are interrupted, so each is reckoned at a dollar.
        desk.settle(0.5, str(number), f"e.{number}", state="interrupted", tokens=1)

    await asyncio.gather(*(work(number) for number in range(100)))
    assert (most, ended) == (10, 19)
    assert desk.books.account(("run", "")).spent.usd == 9_500_000


@pytest.mark.parametrize(
    ("scope", "same", "other", "name", "words"),
    [
        ("task", "a.1", "a.2", "a.1", "for task a.1"),
        ("epic", "a.2", "b.1", "a", "for epic a"),
        ("run", "b.1", "", "", "for this run"),
        ("day", "b.1", "", "", "for 2026-03-01 (UTC)"),
    ],
)
@pytest.mark.parametrize(
    ("unit", "limit", "said"),
    [
        (
            "usd",
            2.5,
            "budget of $2.50 {} does not reach for another session: $1.20 spent, $1.00 set aside, and a",
        ),
        (
            "tokens",
            25,
            "budget of 25 tokens {} does not reach for another session: 12 tokens spent, 10 tokens set",
        ),
        ("sessions", 2, "budget of 2 sessions {} does not reach for another session: 1 ended, 1 running"),
    ],
)
def test_every_scope_and_unit_has_its_limit(
    scope: str, same: str, other: str, name: str, words: str, unit: str, limit: float, said: str
) -> None:
    desk = Desk(budgets={scope: {unit: limit}}, session_limit_tokens=10)
    desk.reserve("one", "a.1")
    desk.settle(1.2, "one", tokens=12)
    desk.reserve("two", "a.1")
    error = desk.refusal("three", same)
    assert (error.scope, error.name) == (scope, name)
    assert said.format(words) in error.message
    assert f"raise cost.budgets.{scope}.{unit}" in error.hint
    assert ("lower cost.session_limit_" in error.hint) == (unit != "sessions")
    if other:
        desk.reserve("four", other)


@pytest.mark.parametrize("spent", [0.5, 0.7])
def test_nothing_starts_at_a_limit_however_little_it_needs(spent: float) -> None:
    desk = Desk(budget_limit_usd=0.5, session_limit_usd=0)
    desk.reserve()
    desk.settle(spent)
    refused = desk.refusal("next")
    assert refused.hint == "raise cost.budget_limit_usd", "nothing is left that a smaller session could use"
    assert Desk(budget_limit_usd=0.5).refusal().hint.endswith("if sessions need less")


def test_a_limit_of_nothing_lets_nothing_start() -> None:
    refused = Desk(budgets={"run": {"usd": 0}}, session_limit_usd=0).refusal()
    assert refused.hint == "raise cost.budgets.run.usd: with 0 nothing may be spent"


def test_the_smaller_of_two_limits_of_a_run_counts() -> None:
    small = Desk(budget_limit_usd=1.5, budgets={"run": {"usd": 2.0}})
    small.reserve("one")
    assert "raise cost.budget_limit_usd" in small.refusal("two").hint
    other = Desk(budget_limit_usd=2.0, budgets={"run": {"usd": 1.5}})
    other.reserve("one")
    assert "raise cost.budgets.run.usd" in other.refusal("two").hint


def test_what_cannot_become_free_is_told_before_what_can() -> None:
    """The epic's money is only set aside; the run's is spent."""
    desk = Desk(budgets={"epic": {"usd": 1.0}, "run": {"usd": 3.0}})
    desk.reserve("one", "b.1")
    desk.settle(2.5, "one", "b.1", state="interrupted", tokens=1)
    desk.config = Config.model_validate({"cost": desk.config.cost.model_dump() | {"session_limit_usd": 0.4}})
    desk.reserve("two", "a.1")
    desk.config = Config.model_validate({"cost": desk.config.cost.model_dump() | {"session_limit_usd": 0.7}})
    assert desk.refusal("three", "a.2").scope == "run"


def test_a_refused_session_leaves_nothing_behind() -> None:
    desk = Desk(budgets={"run": {"usd": 1.5}, "task": {"usd": 5.0}})
    desk.reserve("one", "a.1")
    desk.refusal("two", "b.1")
    assert desk.books.account(("task", "b.1")).used("usd") == 0
    assert desk.books.account(("run", "")).used("usd") == 1_000_000


def test_an_unknown_cost_counts_as_what_was_set_aside() -> None:
    desk = Desk(budgets={"run": {"usd": 7.0, "tokens": 1000}}, session_limit_tokens=100)
    desk.reserve()
    desk.settle(None)
    account = desk.books.account(("run", ""))
    assert (account.spent.usd, account.spent.tokens, account.spent.sessions) == (2_000_000, 100, 1)
    assert not account.held.usd


@pytest.mark.parametrize(
    ("tokens", "final", "spent"),
    [
        (2_500_000, True, 2_500_000),
        (500_000, True, 500_000),
        (2_500_000, False, 2_500_000),
        (1, False, 2_000_000),
    ],
)
def test_who_is_cut_off_before_the_last_word_has_spent_what_was_set_aside(
    tokens: int, final: bool, spent: int
) -> None:
    """What is told by then is the least: how much it wrote may be missing."""
    desk = Desk(budgets={"run": {"usd": 7.0}})
    desk.reserve()
    desk.settle(tokens / 1_000_000, tokens=tokens, final=final, state="failed")
    assert desk.books.account(("run", "")).spent.usd == spent
    assert bool(desk.books.estimates.usd) == final, "the least that it was says little about others"


def test_an_unknown_model_leaves_what_is_known_of_a_session() -> None:
    """Dollars of the others stop it, and count when it is settled."""
    desk = Desk(budgets={"run": {"usd": 4.0}})
    desk.reserve()
    usage = (Usage("m", 3_900_000), Usage("mystery", 10))
    assert yoke_costs.check_spending(desk.attempt(), usage, desk.config) is None
    usage = (Usage("m", 5_000_000), Usage("mystery", 10))
    reason = yoke_costs.check_spending(desk.attempt(), usage, desk.config)
    assert reason is not None
    assert "it used $5.00, which the budget of $4.00 for this run does not allow" in reason
    report = AgentReport(ok=False, usage=usage)
    result = SessionResult(desk.attempt(), "x", "m", "failed", "", 1.0, report)
    yoke_costs.settle_budget(result, desk.config, desk.host)
    assert desk.books.account(("run", "")).spent.usd == 5_000_000
    capped = Desk(session_cap_usd=1.0)
    capped.reserve()
    reason = yoke_costs.check_spending(capped.attempt(), usage, capped.config)
    assert reason == "it spent $5.00, and cost.session_cap_usd allows a session $1.00"


def test_a_session_is_settled_once() -> None:
    desk = Desk(budget_limit_usd=5.0)
    desk.reserve()
    desk.settle(0.5)
    desk.settle(0.5)
    assert desk.books.account(("run", "")).spent.usd == 500_000


def test_an_interrupted_session_that_used_nothing_never_was() -> None:
    desk = Desk(budgets={"task": {"sessions": 1, "usd": 3.0}})
    desk.reserve()
    desk.settle(0.0, state="interrupted")
    desk.reserve()
    desk.settle(None, state="interrupted")
    assert desk.refusal().name == "a.1", "one of unknown use counts"


def test_what_is_set_aside_says_what_the_session_may_use() -> None:
    desk = Desk(budgets={"run": {"usd": 5.5}, "task": {"usd": 3.0}})
    for number in range(3):
        assert desk.reserve(str(number), f"a.{number}") == Reservation(usd=1.5, cap_usd=1.5)
    assert desk.reserve("four", "a.4") == Reservation(usd=1.0, cap_usd=1.0), "who comes on top"
    assert Desk(budgets={"task": {"usd": 3.0}}).reserve() == Reservation(usd=2.0, cap_usd=2.0)
    assert Desk(budgets={"task": {"usd": 50.0}}).reserve() == Reservation(usd=3.0, cap_usd=3.0)
    assert Desk(session_cap_usd=0.5).reserve() == Reservation(cap_usd=0.5)
    both = Desk(session_cap_usd=0.5, budget_limit_usd=9.0)
    assert both.reserve() == Reservation(usd=0.5, cap_usd=0.5)
    tokens = Desk(budgets={"day": {"tokens": 500_000}})
    assert tokens.reserve() == Reservation(tokens=200_000)
    assert Desk().reserve() is None


def test_a_question_is_no_attempt() -> None:
    """It is paid for, but takes no attempt of a task's sessions, nor their part of the room."""
    desk = Desk(budgets={"task": {"sessions": 2, "usd": 50.0}})
    assert desk.reserve("one", question=True) == Reservation(usd=1.0, cap_usd=1.0)
    assert desk.reserve("two") == Reservation(usd=3.0, cap_usd=3.0)
    desk.settle(1.0, "one", question=True)
    desk.settle(1.0, "two")
    desk.reserve("three")
    account = desk.books.account(("task", "a.1"))
    assert (account.spent.usd, account.spent.sessions) == (2_000_000, 1)
    desk.refusal("four")
    desk.reserve("five", question=True)


@pytest.mark.parametrize("limit", [8.0, 9.9, 10.0, 20.0, 100.0])
@pytest.mark.parametrize("at_once", [1, 3, 8])
def test_no_dollar_is_promised_twice_and_no_slot_is_lost(limit: float, at_once: int) -> None:
    """As many start as estimates alone would let start, and all may spend what they are told."""
    desk = Desk(at_once=at_once, budgets={"run": {"usd": limit}})
    promised = 0.0
    for number in range(at_once):
        given = desk.reserve(str(number), f"e{number}.1")
        assert given is not None
        assert given.cap_usd == given.usd
        promised += given.usd or 0.0
    assert promised <= limit
    assert promised == pytest.approx(max(at_once, min(limit - 1, 3 * at_once)))
    left = desk.left("new.1")
    assert left is not None
    assert left.used == at_once, "what is merely promised makes nothing scarce for the choice of a model"


def test_what_can_run_at_once_has_a_share() -> None:
    parallel = {"strategy": "by_epic", "max_concurrency": 4}
    for strategy, usd in (("by_epic", 2.0), ("by_task", 1.0), ("smart", 1.0)):
        desk = Desk(budgets={"epic": {"usd": 3.0}})
        changed = {"cost": desk.config.cost, "parallel": parallel | {"strategy": strategy}}
        desk.config = Config.model_validate(changed)
        assert desk.reserve() == Reservation(usd=usd, cap_usd=usd), strategy


def test_a_session_grows_as_long_as_there_is_room() -> None:
    desk = Desk(budgets={"run": {"usd": 3.0}})
    desk.reserve("one", "a.1")
    desk.reserve("two", "a.2")
    assert desk.used(1_900_000, "one", "a.1") is None
    assert desk.books.account(("run", "")).used("usd") == 2_900_000
    reason = desk.used(2_100_000, "one", "a.1")
    assert reason == (
        "it used $2.10, which the budget of $3.00 for this run does not allow: $0.00 spent by others, "
        "$1.00 set aside for others (cost.budgets.run.usd)"
    )
    assert desk.books.account(("run", "")).used("usd") == 3_000_000
    desk.refusal("three", "a.3")
    desk.settle(2.1, "one", "a.1", tokens=2_100_000)
    assert desk.used(950_000, "two", "a.2") is None, "within what is its own"


def test_a_session_that_passes_its_cap_is_stopped() -> None:
    desk = Desk(session_cap_usd=0.5)
    desk.reserve()
    assert desk.used(0) is None
    assert desk.used(500_000) is None
    assert desk.used(500_001) == "it spent $0.50, and cost.session_cap_usd allows a session $0.50"
    assert Desk(session_cap_usd=0.5).used(600_000) is None, "it has nothing set aside"


def test_tokens_are_counted_where_the_model_has_no_price() -> None:
    desk = Desk(budgets={"task": {"tokens": 100, "usd": 9.0}}, session_limit_tokens=10)
    desk.reserve()
    unknown = (Usage("mystery", 60, 20, 15, 5),)
    assert yoke_costs.check_spending(desk.attempt(), unknown, desk.config) is None
    reason = yoke_costs.check_spending(desk.attempt(), (*unknown, Usage("m", 1)), desk.config)
    assert reason is not None
    assert "it used 101 tokens" in reason
    assert "(cost.budgets.task.tokens)" in reason


def test_the_day_ends_at_midnight_utc() -> None:
    desk = Desk(budgets={"day": {"usd": 2.0}})
    desk.reserve("one")
    desk.reserve("two", "a.2")
    error = desk.refusal("three", "a.3")
    assert "go on after midnight UTC" in error.hint
    desk.now += timedelta(hours=12)
    desk.reserve("three", "a.3")
    desk.settle(0.8, "one")
    days = [desk.books.account(("day", f"2026-03-0{day}")) for day in (1, 2)]
    assert [(day.spent.usd, day.held.usd) for day in days] == [(800_000, 1_000_000), (0, 1_000_000)]


def test_the_tightest_budget_is_the_one_with_the_smallest_share_left() -> None:
    desk = Desk(budgets={"run": {"usd": 10.0, "sessions": 4}, "task": {"usd": 2.0}})
    assert desk.left() == BudgetLeft("task", "usd", 2.0, 0.0)
    desk.reserve("one", "b.1")
    assert desk.left() == BudgetLeft("run", "sessions", 4, 1)
    desk.reserve("two", "a.1")
    assert desk.left() == BudgetLeft("task", "usd", 2.0, 1.0)
    assert desk.left("c.1") == BudgetLeft("run", "sessions", 4, 2)
    assert Desk().left() is None
    assert Desk(budgets={"run": {"usd": 0}}).left() == BudgetLeft("run", "usd", 0.0, 0.0)


def test_each_mark_is_warned_of_once() -> None:
    desk = Desk(budgets={"run": {"usd": 10.0}, "task": {"tokens": 100}}, session_limit_tokens=0)
    spend = iter(range(10))

    def settle(cost: float, task: str, tokens: int = 0) -> list[tuple[Any, ...]]:
        session = str(next(spend))
        desk.reserve(session, task)
        desk.host.warned.clear()
        desk.settle(cost, session, task, tokens=tokens, state="interrupted")
        return [(each["scope"], each["name"], each["unit"], each["mark"]) for each in desk.host.warned]

    assert settle(7.9, "a.1") == []
    assert settle(0.1, "a.1") == [("run", "", "usd", 0.8)]
    assert desk.host.warned == [
        {"scope": "run", "name": "", "unit": "usd", "limit": 10.0, "used": 8.0, "mark": 0.8}
    ]
    assert settle(0.1, "a.2", tokens=96) == [("task", "a.2", "tokens", 0.8), ("task", "a.2", "tokens", 0.95)]
    assert settle(0.1, "a.3", tokens=85) == [("task", "a.3", "tokens", 0.8)]


def test_what_is_set_aside_is_what_nine_of_ten_like_it_stayed_below() -> None:
    desk = Desk(at_once=256, budget_limit_usd=250.0, budgets={"run": {"tokens": 10**9}})
    kind = {"category": "code", "tier": "fast", "model": "m"}

    def done(cost: float, number: int, **more: Any) -> None:
        desk.reserve(f"{cost}-{number}", **kind | more)
        desk.settle(cost, f"{cost}-{number}", tokens=number + 1, **kind | more)

    def reckoned(session: str = "t", **more: Any) -> float:
        desk.reserve(session, **more)
        return desk.books.holdings[session].likely.usd / 1_000_000

    for number in range(FEWEST - 1):
        done(0.2, number)
    assert desk.reserve(**kind) == Reservation(1.0, 200_000, 1.0)
    done(0.3, FEWEST - 1)
    learned = desk.reserve(**kind)
    assert learned is not None
    assert (reckoned(**kind), learned.tokens) == (0.3, 5)
    for number in range(5, 10):
        done(0.1, number)
    assert reckoned(**kind) == 0.2, "the ninth of ten"
    for other in ({"category": "docs"}, {"category": "docs", "model": "n"}, {"tier": "none", "model": "n"}):
        assert reckoned(**kind | other) == 0.2, other
    assert reckoned(**kind | {"agent": "y"}) == 1.0, "another agent"
    desk.config = Config.model_validate({"cost": {"budget_limit_usd": 9.0, "session_cap_usd": 0.05}})
    assert reckoned(**kind) == 0.05
    assert desk.reserve(**kind) == Reservation(0.05, None, 0.05)


def test_old_sessions_are_forgotten() -> None:
    desk = Desk(budget_limit_usd=10_000.0)
    for number in range(2 * MOST):
        desk.reserve(str(number))
        desk.settle(1.0 if number < MOST else 0.5, str(number))
    desk.reserve()
    assert desk.books.holdings["s"].likely.usd == 500_000


def test_what_agents_were_asked_counts_once() -> None:
    desk = Desk(budgets={"run": {"usd": 5.0}, "day": {"tokens": 10_000_000}, "task": {"usd": 5.0}})
    usage = [{"model": "m", "input": 10, "output": 5, "cache_read": 2}]
    asked = Event("agent.asked", desk.run, data={"cost_usd": 0.25, "usage": usage}, at=desk.now)
    yoke_costs.on_event(asked)
    assert desk.books.account(("run", "")).spent.usd == 250_000
    assert desk.books.account(("day", "2026-03-01")).spent.tokens == 17
    yoke_costs.on_event(replace(asked, data={"operation": "reflection"}))
    # One that a task pays for has set something aside, and is settled like a session.
    desk.reserve("ask", "a.1", question=True)
    yoke_costs.on_event(replace(asked, session="ask"))
    desk.settle(0.25, "ask", "a.1", question=True)
    assert desk.books.account(("run", "")).spent.usd == 500_000
    assert desk.books.account(("task", "a.1")).spent.usd == 250_000
    assert not desk.books.estimates.usd, "it says nothing about attempts"


def test_without_cost_tracking_there_is_no_opinion() -> None:
    desk = Desk(enabled=False, budget_limit_usd=0.0, session_cap_usd=0.0)
    assert desk.reserve() is None
    assert desk.used(10**9) is None
    assert desk.left() is None
    desk.settle(5.0)
    assert not desk.books.accounts


def test_books_are_kept_by_run_and_closed_at_its_end() -> None:
    one, two = Desk(budget_limit_usd=1.0), Desk(budget_limit_usd=1.0)
    one.reserve()
    two.reserve()
    one.settle(0.0)
    one.reserve("more")
    two.refusal("more")
    yoke_costs.on_event(Event("run.finished", run=two.run))
    assert two.reserve("more") is not None


def test_the_plugin_keeps_what_budgets_and_prices_promise(database_url: str) -> None:
    check_budget(yoke_costs, database_url=database_url)
    check_budget(yoke_costs)
    check_pricing(yoke_costs)


def test_limits_that_need_history_do_not_go_on_without_it() -> None:
    config = Config.model_validate({"cost": {"budgets": {"task": {"usd": 100}}, "budget_limit_usd": 10}})
    with pytest.raises((StoreError, AssertionError), match="away"):
        check_budget(yoke_costs, config)
