"""Budget arithmetic under every interleaving that hypothesis can think of."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import hypothesis.strategies as st
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from yoke_costs.accounts import Books, Key
from yoke_costs.amounts import NOTHING, UNITS, Amount, micro
from yoke_costs.limits import SCOPES, Limit, limits_of
from yokeflow.config import Cost
from yokeflow.model import Attempt, Task

TASKS = ("a.1", "a.2", "b.1", "b.2")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

amounts = st.builds(Amount, st.integers(0, 400), st.integers(0, 400), st.just(1))
most = st.none() | st.integers(0, 1000)
limits = st.lists(
    st.builds(Limit, st.sampled_from(SCOPES), st.sampled_from(UNITS), st.integers(0, 1000), st.just("key")),
    max_size=8,
)


def attempt(session: str, task: str) -> Attempt:
    return Attempt(Task(task, task[0], "T"), 1, session, "r")


class Budgets(RuleBasedStateMachine):
    """Sessions come, grow, end and vanish as days go by; a plain list of it all runs beside the books."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.books = Books(clock=lambda: self.now)
        self.limits: list[Limit] = []
        self.running: dict[str, tuple[tuple[Key, ...], Amount]] = {}
        self.ended: list[tuple[tuple[Key, ...], Amount]] = []
        self.number = 0

    @rule(given_=limits)
    @precondition(lambda self: not self.number)
    def limit(self, given_: list[Limit]) -> None:
        self.limits = given_

    @rule(task=st.sampled_from(TASKS), amount=amounts)
    def reserve(self, task: str, amount: Amount) -> None:
        self.number += 1
        one = attempt(str(self.number), task)
        keys = self.books.keys(one)
        # Where nothing is left, nothing starts, however little it wants.
        fits = self.fits(keys, amount.at_least(Amount(1, 1, 1)))
        short = self.books.hold(one, amount, self.limits)
        assert (short is None) == fits, "it is refused exactly when it does not fit"
        if short is None:
            self.running[one.session] = (keys, amount)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), used=amounts)
    def grow(self, data: st.DataObject, used: Amount) -> None:
        session = data.draw(st.sampled_from(sorted(self.running)))
        keys, before = self.running[session]
        wanted = before.at_least(used)
        fits = self.fits(keys, wanted - before)
        short = self.books.grow(session, used, self.limits)
        assert (short is None) == fits
        after = self.books.holdings[session].amount
        assert all(before[unit] <= after[unit] <= wanted[unit] for unit in UNITS)
        assert after == wanted or short is not None
        self.running[session] = (keys, after)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), usd=st.integers(0, 900))
    def promise(self, data: st.DataObject, usd: int) -> None:
        session = data.draw(st.sampled_from(sorted(self.running)))
        keys, before = self.running[session]
        given = self.books.promise(session, usd, self.limits)
        assert before.usd <= given <= max(usd, before.usd)
        assert given == max(usd, before.usd) or not self.fits(keys, Amount(given - before.usd + 1))
        self.running[session] = (keys, replace(before, usd=given))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), known=st.booleans())
    def settle(self, data: st.DataObject, known: bool) -> None:
        session = data.draw(st.sampled_from(sorted(self.running)))
        keys, held = self.running.pop(session)
        used = held
        if known:
            usd, tokens = data.draw(st.integers(0, held.usd)), data.draw(st.integers(0, held.tokens))
            used = Amount(usd, tokens, 1)
        self.books.settle(session, used.usd if known else None, used.tokens if known else None)
        self.ended.append((keys, used))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def refund(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(sorted(self.running)))
        self.books.refund(session)
        del self.running[session]

    @rule(session=st.integers(1, 60).map(str))
    def again(self, session: str) -> None:
        """What is over is over: a second end of a session changes nothing."""
        if session not in self.running:
            assert self.books.settle(session, 1000, 1000) is None
            assert self.books.refund(session) is None

    @rule(hours=st.integers(1, 30))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    def fits(self, keys: tuple[Key, ...], amount: Amount) -> bool:
        spent, held = self.sums()
        return all(
            spent[key][limit.unit] + held[key][limit.unit] + amount[limit.unit] <= limit.most
            for limit in self.limits
            for key in keys
            if key[0] == limit.scope
        )

    def sums(self) -> tuple[dict[Key, Amount], dict[Key, Amount]]:
        spent: dict[Key, Amount] = defaultdict(Amount)
        held: dict[Key, Amount] = defaultdict(Amount)
        for sums, entries in ((spent, self.ended), (held, list(self.running.values()))):
            for keys, amount in entries:
                for key in keys:
                    sums[key] += amount
        return spent, held

    @invariant()
    def nothing_leaks_and_no_limit_is_passed(self) -> None:
        spent, held = self.sums()
        for key, account in self.books.accounts.items():
            assert (account.spent, account.held) == (spent[key], held[key])
            assert all(0 <= account.likely[unit] <= account.held[unit] for unit in UNITS)
        for limit in self.limits:
            for key in spent.keys() | held.keys():
                if key[0] == limit.scope:
                    assert spent[key][limit.unit] + held[key][limit.unit] <= limit.most


TestBudgets = Budgets.TestCase
TestBudgets.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(
    sessions=st.lists(st.tuples(st.sampled_from(TASKS), amounts, amounts), min_size=1, max_size=8),
    data=st.data(),
)
@settings(max_examples=50, deadline=None)
def test_the_sums_do_not_depend_on_the_order(
    sessions: list[tuple[str, Amount, Amount]], data: st.DataObject
) -> None:
    """Any interleaving of the same starts and ends, each start before its end, gives the same books."""
    numbers = [number for number in range(len(sessions)) for _ in range(2)]
    results = []
    for _ in range(2):
        books, begun = Books(clock=lambda: NOON), set()
        for number in data.draw(st.permutations(numbers)):
            task, amount, used = sessions[number]
            if number in begun:
                books.settle(str(number), used.usd, used.tokens)
            else:
                begun.add(number)
                assert books.hold(attempt(str(number), task), amount, []) is None
        results.append(books.accounts)
    assert results[0] == results[1]


@given(
    before=st.lists(st.tuples(st.sampled_from(TASKS), amounts), max_size=5),
    task=st.sampled_from(TASKS),
    amount=amounts,
    growth=st.lists(amounts, max_size=3),
    limits_=limits,
)
@settings(max_examples=50, deadline=None)
def test_a_refund_restores_exactly_what_was(
    before: list[tuple[str, Amount]], task: str, amount: Amount, growth: list[Amount], limits_: list[Limit]
) -> None:
    books = Books(clock=lambda: NOON)
    for number, (other, held) in enumerate(before):
        books.hold(attempt(str(number), other), held, limits_)
    for key in books.keys(attempt("x", task)):
        books.account(key)
    was = {key: (account.spent, account.held) for key, account in books.accounts.items()}
    if books.hold(attempt("x", task), amount, limits_) is None:
        for used in growth:
            books.grow("x", used, limits_)
        assert books.refund("x") is not None
    assert {key: (account.spent, account.held) for key, account in books.accounts.items()} == was


@given(
    steps=st.lists(st.tuples(st.sampled_from(TASKS), amounts, st.integers(0, 900)), max_size=12),
    limits_=limits,
)
@settings(max_examples=50, deadline=None)
def test_a_limit_is_passed_by_nothing_but_what_a_session_told_too_late(
    steps: list[tuple[str, Amount, int]], limits_: list[Limit]
) -> None:
    """Sessions may report more than they can be given: the excess is theirs, nobody starts on top of it."""
    books, late = Books(clock=lambda: NOON), 0
    for number, (task, amount, usd) in enumerate(steps):
        session = str(number)
        if books.hold(attempt(session, task), amount, limits_) is not None:
            continue
        books.grow(session, Amount(usd, 0, 1), limits_)
        granted = books.holdings[session].amount.usd
        late += max(usd - granted, 0)
        books.settle(session, usd, 0)
        for limit in limits_:
            used = [account.used("usd") for key, account in books.accounts.items() if key[0] == limit.scope]
            assert limit.unit != "usd" or max(used) <= limit.most + late


@given(
    st.lists(st.floats(0, 100, allow_nan=False).map(lambda each: round(each, 6)), max_size=30),
)
def test_dollars_add_up_exactly(costs: list[float]) -> None:
    """Ten times ten cents is a dollar, which it is not with floats."""
    total = NOTHING
    for cost in costs:
        total += Amount(micro(cost))
    assert total.usd == sum(round(cost * 1_000_000) for cost in costs)
    assert micro(0.1) * 10 == micro(1.0)
    assert (micro(0.0000005), micro(0.00000049), micro(1e30), micro(-1.0)) == (1, 0, 999_999_999_999, 0)


@given(st.lists(most, min_size=13, max_size=13))
def test_every_limit_of_the_config_counts(given_: list[int | None]) -> None:
    whole, *numbers = given_
    budgets = {
        scope: {unit: numbers[3 * place + part] for part, unit in enumerate(UNITS)}
        for place, scope in enumerate(SCOPES)
    }
    found = {
        (each.scope, each.unit): each for each in limits_of(Cost(budget_limit_usd=whole, budgets=budgets))
    }
    for scope in SCOPES:
        for unit in UNITS:
            wanted = [budgets[scope][unit], whole if (scope, unit) == ("run", "usd") else None]
            smallest = min((each for each in wanted if each is not None), default=None)
            limit = found.get((scope, unit))
            assert (limit and limit.most) == (
                smallest if smallest is None or unit != "usd" else smallest * 1_000_000
            )
