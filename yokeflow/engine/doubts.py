"""Settings that are valid and do not do what they seem to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.document import dotted
from yokeflow.settings import flatten, problem_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yokeflow.config import Cost
    from yokeflow.document import Key
    from yokeflow.errors import Problem
    from yokeflow.settings import Settings


def doubts(settings: Settings) -> list[Problem]:
    """What somebody should be warned of, each at the place that says it."""
    cost = settings.config.cost
    limits = () if cost.enabled else tuple(_limits(cost))
    if not limits:
        return []
    more = f", nor {', '.join(map(dotted, limits[1:]))}" if limits[1:] else ""
    message = f"is not kept{more}: cost.enabled is false, and nothing limits what is spent"
    return [problem_at(settings, limits[0], message, "remove cost.enabled, or the limits")]


def _limits(cost: Cost) -> Iterator[Key]:
    for name in ("budget_limit_usd", "session_cap_usd"):
        if getattr(cost, name) is not None:
            yield "cost", name
    for key, value in flatten(cost.budgets.model_dump(), ("cost", "budgets")):
        if value is not None:
            yield key
