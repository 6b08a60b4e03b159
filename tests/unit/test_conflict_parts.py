"""What is decided and told about a conflict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import yoke_conflicts
from yokeflow.config import Config
from yokeflow.engine.conflicts.prompt import build_prompt, for_a_person
from yokeflow.engine.decisions.decide import Decisions
from yokeflow.engine.recorder import Recorder
from yokeflow.events import Event
from yokeflow.hookspecs import hookimpl
from yokeflow.model import ConflictDecision
from yokeflow.plugin_manager import PluginManager
from yokeflow.store.journal import Journal
from yokeflow.testing import attempts
from yokeflow.testing.conflicts import conflicts

CONFLICT, BY_A_PERSON, UNRELATED = conflicts()
ABOUT = attempts()[0]


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def recorder(tmp_path: Path, events: list[Event]) -> Recorder:
    return Recorder("r", Journal(tmp_path / "journal"), [events.append])


def decisions(*plugins: object, config: Config | None = None) -> Decisions:
    """With these plugins, of which the last is asked first."""
    manager = PluginManager()
    for number, plugin in enumerate(plugins):
        manager.register(plugin, f"plugin{number}")
    return Decisions(manager, config or Config())


def answering(answer: Any) -> SimpleNamespace:
    async def resolve_conflict() -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return SimpleNamespace(resolve_conflict=hookimpl(resolve_conflict))


@pytest.mark.parametrize("strategy", ["manual", "agent", "retry_later"])
async def test_the_settings_decide_where_no_plugin_does(recorder: Recorder, strategy: str) -> None:
    config = Config.model_validate({"landing": {"conflicts": strategy, "conflict_agent": "fixer"}})
    decide = decisions(yoke_conflicts, answering(None), config=config)
    decision = await decide.conflict(CONFLICT, ABOUT, recorder)
    assert (decision.strategy, decision.agent) == (strategy, "fixer")


async def test_without_any_plugin_a_person_is_asked(recorder: Recorder) -> None:
    assert (await decisions().conflict(CONFLICT, ABOUT, recorder)).strategy == "manual"


async def test_the_first_answer_counts(recorder: Recorder) -> None:
    wanted = ConflictDecision("retry_later", reason="soon")
    decide = decisions(yoke_conflicts, answering(RuntimeError()), answering(wanted))
    assert await decide.conflict(CONFLICT, ABOUT, recorder) == wanted


@pytest.mark.parametrize("answer", [RuntimeError("lost"), "agent", ConflictDecision("ours")])  # type: ignore[arg-type]
async def test_after_a_failure_no_other_plugin_is_asked(
    recorder: Recorder, events: list[Event], answer: Any
) -> None:
    config = Config.model_validate({"landing": {"conflicts": "agent"}})
    decision = await decisions(yoke_conflicts, answering(answer), config=config).conflict(
        CONFLICT, ABOUT, recorder
    )
    assert decision.strategy == "manual"
    assert "plugin1" in decision.reason
    assert [(event.type, event.epic, event.data["hook"]) for event in events] == [
        ("plugin.failed", "shop", "resolve_conflict")
    ]


def test_an_agent_is_told_of_both_sides() -> None:
    prompt = build_prompt(CONFLICT, ["make test"])
    for told in (
        "# Resolve the conflicts of shop with main",
        "- `src/app.py`",
        CONFLICT.messages,
        CONFLICT.tip,
        CONFLICT.target_commit,
        f"where both started: `{CONFLICT.base}`",
        "Do shop.left and test it.",
        "Do docs.one and test it.",
        "- `make test`",
    ):
        assert told in prompt


def test_an_agent_is_told_nothing_that_nobody_knows() -> None:
    prompt = build_prompt(UNRELATED, [])
    for heading in ("What git says", "Checks that must pass", "where both started"):
        assert heading not in prompt
    by_a_person = build_prompt(BY_A_PERSON, [])
    assert "came to `main` first" not in by_a_person
    assert "`555555555555` Hurry" in by_a_person


def test_a_person_is_told_what_to_type_where() -> None:
    headline, why, said, _, *typed = for_a_person(CONFLICT, ["it was tried"], Path("/w/a b")).splitlines()
    assert (headline, why, said) == (
        "shop conflicts with main in src/app.py",
        "it was tried",
        CONFLICT.messages,
    )
    assert typed[0] == "  git -C '/w/a b' merge main"
    assert typed[-1] == "  yoke land shop"
    assert "  git switch epic/shop" in for_a_person(CONFLICT, [], None).splitlines()


def test_a_person_is_told_whose_work_the_next_task_cannot_take_in() -> None:
    taken = replace(CONFLICT, taken="docs.one", other_tasks=CONFLICT.other_tasks * 7)
    there, *_, last = for_a_person(taken, [], None, landed=True).splitlines()
    names = ", ".join(["docs.one"] * 5)
    said = f"what is on main conflicts with the work of shop in src/app.py, changed there by {names}, 2 more"
    assert there == said
    assert last == f"  yoke retry {CONFLICT.tasks[-1].id}"
    beside = for_a_person(taken, [], None).splitlines()[0]
    assert beside == "the work of docs.one conflicts with that of shop in src/app.py"
