"""What plugins promise that decide: resolver, order, profiles, models."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from yokeflow.config import Config
from yokeflow.engine.decisions import answers
from yokeflow.errors import DocumentError, YokeError
from yokeflow.model import BudgetLeft, Plan, Profile, Strategy, Strength
from yokeflow.testing.asked import Asked, valid
from yokeflow.testing.samples import (
    attempts,
    cyclic_plan,
    edges,
    sample_plan,
    sample_resolution,
    wide_plan,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yokeflow.model import Resolution, Task

#: Called at every start of a task, so it must be quick even for a thousand ready ones.
_ORDER_SECONDS = 1.0
_PROFILES = {
    "writer": {"categories": ["api"], "escalates_to": "senior"},
    "senior": {"lowest_tier": "powerful", "files": ["src/**"]},
}
_TIERS = {"", "fast", "balanced", "powerful"}


def check_resolver(plugin: object, config: Config | None = None) -> None:
    """Check `resolve_dependencies`: complete, true to the plan, the same every time, and quick.

    A plugin may leave a plan to others by answering None.
    """
    asked = Asked(plugin, config)
    asked.needs("resolve_dependencies")
    plan = sample_plan()
    for found in (plan, wide_plan(), Plan((), plan.path)):
        for strategy in Strategy:
            _check_resolution(asked, found, (), strategy)
    _check_resolution(asked, plan, ("shop.base", "shop.left", "tools.one"), Strategy.BY_EPIC)
    _check_resolution(asked, plan, tuple(plan.tasks), Strategy.BY_EPIC)
    loop = cyclic_plan()
    try:
        answer = asked.now("resolve_dependencies", plan=loop, finished=(), learned={})
    except DocumentError:
        return
    assert answer is None, "resolve_dependencies: a cycle raises DocumentError"


def _check_resolution(asked: Asked, plan: Plan, finished: tuple[str, ...], strategy: Strategy) -> None:
    parallel = asked.config.parallel.model_copy(update={"strategy": strategy})
    given: dict[str, Any] = {
        "plan": plan,
        "finished": finished,
        "learned": {"shop.left": 30.0},
        "config": asked.config.model_copy(update={"parallel": parallel}),
    }
    answer: Resolution | None = asked.now("resolve_dependencies", **given)
    valid(answer, lambda told: answers.resolution(told, plan, finished), "resolve_dependencies")
    if answer is None:
        return
    assert answer == asked.now("resolve_dependencies", **given), "the same plan gives the same resolution"
    todo = plan.tasks.keys() - set(finished)
    for name in todo:
        wanted = edges(plan, plan.tasks[name], Strength.HARD) & todo
        assert wanted <= answer.hard[name], f"`hard` of {name} leaves out {min(wanted - answer.hard[name])}"
        assert answer.remaining[name] >= answer.durations[name] >= 0, (
            f"`remaining` of {name} is less than it takes"
        )
        assert answer.lanes[name], f"{name} has no lane"
    placed = [name for batch in answer.batches for name in batch]
    assert sorted(placed) == sorted(todo), "`batches` holds every unfinished task once"
    level = {name: number for number, batch in enumerate(answer.batches) for name in batch}
    early = [name for name in todo if any(level[each] >= level[name] for each in answer.hard[name])]
    assert not early, f"`batches` puts {early[0]} not after all that it waits for"
    assert set(answer.critical_path) <= todo, "`critical_path` is made of unfinished tasks"


def check_order(plugin: object, config: Config | None = None) -> None:
    """Check `order_ready`: ids of ready tasks, each at most once, at once, whatever is ready."""
    asked = Asked(plugin, config)
    asked.needs("order_ready")
    for plan in (sample_plan(), wide_plan(100, 10)):
        resolution = sample_resolution(plan)
        tasks = tuple(plan.tasks.values())
        for ready in ((), tasks[:1], tasks[::3], tasks[::-1], tasks):
            _check_order(asked, ready, resolution)


def _check_order(asked: Asked, ready: Sequence[Task], resolution: Resolution) -> None:
    answer = asked.now("order_ready", seconds=_ORDER_SECONDS, ready=ready, resolution=resolution)
    valid(answer, lambda told: answers.order(told, ready), "order_ready")
    assert answer is None or len(answer) >= bool(ready), "order_ready: tasks are ready, and none may start"


def check_profiles(plugin: object, config: Config | None = None) -> None:
    """Check `select_profile`: a Profile with a name or None, and the same one every time.

    `config` holds profiles that the plugin knows. An unknown one is refused by a YokeError or by None.
    """
    asked = Asked(plugin, config or Config.model_validate({"agents": {"profiles": _PROFILES}}))
    asked.needs("select_profile")
    for task in sample_plan().tasks.values():
        for number in (1, 2, 5):
            answer = asked.now("select_profile", task=task, number=number)
            valid(answer, answers.profile, "select_profile")
            again = asked.now("select_profile", task=task, number=number)
            assert answer == again, f"select_profile: attempt {number} at {task.id} gets now this, now that"
            _check_profile(answer)
    stranger = replace(task, profile="there-is-no-such-profile")
    with suppress(YokeError):
        valid(asked.now("select_profile", task=stranger, number=1), answers.profile, "select_profile")


def _check_profile(profile: Profile | None) -> None:
    if profile is not None:
        lists = (profile.always, profile.never, profile.skills, profile.may_change, profile.must_not_change)
        assert all(isinstance(each, tuple) for each in lists), "lists of a profile are tuples"


def check_model_selection(plugin: object, config: Config | None = None) -> None:
    """Check `select_model`: a ModelChoice with its reason or None, for every agent, attempt and budget."""
    asked = Asked(plugin, config)
    asked.needs("select_model")
    profile = Profile("writer", lowest_tier="balanced", highest_tier="balanced")
    budgets = (None, BudgetLeft("run", "usd", 10.0, 1.0), BudgetLeft("day", "tokens", 1000, 1000))
    for agent in ("claude", "codex", "shell", "unheard-of"):
        for attempt in attempts(agent=agent):
            for budget in budgets:
                for each in (attempt, replace(attempt, profile=profile)):
                    answer = asked.now("select_model", attempt=each, agent=agent, budget=budget)
                    _check_choice(answer)


def _check_choice(answer: object) -> None:
    valid(answer, answers.model, "select_model")
    if answer is None:
        return
    reason, tier, details = (getattr(answer, name) for name in ("reason", "tier", "details"))
    assert reason.strip(), "select_model: a choice has a reason"
    assert tier in _TIERS, f"select_model: {tier!r} is no tier"
    assert isinstance(json.dumps(dict(details), allow_nan=False), str), "`details` can be written as JSON"
