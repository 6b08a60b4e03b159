"""A project of 300 tasks with ten planted lessons: two help, one harms, seven do nothing.

What is told, kept back, measured and retired is the plugin's own work on a real store; only the agent is
simulated: whether an attempt lands depends on the lessons that its prompt has. An effect of 20 points on a
landing rate of a half is what a lesson such as "run the tests in this way" has where agents otherwise fail.
"""

from __future__ import annotations

import sys
from random import Random
from typing import TYPE_CHECKING

import pytest

from benchmarks.expertise import ATTEMPTS, PLANTED, TASKS, World, live, power
from yoke_expertise.evidence import effects, numbers, revise
from yoke_expertise.memories import Draft, find, save_all
from yoke_expertise.telling import recall
from yokeflow.config import Config
from yokeflow.model import Task

if TYPE_CHECKING:
    from tests.plugins.lab import Lab

_SEED = 3
#: As many of each group as a prompt takes.
_KINDS = ("note", "note", "note", "note", "co_change", "co_change", "conflict", "check", "check", "command")
_TEXTS = (
    "Run the linter before every commit.",
    "Write the failing test first, then the code.",
    "Rewrite modules from scratch instead of editing them.",
    "Prefer tabs in generated configuration.",
    "Templates and their translations change together.",
    "The parser and its grammar table belong to each other.",
    "Keep edits of the changelog small.",
    "Sort imports or the style check complains.",
    "Line endings are checked by the release script.",
    "Use `make fast` for a quick look.",
)


async def _plant(lab: Lab) -> dict[str, int]:
    """Ten lessons that fit every task; their places among the effects, by what they say."""
    drafts = [
        Draft("general", kind, said, categories=("code",), confidence=0.6)
        for kind, said in zip(_KINDS, _TEXTS, strict=True)
    ]
    async with lab.store.begin() as conn:
        await save_all(conn, lab.project, drafts, actor="test")
    return {said: place for place, said in enumerate(_TEXTS)}


async def _live(lab: Lab, world: World, places: dict[str, int]) -> int:
    """Do every task, as the engine would; how many sessions that took."""
    config, sessions = Config(), 0
    for name in lab.tasks:
        chance = world.task()
        for number in range(1, ATTEMPTS + 1):
            attempt = lab.attempt(name, number)
            lab.start(attempt)
            answer = recall(attempt, config, lab.host(attempt))
            told = "\n".join(answer if isinstance(answer, list) else await answer)
            landed, cost = world.attempt(chance, [place for said, place in places.items() if said in told])
            lab.finish(attempt, "completed" if landed else "failed", cost_usd=cost)
            sessions += 1
            if landed:
                lab.land(attempt.task.epic)
                break
        await lab.drain()
        async with lab.store.begin() as conn:
            await revise(conn, lab.project)
    return sessions


def _show(line: str) -> None:
    """Seen with `pytest -s`."""
    sys.stdout.write(f"{line}\n")


@pytest.mark.slow
async def test_what_helps_is_kept_and_what_harms_is_retired(lab: Lab) -> None:
    await lab.plan(*(Task(f"t{n}", f"e{n}", f"Task {n}", category="code") for n in range(TASKS)))
    places = await _plant(lab)
    sessions = await _live(lab, World(Random(_SEED)), places)
    async with lab.store.begin() as conn:
        measured = await effects(conn, lab.project)
        lessons = await find(conn, lab.project, status=())
    status = {}
    _show(f"\n{TASKS} tasks, {sessions} sessions")
    for lesson in sorted(lessons, key=lambda each: places[each.content]):
        place, effect = places[lesson.content], measured[lesson.id]
        status[place] = lesson.status
        truth = f"{100 * PLANTED[place]:+.0f} points"
        _show(f"  {truth:>11}  {lesson.status:<9} {effect.verdict:<8} {numbers(effect)}")
        # Every use was one session, in one arm; the hash keeps about one in eight back.
        assert effect.given + effect.held_out <= sessions
        assert 0.04 < effect.held_out / (effect.given + effect.held_out) < 0.25
    assert [status[0], status[1]] == ["active", "active"]
    assert status[2] == "archived"
    useless = [status[place] for place in range(3, 10)]
    _show(f"  of seven that do nothing, {useless.count('archived')} were retired")


def test_the_rule_is_right_in_most_projects() -> None:
    """The same over 60 other projects, without a store."""
    found = power(60)
    _show(f"\n{found}")
    assert found.right >= 0.85
    assert found.helpful_kept >= 0.95
    assert found.harmful_retired >= 0.9


def test_without_any_effect_lessons_are_seldom_called_harmful() -> None:
    endings = [live(seed, (0.0,) * 10) for seed in range(20)]
    harmful = [verdict for ending in endings for verdict in ending.retired.values() if verdict == "harms"]
    assert len(harmful) / (20 * 10) < 0.12
