"""Budgets as the hooks need them: what is set aside, what is refused, and in which words."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Final

from yoke_costs.accounts import RUN
from yoke_costs.amounts import Amount, micro, plain, shown
from yoke_costs.estimates import Trait
from yoke_costs.limits import limits_of
from yoke_costs.pricing import exact_sum
from yoke_costs.pricing import tokens as count_tokens
from yokeflow.errors import LimitError
from yokeflow.model import BudgetLeft, Reservation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yoke_costs.accounts import Books, Short
    from yoke_costs.limits import Limit, Mark
    from yokeflow.config import Config, Cost
    from yokeflow.events import Event
    from yokeflow.model import Attempt, SessionResult, Usage

_KINDS: Final = ("input", "output", "cache_read", "cache_write")


def reserve(books: Books, attempt: Attempt, cost: Cost) -> Reservation | None:
    """Set aside what the session will probably need; None where nothing is limited.

    Raises LimitError when a budget does not reach for it.
    """
    limits, trait = limits_of(cost), Trait.of(attempt)
    amount = books.estimates.estimate(trait, cost)
    short = books.hold(attempt, amount, limits)
    if short is not None:
        learned = books.estimates.knows(trait, short.limit.unit)
        raise LimitError(_refusal(short), hint=_hint(short.limit, learned=learned), **_where(short))
    if not limits and cost.session_cap_usd is None:
        return None
    limited = {limit.unit for limit in limits}
    return Reservation(
        usd=plain("usd", amount.usd) if "usd" in limited else None,
        tokens=amount.tokens if "tokens" in limited else None,
        cap_usd=_cap(books, attempt.session, cost, limits),
    )


def check(books: Books, attempt: Attempt, usage: Sequence[Usage], config: Config) -> str | None:
    """Why a session must be stopped by what it has used; else as much is set aside for it."""
    limits, cost = limits_of(config.cost), config.cost
    limited = {limit.unit for limit in limits}
    if attempt.session not in books.holdings or (not limited and cost.session_cap_usd is None):
        return None
    spent = exact_sum(usage, config) if "usd" in limited or cost.session_cap_usd is not None else None
    usd = 0 if spent is None else micro(spent)
    short = books.grow(attempt.session, Amount(usd, count_tokens(usage), 1), limits)
    if cost.session_cap_usd is not None and usd > micro(cost.session_cap_usd):
        cap = shown("usd", micro(cost.session_cap_usd))
        return f"it spent {shown('usd', usd)}, and cost.session_cap_usd allows a session {cap}"
    return None if short is None else _overrun(short)


def settle(books: Books, result: SessionResult, cost: Cost) -> list[Mark]:
    """Count what the session cost instead of what was set aside; gives the warnings that are due."""
    session, usage = result.attempt.session, result.report.usage
    usd = result.report.cost_usd if result.cost_usd is None else result.cost_usd
    if result.state == "interrupted" and usd == 0 and not usage:
        books.refund(session)
        return []
    known = None if usd is None else micro(usd)
    tokens = count_tokens(usage) if usage else 0 if usd == 0 else None
    holding = books.settle(session, known, tokens)
    if holding is None:
        return []
    if result.state != "interrupted" and not holding.asked:
        books.estimates.learn(holding.trait, known, tokens)
    return books.marks(holding.keys, limits_of(cost), cost.warn_at)


def count_asked(books: Books, event: Event) -> None:
    """Count what an agent was asked. Where something was set aside for that, settling counts it."""
    holding = books.holdings.get(event.session)
    if holding is not None:
        holding.asked = True
        return
    cost, usage = event.data.get("cost_usd"), event.data.get("usage") or ()
    tokens = sum(max(int(used.get(kind) or 0), 0) for used in usage for kind in _KINDS)
    amount = Amount(0 if cost is None else micro(cost), tokens)
    books.spend([RUN, books.day(event.at.astimezone(UTC).date())], amount)


def left(books: Books, attempt: Attempt, cost: Cost) -> BudgetLeft | None:
    """The limit of which the smallest share is left."""
    found = books.tightest(attempt, limits_of(cost))
    if found is None:
        return None
    limit, used = found
    return BudgetLeft(limit.scope, limit.unit, plain(limit.unit, limit.most), plain(limit.unit, used))


def _cap(books: Books, session: str, cost: Cost, limits: Sequence[Limit]) -> float | None:
    """The most that the session could ever spend, as things are."""
    reach = books.reach(session, "usd", limits)
    own = None if cost.session_cap_usd is None else micro(cost.session_cap_usd)
    most = min((each for each in (reach, own) if each is not None), default=None)
    return None if most is None else plain("usd", most)


def _refusal(short: Short) -> str:
    unit = short.limit.unit
    spent, held, wanted = (shown(unit, amount) for amount in (short.spent, short.held, short.wanted))
    start = f"the budget of {_whole(short)} does not reach for another session"
    if unit == "sessions":
        return f"{start}: {short.spent} ended, {short.held} running"
    return f"{start}: {spent} spent, {held} set aside, and a session is reckoned at {wanted}"


def _overrun(short: Short) -> str:
    unit = short.limit.unit
    used, spent, held = (shown(unit, amount) for amount in (short.wanted, short.spent, short.held))
    return (
        f"it used {used}, which the budget of {_whole(short)} does not allow: {spent} spent by others, "
        f"{held} set aside for others ({short.limit.key})"
    )


def _whole(short: Short) -> str:
    limit = short.limit
    what = {"run": "this run", "day": f"{short.name} (UTC)"}.get(limit.scope, f"{limit.scope} {short.name}")
    return f"{shown(limit.unit, limit.most)} for {what}"


def _hint(limit: Limit, *, learned: bool) -> str:
    hint = f"raise {limit.key}"
    if limit.unit != "sessions" and not learned:
        hint += f", or lower cost.session_limit_{limit.unit} if sessions need less"
    return f"{hint}, or go on after midnight UTC" if limit.scope == "day" else hint


def _where(short: Short) -> dict[str, str]:
    scope = short.limit.scope
    return {"scope": scope, "name": short.name if scope in {"task", "epic"} else ""}
