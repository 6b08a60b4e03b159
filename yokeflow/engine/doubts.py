"""Settings that are valid and do not do what they seem to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.document import dotted
from yokeflow.settings import flatten, problem_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yokeflow.config import Config, Cost
    from yokeflow.document import Key
    from yokeflow.errors import Problem
    from yokeflow.settings import Settings


#: The kind of agent that does what a task's `run` says.
SHELL = "shell"


def doubts(settings: Settings) -> list[Problem]:
    """What somebody should be warned of, each at the place that says it."""
    return [*_unlimited(settings), *_unresolved(settings)]


def _unlimited(settings: Settings) -> Iterator[Problem]:
    cost = settings.config.cost
    limits = () if cost.enabled else tuple(_limits(cost))
    if not limits:
        return
    more = f", nor {', '.join(map(dotted, limits[1:]))}" if limits[1:] else ""
    message = f"is not kept{more}: cost.enabled is false, and nothing limits what is spent"
    yield problem_at(settings, limits[0], message, "remove cost.enabled, or the limits")


def _unresolved(settings: Settings) -> Iterator[Problem]:
    """Conflicts that would go to an agent which has no way to settle them."""
    config = settings.config
    name = resolver(config)
    if name and (config.agent_options(name).kind or name) == SHELL:
        message = f"is agent, and {name} only runs commands of tasks: conflicts will be for you"
        hint = "set landing.conflict_agent to an agent that reads a prompt, or landing.conflicts to manual"
        yield problem_at(settings, ("landing", "conflicts"), message, hint)


def resolver(config: Config) -> str:
    """The agent that conflicts go to, as far as the settings tell; empty for none."""
    landing = config.landing
    return config.agent_of(landing.conflict_agent) if landing.conflicts == "agent" else ""


def _limits(cost: Cost) -> Iterator[Key]:
    for name in ("budget_limit_usd", "session_cap_usd"):
        if getattr(cost, name) is not None:
            yield "cost", name
    for key, value in flatten(cost.budgets.model_dump(), ("cost", "budgets")):
        if value is not None:
            yield key
