"""The budget of a run is never passed."""

from __future__ import annotations

import pytest

from yoke_costs import on_event, reserve_budget, settle_budget
from yoke_costs.budget import Account
from yokeflow.config import Config, Cost
from yokeflow.errors import LimitError
from yokeflow.events import Event
from yokeflow.model import AgentReport, Attempt, SessionResult, Task

LIMITS = Cost(budget_limit_usd=10.0, session_limit_usd=1.0)


def test_of_fifty_that_ask_ten_are_served() -> None:
    account, served = Account(), 0
    for number in range(50):
        try:
            account.reserve(str(number), LIMITS)
        except LimitError:
            continue
        served += 1
    assert served == 10


def test_what_was_not_spent_serves_others() -> None:
    account = Account()
    for number in range(10):
        account.reserve(str(number), LIMITS)
    with pytest.raises(LimitError, match=r"\$10.00 set aside") as caught:
        account.reserve("more", LIMITS)
    assert "cost.budget_limit_usd" in caught.value.hint
    account.settle("0", 0.25)
    with pytest.raises(LimitError, match=r"\$0.25 is spent"):
        account.reserve("more", LIMITS)
    account.settle("1", 0.25)
    assert account.reserve("more", LIMITS) == 1.0


def test_an_unknown_cost_counts_as_what_was_set_aside() -> None:
    account = Account()
    account.reserve("s", LIMITS)
    account.settle("s", None)
    assert (account.spent, account.reserved) == (1.0, {})


def test_accounts_are_kept_by_run_and_closed_at_its_end() -> None:
    config = Config(cost=Cost(budget_limit_usd=1.0))

    def attempt(run: str, session: str) -> Attempt:
        return Attempt(Task("a.1", "a", "T"), 1, session, run)

    assert reserve_budget(attempt("one", "s1"), config) == 1.0
    assert reserve_budget(attempt("two", "s2"), config) == 1.0
    done = SessionResult(
        attempt("one", "s1"), "shell", "", "completed", "", 1.0, AgentReport(ok=True, cost_usd=0.0)
    )
    settle_budget(done)
    assert reserve_budget(attempt("one", "s3"), config) == 1.0
    on_event(Event("run.finished", run="two"))
    assert reserve_budget(attempt("two", "s4"), config) == 1.0
    assert reserve_budget(attempt("x", "s5"), Config(cost=Cost(enabled=False, budget_limit_usd=0.0))) is None
    for run in ("one", "two"):
        on_event(Event("run.finished", run=run))
