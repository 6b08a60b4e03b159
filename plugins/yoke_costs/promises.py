"""How much a session may spend in all, when it starts.

An agent that keeps to a cap of its own cannot be stopped by what it tells: how much it wrote, which costs
most, comes with its last word. So all that it is told it may spend is set aside for it, and no dollar is
promised twice. Whether a session starts is decided by what it will probably need, its estimate. What it is
promised is its share of the room, if that is more: what the limit leaves beside its estimate, divided by the
sessions that could start now, itself among them. Thus there is room for as many sessions that are alike as
estimates alone would let start, and for a question about one. Since all of a promise counts as spent when an
agent is cut off, it is never more than `MOST` times the estimate, or `session_limit_usd` if that is more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from yoke_costs.amounts import micro
from yokeflow.model import Strategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yoke_costs.accounts import Account, Books
    from yoke_costs.limits import Limit, Scope
    from yokeflow.config import Config
    from yokeflow.model import Attempt

MOST: Final = 3


def promise(books: Books, attempt: Attempt, config: Config, limits: Sequence[Limit]) -> int | None:
    """Set aside, beside its estimate, what a session may spend in all; None where no dollars are limited.

    A question may spend its estimate, which is that of a whole attempt.
    """
    cost, session = config.cost, attempt.session
    estimate = books.holdings[session].amount.usd
    wanted = [_share(limit, account, config) for limit, account in books.room(session, "usd", limits)]
    if wanted:
        wanted.append(estimate if attempt.question else MOST * max(estimate, micro(cost.session_limit_usd)))
    if cost.session_cap_usd is not None:
        wanted.append(micro(cost.session_cap_usd))
    if not wanted:
        return None
    return books.promise(session, min(wanted), limits)


def _share(limit: Limit, account: Account, config: Config) -> int:
    """A session's part of the room, of which its own estimate is taken already."""
    others = account.held.sessions - 1
    room = limit.most - account.used("usd")
    return room // max(_width(limit.scope, config) - others, 1)


def _width(scope: Scope, config: Config) -> int:
    """How many sessions can run at once under one task, epic, run or day."""
    parallel = config.parallel
    one = scope == "task" or (scope == "epic" and parallel.strategy is Strategy.BY_EPIC)
    return 1 if one or not parallel.enabled else parallel.max_concurrency
