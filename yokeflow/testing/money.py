"""What plugins promise that keep accounts: budgets and prices."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from yokeflow.config import Config
from yokeflow.engine.decisions import answers
from yokeflow.errors import LimitError
from yokeflow.model import Reservation, Usage
from yokeflow.testing.asked import Asked, run, valid
from yokeflow.testing.host import TestHost, host
from yokeflow.testing.samples import racing, result, sample_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yokeflow.model import Attempt

_LIMIT, _RACERS = 10.0, 50
_SCOPES = {"task", "epic", "run", "day"}
_CENT = 0.005
#: What a session costs that needs far less than was set aside.
_LITTLE = 0.05


def check_budget(
    plugin: object,
    config: Config | None = None,
    *,
    limit: float = _LIMIT,
    database_url: str | None = None,
) -> None:
    """Check the hooks of a budget: reserve, settle, refund, and never more than the limit.

    `config` must allow `limit` dollars in a run, and fewer than 50 sessions for that; without it, it allows
    10 dollars, and a session is reckoned at one.
    """
    asked = Asked(plugin, config or _config())
    asked.needs("reserve_budget")
    run(_check_budget(asked, limit, database_url))


def _config() -> Config:
    return Config.model_validate({"cost": {"budget_limit_usd": _LIMIT, "session_limit_usd": 1}})


async def _check_budget(asked: Asked, limit: float, database_url: str | None) -> None:
    async with host(database_url) as lent:
        await asked.wait("begin_run", plan=sample_plan(), host=lent)
        _check_left(asked, racing(1, lent.run)[0])
        granted = await _race(asked, lent, racing(_RACERS, lent.run))
        assert granted, "reserve_budget refuses the first session of a run that may spend something"
        assert len(granted) < _RACERS, f"{_RACERS} tasks race for ${limit:g}, and all get a reservation"
        held = sum(amount for _, amount in granted)
        assert held <= limit + _CENT, f"${held:.2f} are set aside of a budget of ${limit:.2f}"
        await _settle(asked, lent, [attempt for attempt, _ in granted], _LITTLE)
        again = await _race(asked, lent, racing(_RACERS, lent.run))
        assert again, "settle_budget gives back what sessions did not cost, and then others fit in"
        attempt = again[0][0]
        await _settle(asked, lent, [each for each, _ in again[1:]], _LITTLE)
        await _settle(asked, lent, [attempt], limit)
        _check_left(asked, attempt)
        spent = await _race(asked, lent, racing(2, lent.run))
        assert not spent, "the whole budget is spent, and reserve_budget allows another session"
        other = racing(1, str(uuid4()))[0]
        await _settle(asked, lent, [other], 0.1)
        _check_running(asked, attempt)


async def _race(asked: Asked, lent: TestHost, racers: Sequence[Attempt]) -> list[tuple[Attempt, float]]:
    """Those that got something set aside, with the dollars."""
    answered = await asyncio.gather(*(_reserve(asked, lent, attempt) for attempt in racers))
    return [(attempt, usd) for attempt, usd in zip(racers, answered, strict=True) if usd is not None]


async def _reserve(asked: Asked, lent: TestHost, attempt: Attempt) -> float | None:
    try:
        answer = await asked.wait("reserve_budget", attempt=attempt, host=lent)
    except LimitError as error:
        _check_refusal(error)
        return None
    valid(answer, answers.reservation, "reserve_budget")
    usd = answer.usd if isinstance(answer, Reservation) else answer
    return 0.0 if usd is None else float(usd)


def _check_refusal(error: LimitError) -> None:
    assert error.scope in _SCOPES, f"a refusal is about one of {sorted(_SCOPES)}, not {error.scope!r}"
    assert error.hint, "a refusal says what to do"


async def _settle(asked: Asked, lent: TestHost, sessions: Sequence[Attempt], cost: float) -> None:
    for attempt in sessions:
        await asked.wait("settle_budget", result=result(attempt, cost_usd=cost), host=lent)


def _check_left(asked: Asked, attempt: Attempt) -> None:
    answer = asked.now("budget_left", attempt=attempt)
    valid(answer, answers.budget_left, "budget_left")
    assert answer is None or answer.scope in _SCOPES, "budget_left: the scope is task, epic, run or day"


def _check_running(asked: Asked, attempt: Attempt) -> None:
    usage = (Usage("claude-sonnet-4-5", input=10, output=5), Usage("unheard-of", input=10**9))
    for used in ((), usage[:1], usage):
        valid(asked.now("check_spending", attempt=attempt, usage=used), answers.reason, "check_spending")


def check_pricing(plugin: object, config: Config | None = None, *, known: str = "claude-sonnet-4-5") -> None:
    """Check `price_usage`: dollars that grow with the tokens of a `known` model, None for an unknown one."""
    asked = Asked(plugin, config)
    asked.needs("price_usage")
    little = Usage(known, input=1000, output=1000, cache_read=1000, cache_write=1000)
    price = asked.now("price_usage", usage=(little,))
    valid(price, answers.price, "price_usage")
    assert price, f"price_usage: {known} has a price; name a model that is known to you with `known`"
    for part in ("input", "output", "cache_read", "cache_write"):
        more = asked.now("price_usage", usage=(replace(little, **_million(part)),))
        assert more >= price, f"price_usage: more tokens ({part}) cost less"
    stranger = replace(little, model="there-is-no-such-model")
    for usage in ((stranger,), (little, stranger)):
        found = asked.now("price_usage", usage=usage)
        assert found is None, (
            "price_usage: the price of an unknown model is None, never 0, nor left out of a sum"
        )
    valid(asked.now("price_usage", usage=()), answers.price, "price_usage")


def _million(part: str) -> dict[str, Any]:
    return {part: 1_000_000}
