"""Whether what a plugin answers makes sense. Each function gives the reason why not; empty when it does."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

from yokeflow.model import (
    BudgetLeft,
    ConflictDecision,
    ConflictStrategy,
    ModelChoice,
    Profile,
    Reservation,
    Resolution,
)
from yokeflow.predecessors import Predecessors
from yokeflow.profiles import TIERS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from yokeflow.model import Plan, Task


def resolution(answer: object, plan: Plan, finished: Collection[str]) -> str:
    """A Resolution tells something about every unfinished task, and about no other."""
    if not isinstance(answer, Resolution):
        return _not_a("Resolution", answer)
    todo = plan.tasks.keys() - set(finished)
    for name in ("hard", "soft", "lanes", "durations", "remaining", "slack"):
        told: object = getattr(answer, name)
        if not isinstance(told, Mapping):
            return f"`{name}` is {_not_a('mapping', told)}"
        if name in {"soft", "slack"}:
            continue
        if told.keys() != todo:
            odd = min(told.keys() ^ todo)
            return f"`{name}` {'leaves out' if odd in todo else 'names'} {odd}"
    hard = Predecessors.of(answer.hard)
    strangers = set().union(*hard.single.values(), *hard.groups.values()) - todo
    return f"`hard` makes tasks wait for {min(strangers)}" if strangers else ""


def order(answer: object, ready: Sequence[Task]) -> str:
    """An order is made of ids of ready tasks, each at most once."""
    if isinstance(answer, str) or not hasattr(answer, "__iter__"):
        return _not_a("list of ids", answer)
    ids = list(answer)
    known = {task.id for task in ready}
    odd = [each for each in ids if not isinstance(each, str) or each not in known]
    if odd:
        return f"{odd[0]!r} is not among the ready tasks"
    return "" if len(set(ids)) == len(ids) else "a task is named twice"


def profile(answer: object) -> str:
    """A Profile has a name."""
    if not isinstance(answer, Profile):
        return _not_a("Profile", answer)
    if not answer.name:
        return "the profile has no name"
    odd = [tier for tier in (answer.lowest_tier, answer.highest_tier) if tier and tier not in TIERS]
    return f"{odd[0]!r} is no tier" if odd else ""


def budget_left(answer: object) -> str:
    """A BudgetLeft has a limit that is a number."""
    if not isinstance(answer, BudgetLeft):
        return _not_a("BudgetLeft", answer)
    return "" if _amount(answer.limit) and _amount(answer.used) else "the budget is not a number"


def model(answer: object) -> str:
    """A ModelChoice names a model in words; an empty name is the agent's own default."""
    if not isinstance(answer, ModelChoice):
        return _not_a("ModelChoice", answer)
    words = (answer.model, answer.reason, answer.tier)
    if not all(isinstance(word, str) for word in words):
        return "model, reason and tier are text"
    if "\0" in answer.model or not answer.model.isprintable():
        return "the model's name is not text"
    try:
        json.dumps(dict(answer.details), allow_nan=False)
    except (TypeError, ValueError) as error:
        return f"its details are not JSON: {error}"
    return ""


def reservation(answer: object) -> str:
    """A number of dollars, or a Reservation."""
    if isinstance(answer, Reservation):
        parts = (answer.usd, answer.tokens, answer.cap_usd)
        return "" if all(part is None or _amount(part) for part in parts) else "an amount is not a number"
    return "" if _amount(answer) else _not_a("Reservation or a number of dollars", answer)


def reason(answer: object) -> str:
    """A sentence."""
    return "" if isinstance(answer, str) else _not_a("sentence", answer)


def price(answer: object) -> str:
    """Dollars."""
    return "" if _amount(answer) else _not_a("number of dollars", answer)


def conflict(answer: object) -> str:
    """A ConflictDecision names one of the strategies."""
    if not isinstance(answer, ConflictDecision):
        return _not_a("ConflictDecision", answer)
    if answer.strategy not in get_args(ConflictStrategy):
        return f"{answer.strategy!r} is none of {', '.join(get_args(ConflictStrategy))}"
    words = (answer.agent, answer.model, answer.reason)
    return "" if all(isinstance(word, str) for word in words) else "agent, model and reason are text"


def lessons(answer: object) -> str:
    """Paragraphs."""
    if isinstance(answer, str) or not isinstance(answer, list | tuple):
        return _not_a("list of paragraphs", answer)
    return "" if all(isinstance(each, str) for each in answer) else "a lesson is text"


def _amount(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
    )


def _not_a(kind: str, answer: object) -> str:
    return f"its answer is no {kind} but {type(answer).__name__}"
