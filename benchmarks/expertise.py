"""How often lessons are judged rightly: many simulated projects through the rule that retires lessons.

A project has 300 tasks of differing difficulty and ten lessons that apply to all of them: two help, one
harms, seven do nothing. A task gets up to three attempts; an attempt lands with the task's own probability,
moved by what the lessons it was told do, and costs a log-normal sum. Every lesson is judged after every
session, as the plugin does, so the rates below include the harm of looking often.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from benchmarks.report import Row
from yoke_expertise.verdict import Arms, held_out, judge, spread_of

if TYPE_CHECKING:
    from collections.abc import Sequence

TASKS: Final = 300
ATTEMPTS: Final = 3
#: One in so many uses of a lesson is held out.
HOLDOUT: Final = 8
#: What the ten planted lessons do to the probability of landing.
PLANTED: Final = (0.2, 0.2, -0.2, *(0.0,) * 7)
#: Landing rate of a session without any lesson, over tasks, and its spread over tasks.
BASE: Final = 0.5
DIFFICULTY: Final = 0.12
COST: Final = (0.4, 0.6)
SEEDS: Final = 200


@dataclass
class World:
    """What is true of a simulated project; the rule sees only what happens."""

    random: Random
    effects: Sequence[float] = PLANTED

    def task(self) -> float:
        """The probability of one task's attempts to land without lessons."""
        return min(max(self.random.gauss(BASE, DIFFICULTY), 0.05), 0.95)

    def attempt(self, task: float, given: Sequence[int]) -> tuple[bool, float]:
        """Whether an attempt lands, and its dollars."""
        chance = min(max(task + sum(self.effects[lesson] for lesson in given), 0.02), 0.98)
        dollars = COST[0] * math.exp(self.random.gauss(0.0, COST[1]))
        return self.random.random() < chance, round(dollars, 6)


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of the lessons of one project."""

    #: By number of the lesson: why it was retired.
    retired: dict[int, str]
    #: By number of the lesson: after how many sessions.
    when: dict[int, int]
    sessions: int
    landed: int

    @property
    def right(self) -> bool:
        """The two that help are kept, the one that harms is retired."""
        return 2 in self.retired and not {0, 1} & set(self.retired)


def live(seed: int, effects: Sequence[float] = PLANTED, tasks: int = TASKS) -> Ending:
    """One project from its first task to its last."""
    world = World(Random(seed), effects)
    arms = {lesson: Arms() for lesson in range(len(effects))}
    retired: dict[int, str] = {}
    when: dict[int, int] = {}
    sessions = landings = 0
    for task in range(tasks):
        chosen = [lesson for lesson in arms if lesson not in retired]
        kept = {lesson for lesson in chosen if held_out(f"{seed}:{lesson}", f"t{task}", HOLDOUT)}
        chance = world.task()
        for _ in range(ATTEMPTS):
            landed, cost = world.attempt(chance, [lesson for lesson in chosen if lesson not in kept])
            sessions, landings = sessions + 1, landings + landed
            for lesson in chosen:
                arms[lesson] = _with(arms[lesson], held=lesson in kept, landed=landed, cost=cost)
            spread = spread_of(arms.values())
            for lesson in set(chosen) - set(retired):
                verdict, _ = judge(arms[lesson], spread)
                if verdict in {"harms", "useless"}:
                    retired[lesson], when[lesson] = verdict, sessions
            if landed:
                break
    return Ending(retired, when, sessions, landings)


def _with(arms: Arms, *, held: bool, landed: bool, cost: float) -> Arms:
    if held:
        return Arms(arms.given, arms.held_out.plus(landed=landed, cost_usd=cost))
    return Arms(arms.given.plus(landed=landed, cost_usd=cost), arms.held_out)


@dataclass(frozen=True, slots=True)
class Power:
    """Shares of the simulated projects or lessons."""

    right: float
    helpful_kept: float
    harmful_retired: float
    useless_retired: float
    #: Mean sessions until the harmful lesson was retired.
    until: float


def power(seeds: int = SEEDS, effects: Sequence[float] = PLANTED, tasks: int = TASKS) -> Power:
    """How often the rule is right over many projects."""
    endings = [live(seed, effects, tasks) for seed in range(seeds)]
    gone = Counter(lesson for ending in endings for lesson in ending.retired)
    until = [ending.when[2] for ending in endings if 2 in ending.when]
    return Power(
        right=sum(ending.right for ending in endings) / seeds,
        helpful_kept=1 - (gone[0] + gone[1]) / (2 * seeds),
        harmful_retired=gone[2] / seeds,
        useless_retired=sum(gone[lesson] for lesson in range(3, len(effects))) / (seeds * (len(effects) - 3)),
        until=sum(until) / len(until) if until else math.nan,
    )


def rows() -> list[Row]:
    """Power at effects of 20 points, and how it falls at 10."""
    strong = power()
    weak = power(effects=(0.1, 0.1, -0.1, *(0.0,) * 7))
    return [_row("20", strong, bar=0.9), _row("10", weak, bar=0.5)]


def _row(points: str, found: Power, bar: float) -> Row:
    measured = (
        f"{found.right:.0%}; each helpful one kept {found.helpful_kept:.0%}, the harmful one retired "
        f"{found.harmful_retired:.0%} (after {found.until:.0f} sessions), "
        f"useless ones {found.useless_retired:.0%}"
    )
    claim = f"lessons of ±{points} points in {SEEDS} projects of {TASKS} tasks: helpful kept, harmful retired"
    return Row(claim, f"≥ {bar:.0%}", measured, found.right >= bar)
