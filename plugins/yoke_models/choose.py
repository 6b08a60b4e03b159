"""The choice of a model, rule by rule; docs/how-to-models.md tells the order and why."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any, Final

from yoke_models.complexity import Complexity, complexity, tier_by_score
from yoke_models.estimate import Belief, outlooks, per_landed_task
from yoke_models.tiers import ORDER, Known, kind_of, known, tier_elsewhere
from yokeflow.config.values import PRIORITIES
from yokeflow.model import ModelChoice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from yoke_models.estimate import Outlook
    from yoke_models.evidence import Evidence
    from yokeflow.config import Config
    from yokeflow.model import Attempt, BudgetLeft, Task

#: With little money left, a cheaper tier is taken unless it lands less than this share of the chosen's.
_HOPELESS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Case:
    """All that a choice is made of."""

    attempt: Attempt
    agent: str
    config: Config
    budget: BudgetLeft | None
    evidence: Evidence
    #: Tiers that failed at the task since it was last opened, oldest first.
    failed: Sequence[str] = ()

    @property
    def task(self) -> Task:
        return self.attempt.task

    @property
    def bounds(self) -> tuple[str, str]:
        """The weakest and the strongest tier that the profile allows; empty for no bound."""
        profile = self.attempt.profile
        return (profile.lowest_tier, profile.highest_tier) if profile else ("", "")


@dataclass(frozen=True, slots=True)
class _Pick:
    """A tier on the way to a choice."""

    tier: str
    reason: str
    rule: str
    notes: tuple[str, ...] = ()
    tiers: Mapping[str, Any] = field(default_factory=dict)

    def instead(self, tier: str, reason: str) -> _Pick:
        """Another tier, and why."""
        return replace(self, tier=tier, reason=reason, notes=(*self.notes, reason))


def choose(case: Case) -> ModelChoice:
    """The model of an attempt. The same case always gives the same choice."""
    look = complexity(case.task, case.config.models)
    tiers = known(kind_of(case.agent, case.config), case.config)
    return _ordered(case, tiers, look) or by_tier(case, _inside(tiers, case), look)


def _ordered(case: Case, tiers: Known, look: Complexity) -> ModelChoice | None:
    """What somebody named, and agents that choose for themselves; None where it is for the plugin to say."""
    profile, cost = case.attempt.profile, case.config.cost
    if case.task.model:
        return _as_named(case.task.model, tiers, look, "task.model", "the task names it")
    if profile and profile.model:
        reason = f"the profile {profile.name} names it"
        value = _here(profile.model, profile.agent, tiers, case.config)
        return _as_named(value, tiers, look, "profile.model", reason)
    if overrides := _overrides(case):
        value, rule, reason = overrides[0]
        return _overridden(value, case, tiers, look, rule, reason)
    if not tiers.models:
        reason = f"{case.agent} chooses by itself: models.tiers names no models of {tiers.kind}"
        return ModelChoice("", reason, details=_details("agent", look))
    if not cost.optimization_enabled:
        reason = "cost.optimization_enabled is off: cost.default_model"
        return _overridden(cost.default_model, case, tiers, look, "cost.default_model", reason)
    return None


def _overrides(case: Case) -> list[tuple[str, str, str]]:
    """Model or tier, rule and reason of the overrides that the task falls under, the first to count first."""
    cost, task = case.config.cost, case.task
    found = []
    if task.critical and cost.critical_override:
        found.append((cost.critical_override, "cost.critical_override", "the task is critical"))
    for word, value in cost.priority_overrides.items():
        if str(PRIORITIES.get(word.lower(), word)) == str(task.priority):
            found.append((value, "cost.priority_overrides", f"priority {word}"))
    if task.category in cost.model_overrides:
        value = cost.model_overrides[task.category]
        found.append((value, "cost.model_overrides", f"category {task.category}"))
    return [(value, rule, f"{rule} names it: {reason}") for value, rule, reason in found]


def _as_named(value: str, tiers: Known, look: Complexity, rule: str, reason: str) -> ModelChoice:
    """A model as it is spelt, or the one of a tier."""
    details = _details(rule, look)
    if value not in ORDER:
        return ModelChoice(value, reason, tiers.tier_of(value), details)
    if not tiers.models:
        reason = f"{reason}, but models.tiers names no models of {tiers.kind}"
        return ModelChoice("", reason, details=details)
    tier = tiers.nearest(value)
    return ModelChoice(tiers.models[tier], reason, tier, details)


def _overridden(
    value: str, case: Case, tiers: Known, look: Complexity, rule: str, reason: str
) -> ModelChoice:
    """The same within the bounds of the profile; a model of another kind of agent stands for its tier."""
    choice = _as_named(_here(value, "", tiers, case.config), tiers, look, rule, reason)
    tier = tiers.clamp(choice.tier, case.bounds) if choice.tier else ""
    if tier and tier != choice.tier:
        return ModelChoice(tiers.models[tier], f"{reason}, within the profile's tiers", tier, choice.details)
    return choice


def _here(value: str, agent: str, tiers: Known, config: Config) -> str:
    """A model of another kind of agent as its tier, else itself. `agent` is whom it was meant for."""
    meant = kind_of(config.agent_of(agent), config)
    if tiers.tier_of(value) or (agent and meant == tiers.kind):
        return value
    foreign = known(meant, config).tier_of(value) if meant != tiers.kind else ""
    return foreign or tier_elsewhere(value, config) or value


def _inside(tiers: Known, case: Case) -> Known:
    """The tiers that the profile allows; the nearest one where it allows none that the agent has."""
    low, high = (
        ORDER.index(word) if word else place for word, place in zip(case.bounds, (0, 2), strict=True)
    )
    models = {tier: model for tier, model in tiers.models.items() if low <= ORDER.index(tier) <= high}
    if not models:
        tier = tiers.nearest(ORDER[low])
        models = {tier: tiers.models[tier]}
    return Known(tiers.kind, models)


def by_tier(case: Case, tiers: Known, look: Complexity) -> ModelChoice:
    """The choice where nobody named a model."""
    views = outlooks(look, case.task.category, tiers, case.evidence, case.config)
    belief = _believe(case, {tier: view.success for tier, view in views.items()})
    pick = _learned(case, tiers, views) if case.config.models.learn else _by_score(case, tiers, look)
    floor = _floor(case, tiers, pick.tier)
    if ORDER.index(pick.tier) < ORDER.index(floor):
        pick = pick.instead(floor, f"{case.attempt.number - 1} attempts failed: a stronger tier")
    elif case.attempt.number >= case.config.models.escalate_at and pick.tier == list(tiers.models)[-1]:
        pick = replace(pick, notes=(*pick.notes, "no stronger tier is there to escalate to"))
    pick = _paced(case, tiers, pick, floor, belief)
    shown = {
        tier: _shown(view)
        | {"success": round(belief.success(tier), 3), "per_landed_usd": round(worth, 4)}
        | dict(pick.tiers.get(tier, {}))
        for (tier, view), worth in zip(
            views.items(), _worth(case, tiers, views, belief).values(), strict=True
        )
    }
    details = _details(pick.rule, look) | {"tiers": shown, "notes": list(pick.notes)}
    return ModelChoice(tiers.models[pick.tier], pick.reason, pick.tier, details)


def _believe(case: Case, success: Mapping[str, float]) -> Belief:
    """What these shares mean for a task at which some tiers have failed."""
    belief = Belief.of(success)
    for tier in case.failed:
        if tier in success:
            belief = belief.after(tier)
    return belief


def _by_score(case: Case, tiers: Known, look: Complexity) -> _Pick:
    wanted = tier_by_score(look.score, case.config.models)
    tier = tiers.clamp(wanted, ("", ""))
    return _Pick(tier, f"complexity {look.score:.2f} asks for {wanted}", "complexity")


def _learned(case: Case, tiers: Known, views: Mapping[str, Outlook]) -> _Pick:
    """The tier with the lowest expected cost for a landed task, by one draw from what is known of each."""
    drawn = {tier: view.draw(_random(case, tier)) for tier, view in views.items()}
    worth = _worth(case, tiers, views, _believe(case, drawn))
    best = min(worth, key=worth.__getitem__)
    if decided := sum(view.tally.decided for view in views.values()):
        reason = f"{best} lands such tasks for the least, by {decided} sessions of their kind"
    else:
        reason = f"{best} should land it for the least: no history of its kind yet"
    shown = {
        tier: {"draw": round(drawn[tier], 3), "drawn_usd": round(dollars, 4)}
        for tier, dollars in worth.items()
    }
    return _Pick(best, reason, "learned", tiers=shown)


def _worth(case: Case, tiers: Known, views: Mapping[str, Outlook], belief: Belief) -> dict[str, float]:
    """Dollars until the task has landed, by the tier to begin with."""
    left = max(case.config.agents.max_attempts - case.attempt.number + 1, 1)
    cost = {name: view.cost for name, view in views.items()}
    return {tier: per_landed_task(tier, belief, cost, left, tiers.above) for tier in views}


def _random(case: Case, tier: str) -> Random:
    """Chance that belongs to this decision alone, so that the order of decisions does not matter."""
    seed = case.config.models.seed
    run = case.attempt.run if seed is None else seed
    return Random(f"{run}/{case.task.id}/{case.attempt.number}/{tier}")  # noqa: S311 - nothing secret


def _floor(case: Case, tiers: Known, tier: str) -> str:
    """The weakest tier that may be taken after what has failed."""
    if case.attempt.number < case.config.models.escalate_at:
        return next(iter(tiers.models))
    strongest = max(case.failed, key=ORDER.index, default=tier)
    return tiers.above(strongest)


def _paced(case: Case, tiers: Known, pick: _Pick, floor: str, belief: Belief) -> _Pick:
    """The cheapest tier with a chance, where the money runs out."""
    budget = case.budget
    if budget is None or budget.fraction >= case.config.models.pace_below:
        return pick
    left = f"{budget.fraction:.0%} of the {budget.scope}'s budget is left"
    for tier in tiers.below(pick.tier):
        if ORDER.index(tier) < ORDER.index(floor):
            continue
        if belief.success(tier) >= _HOPELESS * belief.success(pick.tier):
            return pick.instead(tier, f"{left}: {tier} instead of {pick.tier}")
    return replace(pick, notes=(*pick.notes, f"{left}, but nothing cheaper has a chance"))


def _details(rule: str, look: Complexity) -> dict[str, Any]:
    return {"rule": rule, "size": look.size, **look.details()}


def _shown(view: Outlook) -> dict[str, Any]:
    mean = view.tally.mean_cost
    return {
        "model": view.model,
        "successes": view.tally.successes,
        "failures": view.tally.failures,
        "mean_usd": None if mean is None else round(mean, 4),
        "expected_usd": round(view.cost, 4),
    }
