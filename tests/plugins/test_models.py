from __future__ import annotations

import pytest

import yoke_models
from yokeflow.config import Config
from yokeflow.hookspecs import hookimpl
from yokeflow.model import Attempt, ModelChoice, Task
from yokeflow.plugin_manager import PluginManager


def choose(
    *, number: int = 1, agent: str = "claude", cost: dict[str, object] | None = None, **fields: object
) -> ModelChoice:
    config = Config.model_validate(
        {
            "cost": cost or {},
            "agents": {"options": {"careful": {"kind": "claude"}, "mine": {"kind": "command"}}},
        }
    )
    task = Task(id="a.1", epic="a", title="t", **fields)  # type: ignore[arg-type]  # built from keywords
    return yoke_models.select_model(Attempt(task, number, "s", "r"), agent, config)


def test_default_comes_from_the_config() -> None:
    assert choose() == ModelChoice("sonnet", "cost.default_model")
    assert choose(cost={"default_model": "haiku"}).model == "haiku"


def test_a_task_that_names_a_model_has_the_last_word() -> None:
    choice = choose(
        model="haiku", category="docs", critical=True, number=3, cost={"model_overrides": {"docs": "opus"}}
    )
    assert choice == ModelChoice("haiku", "the task names it")


def test_category_overrides_come_before_escalation() -> None:
    choice = choose(category="docs", number=3, cost={"model_overrides": {"docs": "haiku"}})
    assert choice.model == "haiku"
    assert "docs" in choice.reason
    assert choose(category="code", cost={"model_overrides": {"docs": "haiku"}}).model == "sonnet"


@pytest.mark.parametrize(
    ("default", "number", "critical", "expected"),
    [
        ("haiku", 2, False, "haiku"),
        ("haiku", 3, False, "sonnet"),
        ("haiku", 1, True, "sonnet"),
        ("haiku", 3, True, "opus"),
        ("sonnet", 3, True, "opus"),
        ("opus", 3, True, "opus"),
        ("claude-haiku-4-5", 3, False, "sonnet"),
        ("claude-opus-4-1", 3, False, "claude-opus-4-1"),
        ("in-house", 3, False, "in-house"),
    ],
)
def test_failures_and_critical_tasks_take_a_stronger_tier(
    default: str, number: int, critical: bool, expected: str
) -> None:
    choice = choose(number=number, critical=critical, cost={"default_model": default})
    assert choice.model == expected
    assert ("2 attempts failed" in choice.reason) == (number == 3)
    assert ("critical" in choice.reason) == critical


def test_without_optimization_the_default_stays() -> None:
    assert choose(number=3, critical=True, cost={"optimization_enabled": False}).model == "sonnet"


def test_other_agents_choose_by_themselves_unless_told() -> None:
    assert choose(agent="codex", number=3, critical=True).model == ""
    assert choose(agent="mine").model == ""
    assert choose(agent="codex", model="gpt-5").model == "gpt-5"
    assert choose(agent="mine", category="docs", cost={"model_overrides": {"docs": "small"}}).model == "small"
    assert choose(agent="careful").model == "sonnet"


def test_another_plugin_can_decide_first() -> None:
    class Mine:
        @hookimpl(tryfirst=True)
        def select_model(self, attempt: Attempt) -> ModelChoice | None:
            return ModelChoice("mine", "because") if attempt.task.category == "odd" else None

    manager = PluginManager()
    manager.register(yoke_models)
    manager.register(Mine())
    tasks = {name: Task(id=name, epic="e", title="t", category=name) for name in ("odd", "even")}
    chosen = {
        name: manager.hook.select_model(
            attempt=Attempt(task, 1, "s", "r"), agent="claude", config=Config()
        ).model
        for name, task in tasks.items()
    }
    assert chosen == {"odd": "mine", "even": "sonnet"}
