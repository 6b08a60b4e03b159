"""The order of decision: what somebody named, what is known of tiers, what the budget lets through."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import yoke_models
from yoke_models.choose import Case, choose
from yoke_models.evidence import Cell, Evidence, Tally
from yoke_models.tiers import ORDER, kind_of, known, tier_of_session
from yokeflow.config import Config
from yokeflow.events import Event
from yokeflow.hookspecs import hookimpl
from yokeflow.model import Attempt, BudgetLeft, ModelChoice, Profile, Task
from yokeflow.plugin_manager import PluginManager

AGENTS = {"options": {"careful": {"kind": "claude"}, "mine": {"kind": "command"}}}
CODEX = {"codex": {"fast": "gpt-mini", "powerful": "gpt-max"}}


def decide(
    *,
    number: int = 1,
    agent: str = "claude",
    cost: Mapping[str, object] | None = None,
    models: Mapping[str, object] | None = None,
    profile: Profile | None = None,
    budget: BudgetLeft | None = None,
    evidence: Evidence | None = None,
    failed: tuple[str, ...] = (),
    run: str = "r",
    default: str = "claude",
    **fields: object,
) -> ModelChoice:
    config = Config.model_validate(
        {"cost": cost or {}, "models": models or {}, "agents": {**AGENTS, "default": default}}
    )
    task = Task(**{"id": "a.1", "epic": "a", "title": "t", **fields})  # type: ignore[arg-type] # keywords
    attempt = Attempt(task, number, "s", run, profile=profile)
    return choose(Case(attempt, agent, config, budget, evidence or Evidence(), failed))


def seen(**tiers: tuple[int, int]) -> Evidence:
    """Small tasks of category `code`, by tier: how many landed and how many failed, at list prices."""
    evidence = Evidence()
    for tier, (landed, failed) in tiers.items():
        count, price = landed + failed, {"fast": 0.1, "balanced": 0.3, "powerful": 0.5}[tier]
        evidence.add(
            Cell("claude", tier, "code", "small"), Tally(landed, failed, cost=price * count, priced=count)
        )
    return evidence


EVERYTHING = {
    "critical_override": "claude-x",
    "priority_overrides": {"critical": "claude-y"},
    "model_overrides": {"docs": "claude-z"},
    "optimization_enabled": False,
    "default_model": "haiku",
}
NAMED = Profile("writer", model="claude-w")


@pytest.mark.parametrize(
    ("fields", "expected", "rule"),
    [
        ({"model": "m", "profile": NAMED}, "m", "task.model"),
        ({"profile": NAMED}, "claude-w", "profile.model"),
        ({}, "claude-x", "cost.critical_override"),
        ({"critical": False}, "claude-y", "cost.priority_overrides"),
        ({"critical": False, "priority": 5}, "claude-z", "cost.model_overrides"),
        ({"critical": False, "priority": 5, "category": "code"}, "haiku", "cost.default_model"),
    ],
)
def test_each_rule_comes_before_the_next(fields, expected, rule):
    choice = decide(cost=EVERYTHING, **{"critical": True, "priority": 0, "category": "docs", **fields})
    assert (choice.model, choice.details["rule"]) == (expected, rule)


def test_what_is_named_stays_after_failures_and_with_little_money():
    little = BudgetLeft("run", "usd", 10.0, 9.9)
    assert decide(model="haiku", number=3, budget=little).model == "haiku"
    overrides = {"model_overrides": {"docs": "opus"}}
    assert decide(category="docs", number=3, cost=overrides, budget=little).model == "opus"


def test_a_tier_may_stand_wherever_a_model_may():
    assert decide(model="powerful") == ModelChoice(
        "opus", "the task names it", "powerful", decide(model="powerful").details
    )
    assert decide(profile=Profile("p", model="fast")).model == "haiku"
    assert decide(critical=True, cost={"critical_override": "powerful"}).model == "opus"
    assert decide(cost={"optimization_enabled": False, "default_model": "fast"}).model == "haiku"
    assert decide(model="claude-sonnet-4-5").tier == "balanced"
    assert decide(model="in-house").tier == ""


@pytest.mark.parametrize(
    ("word", "priority", "counts"),
    [
        *(("critical", 0, True), ("high", 2, True), ("normal", 5, True), ("low", 8, True), ("7", 7, True)),
        *(("low", 7, False), ("high", 5, False), ("7", 6, False)),
    ],
)
def test_priorities_are_spelt_as_in_the_plan(word, priority, counts):
    choice = decide(priority=priority, cost={"priority_overrides": {word: "special"}})
    assert (choice.model == "special") == counts


def test_agents_without_tiers_choose_by_themselves_unless_told():
    assert decide(agent="codex", number=3, critical=True).model == ""
    assert decide(agent="mine", cost={"optimization_enabled": False}).model == ""
    assert decide(agent="mine", model="powerful").model == ""
    assert decide(agent="codex", model="gpt-5").model == "gpt-5"
    assert decide(agent="mine", category="docs", cost={"model_overrides": {"docs": "small"}}).model == "small"
    assert decide(agent="careful").tier in ORDER


def test_an_agent_with_some_tiers_takes_the_nearest():
    def chosen(**more):
        return decide(agent="codex", models={"tiers": CODEX}, **more).model

    assert chosen(model="balanced") == "gpt-max"
    assert chosen(cost={"optimization_enabled": False}) == "gpt-max"
    assert chosen(category="docs", cost={"model_overrides": {"docs": "haiku"}}) == "gpt-mini"
    assert chosen() in {"gpt-mini", "gpt-max"}
    assert chosen(number=3, failed=("fast", "fast")) == "gpt-max"


def test_a_model_of_another_kind_stands_for_its_tier_whoever_is_the_default():
    docs, mine = {"model_overrides": {"docs": "haiku"}}, {"mine": {"fast": "tiny", "powerful": "huge"}}
    alone = decide(agent="mine", default="mine", category="docs", cost=docs)
    assert (alone.model, alone.details["rule"]) == ("", "cost.model_overrides")
    assert "models.tiers names no models of command" in alone.reason
    assert (
        decide(agent="mine", default="mine", category="docs", cost=docs, models={"tiers": mine}).model
        == "tiny"
    )
    full = {"model_overrides": {"docs": "claude-haiku-4-5"}}
    assert decide(agent="mine", default="mine", category="docs", cost=full).model == ""
    off = {"optimization_enabled": False, "default_model": "sonnet"}
    assert decide(agent="mine", default="mine", cost=off, models={"tiers": mine}).model == "huge"


def test_an_agents_own_tiers_come_before_those_of_its_kind():
    tiers = {"careful": {"fast": "sonnet", "powerful": "opus"}, "command": {"fast": "small"}}
    assert decide(agent="careful", model="fast", models={"tiers": tiers}).model == "sonnet"
    assert decide(agent="claude", model="fast", models={"tiers": tiers}).model == "haiku"
    assert decide(agent="mine", model="fast", models={"tiers": tiers}).model == "small"
    own = {**tiers, "mine": {"fast": "tiny"}}
    assert decide(agent="mine", model="fast", models={"tiers": own}).model == "tiny"
    # What sonnet did as the balanced model of `claude` says nothing about it as the fast one of `careful`.
    config = Config.model_validate({"agents": AGENTS, "models": {"tiers": tiers}})
    assert (kind_of("careful", config), kind_of("mine", config)) == ("careful", "command")
    assert tier_of_session("careful", "sonnet", "", config) == "fast"


def test_a_profiles_model_goes_to_no_other_kind_of_agent():
    role = Profile("p", model="opus")
    assert decide(profile=role).model == "opus"
    assert decide(agent="careful", profile=role).model == "opus"
    assert decide(agent="codex", models={"tiers": CODEX}, profile=role).model == "gpt-max"
    alone = decide(agent="codex", profile=role)
    assert (alone.model, alone.details["rule"]) == ("", "profile.model")
    assert "names no models of codex" in alone.reason
    assert decide(agent="codex", profile=Profile("p", model="claude-opus-4-5")).model == ""
    # It was named for such an agent, or is nobody else's.
    assert decide(agent="mine", profile=Profile("p", model="opus", agent="mine")).model == "opus"
    assert (
        decide(agent="codex", models={"tiers": CODEX}, profile=Profile("p", model="gpt-x")).model == "gpt-x"
    )
    # The bounds are for what is chosen, not for what the profile itself names.
    assert decide(profile=Profile("p", model="opus", highest_tier="fast")).model == "opus"
    assert decide(agent="codex", category="docs", cost={"model_overrides": {"docs": "opus"}}).model == ""


@given(
    st.sampled_from(["", *ORDER]),
    st.sampled_from(["", *ORDER]),
    st.integers(1, 4),
    st.text("abc", max_size=3),
    st.floats(0, 10),
)
def test_a_profile_bounds_the_tiers(low, high, number, run, used):
    bounded = Profile("p", lowest_tier=low, highest_tier=high)
    budget = BudgetLeft("run", "usd", 10.0, used)
    cases: tuple[dict[str, Any], ...] = (
        {},
        {"critical": True, "cost": {"critical_override": "powerful"}},
    )
    for more in cases:
        tier = decide(profile=bounded, number=number, run=run, budget=budget, **more).tier
        lowest, highest = ORDER.index(low or "fast"), ORDER.index(high or "powerful")
        if lowest <= highest:
            assert lowest <= ORDER.index(tier) <= highest
        else:
            assert tier in ORDER


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        (("fast", "fast"), {"balanced", "powerful"}),
        (("fast", "balanced"), {"powerful"}),
        (("balanced", "fast"), {"powerful"}),
        (("powerful", "powerful"), {"powerful"}),
    ],
)
def test_from_the_third_attempt_on_a_stronger_tier_is_taken(failed, expected):
    evidence = seen(fast=(50, 0), balanced=(50, 0), powerful=(1, 20))
    for run in range(20):
        choice = decide(number=3, failed=failed, category="code", evidence=evidence, run=str(run))
        assert choice.tier in expected
    later = {
        decide(number=3, failed=failed, models={"escalate_at": 4}, run=str(run)).tier for run in range(50)
    }
    assert failed[0] == "powerful" or later - expected


def test_a_failure_lowers_what_is_expected_of_every_tier_and_most_of_the_weak():
    evidence = seen(fast=(30, 10), balanced=(35, 5), powerful=(38, 2))
    fresh = decide(category="code", evidence=evidence).details["tiers"]
    after = decide(category="code", evidence=evidence, number=2, failed=("fast",)).details["tiers"]
    lost = [1 - after[tier]["success"] / fresh[tier]["success"] for tier in ORDER]
    assert lost[0] > lost[1] > lost[2] > 0


def test_little_money_prefers_a_cheaper_tier_that_has_a_chance():
    little, enough = (BudgetLeft("epic", "usd", 10.0, used) for used in (8.5, 7.5))

    def chosen(budget, landed, **more):
        """What the thresholds would have balanced, where fast lands so many of 90."""
        models = {"learn": False, "thresholds": (0.0, 0.9)}
        evidence = seen(fast=(landed, 90 - landed), balanced=(90, 0))
        return decide(category="code", evidence=evidence, budget=budget, models=models, **more)

    assert chosen(enough, 60).tier == chosen(None, 60).tier == "balanced"
    cheaper = chosen(little, 60)
    assert cheaper.tier == "fast"
    assert cheaper.reason == "15% of the epic's budget is left: fast instead of balanced"
    hopeless = chosen(little, 10)
    assert hopeless.tier == "balanced"
    assert "nothing cheaper has a chance" in hopeless.details["notes"][0]
    # Escalation and the bounds of a profile are not for sale.
    assert chosen(little, 60, number=3, failed=("fast", "fast")).tier == "balanced"
    assert chosen(little, 60, profile=Profile("p", lowest_tier="balanced")).tier == "balanced"


def test_the_tier_with_the_lowest_cost_for_a_landed_task_is_learned():
    good, bad = seen(fast=(80, 10), balanced=(80, 4)), seen(fast=(5, 85), balanced=(80, 4))
    assert {decide(category="code", evidence=good, run=str(run)).model for run in range(30)} == {"haiku"}
    assert "haiku" not in {decide(category="code", evidence=bad, run=str(run)).model for run in range(30)}
    assert "by 174 sessions" in decide(category="code", evidence=bad).reason


def test_without_learning_the_thresholds_decide():
    models = {"learn": False}
    assert decide(title="Fix a typo", models=models).model == "haiku"
    assert decide(title="Fix a typo", models={**models, "thresholds": (0.0, 0.9)}).model == "sonnet"
    assert decide(title="Fix a typo", models={**models, "thresholds": (0.0, 0.0)}).model == "opus"
    assert decide(title="Fix a typo", models=models, evidence=seen(fast=(0, 90))).model == "haiku"


def test_chance_belongs_to_a_decision_not_to_their_order():
    tasks = [f"t{place}" for place in range(60)]
    evidence = seen(fast=(3, 3), balanced=(3, 1))

    def chosen(names, **more):
        return {name: decide(id=name, category="code", evidence=evidence, **more) for name in names}

    assert chosen(tasks) == chosen(reversed(tasks))
    assert len({choice.model for choice in chosen(tasks).values()}) > 1
    assert chosen(tasks) != chosen(tasks, run="another")
    seeded = {"models": {"seed": 7}}
    assert chosen(tasks, **seeded) == chosen(tasks, run="another", **seeded)


@given(st.text(max_size=300), st.text(max_size=2000), st.integers(1, 5), st.lists(st.sampled_from(ORDER)))
def test_what_a_choice_was_made_of_is_json_and_short(title, prompt, number, failed):
    everything = " ".join((prompt, "design race deadlock refactor api parser auth schema lock across every"))
    choice = decide(title=title, prompt=everything, number=number, failed=tuple(failed[:9]), critical=True)
    assert len(json.dumps(dict(choice.details))) <= 2048
    assert choice.reason
    assert "\n" not in choice.reason
    for tier, view in choice.details["tiers"].items():
        assert view["model"] == known("claude", Config()).models[tier]
        assert {"successes", "failures", "mean_usd", "success", "per_landed_usd", "draw"} <= set(view)


def test_another_plugin_can_decide_first():
    class Mine:
        @hookimpl(tryfirst=True)
        def select_model(self, attempt: Attempt) -> ModelChoice | None:
            return ModelChoice("mine", "because") if attempt.task.category == "odd" else None

    manager = PluginManager()
    manager.register(yoke_models)
    manager.register(Mine())

    def chosen(category):
        attempt = Attempt(Task(id="t", epic="e", title="t", category=category), 1, "s", "r")
        return manager.hook.select_model(attempt=attempt, agent="claude", config=Config(), budget=None).model

    assert chosen("odd") == "mine"
    assert chosen("even") in {"haiku", "sonnet", "opus"}


def test_a_run_without_a_beginning_is_decided_without_evidence():
    yoke_models.on_event(Event("run.finished", run="unheard of"))
    attempt = Attempt(Task("t", "e", "t"), 1, "s", "unheard of")
    assert yoke_models.select_model(attempt, "claude", Config(), None) is not None
