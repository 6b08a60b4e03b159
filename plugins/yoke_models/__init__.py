"""Chooses the model of an attempt by what is declared, what is critical and what has failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from yokeflow.hookspecs import hookimpl
from yokeflow.model import ModelChoice

if TYPE_CHECKING:
    from yokeflow.config import Config
    from yokeflow.model import Attempt

#: Names of the models of Claude Code, the weakest first.
TIERS: Final = ("haiku", "sonnet", "opus")
#: The attempt from which on a stronger model is taken.
ESCALATE_AT: Final = 3


@hookimpl
def select_model(attempt: Attempt, agent: str, config: Config) -> ModelChoice:
    task = attempt.task
    if task.model:
        return ModelChoice(task.model, "the task names it")
    override = config.cost.model_overrides.get(task.category)
    if override:
        return ModelChoice(override, f"cost.model_overrides names it for category {task.category}")
    kind = config.agent_options(agent).kind or agent
    if kind != "claude":
        return ModelChoice(
            "", f"{agent} chooses by itself: neither the task nor cost.model_overrides names a model"
        )
    return _escalated(attempt, config)


def _escalated(attempt: Attempt, config: Config) -> ModelChoice:
    default = config.cost.default_model
    if not config.cost.optimization_enabled:
        return ModelChoice(default, "cost.optimization_enabled is off: cost.default_model")
    reasons = []
    if attempt.task.critical:
        reasons.append("the task is critical")
    if attempt.number >= ESCALATE_AT:
        reasons.append(f"{attempt.number - 1} attempts failed")
    model = stronger(default, len(reasons))
    if not reasons:
        return ModelChoice(model, "cost.default_model")
    if model == default:
        return ModelChoice(
            model, f"{' and '.join(reasons)}, but nothing stronger than cost.default_model is known"
        )
    return ModelChoice(model, f"stronger than cost.default_model {default}: {' and '.join(reasons)}")


def stronger(model: str, steps: int) -> str:
    """The model some tiers above another; the strongest at most, the same when its tier is unknown."""
    tier = next((place for place, name in enumerate(TIERS) if name in model.lower()), len(TIERS))
    above = min(tier + steps, len(TIERS) - 1)
    return TIERS[above] if above > tier else model
