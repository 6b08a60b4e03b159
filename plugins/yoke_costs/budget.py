"""Budgets as the hooks need them: what is set aside, what is refused, and in which words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Final

from yoke_costs.accounts import RUN
from yoke_costs.amounts import Amount, micro, plain, shown
from yoke_costs.estimates import Trait
from yoke_costs.limits import limits_of
from yoke_costs.pricing import least
from yoke_costs.pricing import tokens as count_tokens
from yoke_costs.promises import promise
from yokeflow.errors import LimitError
from yokeflow.model import BudgetLeft, Reservation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yoke_costs.accounts import Books, Short
    from yoke_costs.limits import Mark
    from yokeflow.config import Config, Cost
    from yokeflow.events import Event
    from yokeflow.model import Attempt, SessionResult, Usage

_KINDS: Final = ("input", "output", "cache_read", "cache_write")


def reserve(books: Books, attempt: Attempt, config: Config) -> Reservation | None:
    """Set aside what the session may spend; None where nothing is limited.

    Raises LimitError when a budget does not reach for what it will probably need.
    """
    cost = config.cost
    limits, trait = limits_of(cost), Trait.of(attempt)
    amount = books.estimates.estimate(trait, cost)
    if attempt.question:
        amount = replace(amount, sessions=0)
    short = books.hold(attempt, amount, limits)
    if short is not None:
        learned = books.estimates.knows(trait, short.limit.unit)
        raise LimitError(_refusal(short), hint=_hint(short, learned=learned), **_where(short))
    if not limits and cost.session_cap_usd is None:
        return None
    limited = {limit.unit for limit in limits}
    promised = promise(books, attempt, config, limits)
    cap = None if promised is None else plain("usd", promised)
    return Reservation(
        usd=cap if "usd" in limited else None,
        tokens=amount.tokens if "tokens" in limited else None,
        cap_usd=cap,
    )


def check(books: Books, attempt: Attempt, usage: Sequence[Usage], config: Config) -> str | None:
    """Why a session must be stopped by what it has used; else as much is set aside for it.

    Of models that have no price, tokens count, and the others' dollars all the same.
    """
    limits, cost = limits_of(config.cost), config.cost
    limited = {limit.unit for limit in limits}
    if attempt.session not in books.holdings or (not limited and cost.session_cap_usd is None):
        return None
    in_dollars = "usd" in limited or cost.session_cap_usd is not None
    usd = micro(least(usage, config)) if in_dollars else 0
    short = books.grow(attempt.session, Amount(usd, count_tokens(usage)), limits)
    if cost.session_cap_usd is not None and usd > micro(cost.session_cap_usd):
        cap = shown("usd", micro(cost.session_cap_usd))
        return f"it spent {shown('usd', usd)}, and cost.session_cap_usd allows a session {cap}"
    return None if short is None else _overrun(short)


def settle(books: Books, result: SessionResult, config: Config) -> list[Mark]:
    """Count what the session cost instead of what was set aside; gives the warnings that are due.

    One that was cut off before its last word has cost what was set aside, if it did not tell of more.
    """
    attempt, report = result.attempt, result.report
    usd = report.cost_usd if result.cost_usd is None else result.cost_usd
    if result.state == "interrupted" and usd == 0 and not report.usage:
        books.refund(attempt.session)
        return []
    used = Amount(micro(least(report.usage, config) if usd is None else usd), count_tokens(report.usage))
    known = used.usd if usd is not None and report.final else None
    tokens = used.tokens if (report.usage or usd == 0) and report.final else None
    holding = books.settle(attempt.session, known, tokens, used)
    if holding is None:
        return []
    if result.state != "interrupted" and not attempt.question:
        books.estimates.learn(holding.trait, known, tokens)
    return books.marks(holding.keys, limits_of(config.cost), config.cost.warn_at)


def count_asked(books: Books, event: Event) -> None:
    """Count what an agent was asked. Where something was set aside for that, settling counts it."""
    if event.session in books.holdings:
        return
    cost, usage = event.data.get("cost_usd"), event.data.get("usage") or ()
    tokens = sum(max(int(used.get(kind) or 0), 0) for used in usage for kind in _KINDS)
    amount = Amount(0 if cost is None else micro(cost), tokens)
    began = event.at - timedelta(seconds=event.data.get("seconds") or 0)
    books.spend([RUN, books.day(began.astimezone(UTC).date())], amount)


def left(books: Books, attempt: Attempt, cost: Cost) -> BudgetLeft | None:
    """The limit of which the smallest share is left."""
    found = books.tightest(attempt, limits_of(cost))
    if found is None:
        return None
    limit, used = found
    return BudgetLeft(limit.scope, limit.unit, plain(limit.unit, limit.most), plain(limit.unit, used))


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


def _hint(short: Short, *, learned: bool) -> str:
    limit = short.limit
    if not limit.most:
        return f"raise {limit.key}: with 0 nothing may be spent"
    hint = f"raise {limit.key}"
    if limit.unit != "sessions" and not learned and short.spent < limit.most:
        hint += f", or lower cost.session_limit_{limit.unit} if sessions need less"
    return f"{hint}, or go on after midnight UTC" if limit.scope == "day" else hint


def _where(short: Short) -> dict[str, str]:
    scope = short.limit.scope
    return {"scope": scope, "name": short.name if scope in {"task", "epic"} else ""}
