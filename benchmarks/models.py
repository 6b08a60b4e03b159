"""What learning which model to take is worth: simulated tasks whose difficulty nobody is told.

What is assumed about the world, and hidden from the plugin:

- A task has a difficulty from 0 to 1, normal around the mean of its category (documentation 0.15 … security
  0.6) with a deviation of 0.15.
- An attempt succeeds with a logistic probability of its tier's ability less the difficulty, 97 % at most.
  Attempts at one task are independent, given its difficulty; a retry, which is told what failed, gains 0.05
  of ability. Abilities are 0.55, 0.64 and 0.72, and differ by category and tier by a normal deviation of
  0.05, which no word of a task tells. So the tiers do some 72, 80 and 86 % of first attempts, further apart
  than public benchmarks of coding agents put them.
- An attempt costs list prices (haiku 1 and 5 dollars for a million tokens in and out, sonnet 3 and 15, opus 5
  and 25) times tokens that grow with difficulty and vary log-normally by 35 %. All tiers need the same
  tokens; an attempt that fails needs a fifth more.

The plugin, and the keyword rules, see a task: words, files, dependencies and, for two in five, an estimate,
drawn by a view of its difficulty that is off by a normal deviation of 0.15. Four tasks make an epic, which
lands when all of them are done; only then does the plugin hear of success. A task is given up after three
attempts. All policies meet the same tasks and the same luck, and escalate as configured: one tier up from the
third attempt on. The plugin begins without any history in each world.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from random import Random
from statistics import correlation
from typing import TYPE_CHECKING, Final

import yoke_models
from benchmarks.report import Row
from yoke_models.complexity import complexity, tier_by_score
from yoke_models.memory import Memory
from yoke_models.tiers import ORDER
from yokeflow.config import Config
from yokeflow.events import Event
from yokeflow.model import Attempt, Dependency, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

TASKS: Final = 2000
SEEDS: Final = 10
ATTEMPTS: Final = 3
EPIC: Final = 4
#: Of categories: share of the tasks, and mean difficulty.
CATEGORIES: Final = {
    "docs": (0.15, 0.15),
    "test": (0.2, 0.3),
    "bugfix": (0.25, 0.4),
    "feature": (0.25, 0.45),
    "refactor": (0.1, 0.5),
    "security": (0.05, 0.6),
}
ABILITY: Final = {"fast": 0.55, "balanced": 0.64, "powerful": 0.72}
#: What a retry gains by being told what failed.
RETOLD: Final = 0.05
#: Dollars for a million tokens, in and out.
PRICES: Final = {"fast": (1.0, 5.0), "balanced": (3.0, 15.0), "powerful": (5.0, 25.0)}
#: Million tokens of a middling attempt; those read from the cache count a tenth.
TOKENS: Final = (0.12, 0.012)
DEVIATION: Final = 0.15
_SLOPE: Final = 0.1
_SUREST: Final = 0.97
_WORDS: Final = {
    # Kinds of words with how many a task has: what all have, and what difficulty adds.
    ("design", "refactor", "investigate", "race", "optimise", "algorithm", "invariant"): (0.0, 4.0),
    ("security", "schema", "transaction", "protocol", "auth", "unicode", "lock"): (0.0, 3.0),
    ("implement", "endpoint", "parser", "api", "test", "module"): (1.0, 2.0),
    ("across", "every", "existing", "legacy", "whole"): (0.0, 2.0),
    ("typo", "readme", "wording", "rename", "comment", "format"): (1.2, -3.0),
}


@dataclass(frozen=True)
class Hidden:
    """A task and what is true about it."""

    task: Task
    difficulty: float
    #: How much a tier's ability exceeds the difficulty, in log-odds.
    odds: Mapping[str, float]
    #: Draws of its attempts: whether each succeeds, and how many tokens it takes.
    luck: tuple[tuple[float, float], ...]

    def success(self, tier: str, number: int = 1) -> float:
        """How likely an attempt lands."""
        told = RETOLD / _SLOPE if number > 1 else 0.0
        return _SUREST / (1 + math.exp(-self.odds[tier] - told))

    def attempt(self, number: int, tier: str) -> tuple[bool, float]:
        """Whether an attempt succeeds, and its dollars."""
        chance, amount = self.luck[number - 1]
        landed = chance < self.success(tier, number)
        tokens = (0.5 + self.difficulty) * amount * (1.0 if landed else 1.2)
        price = sum(count * dollars for count, dollars in zip(TOKENS, PRICES[tier], strict=True))
        return landed, tokens * price


@dataclass
class Tally:
    """How a policy did."""

    landed: int = 0
    tasks: int = 0
    cost: float = 0.0
    first: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ORDER, 0))

    @property
    def per_landed(self) -> float:
        return self.cost / self.landed

    @property
    def rate(self) -> float:
        return self.landed / self.tasks


def world(seed: int, count: int = TASKS) -> list[Hidden]:
    """Tasks in the order in which they come."""
    random = Random(seed)
    skills = {(tier, category): random.gauss(0, 0.05) for tier in ORDER for category in CATEGORIES}
    return [_hidden(random, number, skills) for number in range(count)]


def _hidden(random: Random, number: int, skills: Mapping[tuple[str, str], float]) -> Hidden:
    shares = [share for share, _ in CATEGORIES.values()]
    category = random.choices(list(CATEGORIES), shares)[0]
    difficulty = min(max(random.gauss(CATEGORIES[category][1], DEVIATION), 0.0), 1.0)
    view = min(max(random.gauss(difficulty, DEVIATION), 0.0), 1.0)
    odds = {tier: (ABILITY[tier] + skills[tier, category] - difficulty) / _SLOPE for tier in ORDER}
    luck = tuple((random.random(), random.lognormvariate(0, 0.35)) for _ in range(ATTEMPTS))
    return Hidden(_task(random, number, category, view), difficulty, odds, luck)


def _task(random: Random, number: int, category: str, view: float) -> Task:
    words = [
        word
        for kind, (base, slope) in _WORDS.items()
        for word in random.sample(kind, min(_poisson(random, base + slope * view), len(kind)))
    ]
    minutes = 10 * math.exp(2.5 * view + random.gauss(0, 0.4))
    return Task(
        id=f"t{number}",
        epic=f"e{number // EPIC}",
        title=" ".join(words[:6]) or "Do it",
        prompt=" ".join(words[6:]),
        files=tuple(f"src/{random.randrange(99)}.py" for _ in range(1 + _poisson(random, 4 * view))),
        depends_on=tuple(Dependency(f"d{i}") for i in range(_poisson(random, 1.0))),
        category=category,
        estimate=60 * minutes if random.random() < 0.4 else None,
    )


def _poisson(random: Random, mean: float) -> int:
    count, left = 0, math.exp(-max(mean, 0.0))
    chance = random.random()
    while chance > left:
        chance *= random.random()
        count += 1
    return count


def always_balanced(attempt: Attempt, config: Config) -> str:
    """Sonnet, and opus from the third attempt on."""
    return "balanced" if attempt.number < config.models.escalate_at else "powerful"


def keyword_rules(attempt: Attempt, config: Config) -> str:
    """The tier that the thresholds of the complexity score name, one stronger from the third attempt on."""
    tier = tier_by_score(complexity(attempt.task, config.models).score, config.models)
    up = attempt.number >= config.models.escalate_at
    return ORDER[min(ORDER.index(tier) + up, len(ORDER) - 1)]


def fixed(policy: Callable[[Attempt, Config], str], tasks: Sequence[Hidden], config: Config) -> Tally:
    """What a policy without a memory comes to."""
    tally = Tally(tasks=len(tasks))
    for hidden in tasks:
        for number in range(1, ATTEMPTS + 1):
            tier = policy(Attempt(hidden.task, number, "s", "r"), config)
            landed, cost = hidden.attempt(number, tier)
            tally.cost += cost
            tally.first[tier] += number == 1
            if landed:
                tally.landed += 1
                break
    return tally


def learned(tasks: Sequence[Hidden], config: Config, run: str = "benchmark") -> Tally:
    """What the plugin comes to, from an empty history."""
    memory = Memory(config, {hidden.task.id: hidden.task for hidden in tasks})
    yoke_models._memories[run] = memory  # noqa: SLF001 - what `begin_run` does, without a database
    tally = Tally(tasks=len(tasks))
    for place, hidden in enumerate(tasks):
        for number in range(1, ATTEMPTS + 1):
            landed = _session(hidden, number, run, config, tally)
            if landed:
                tally.landed += 1
                break
        if place % EPIC == EPIC - 1:
            yoke_models.on_event(Event("landing.landed", run=run, epic=hidden.task.epic))
    yoke_models.on_event(Event("run.finished", run=run))
    return tally


def _session(hidden: Hidden, number: int, run: str, config: Config, tally: Tally) -> bool:
    task, session = hidden.task, f"{hidden.task.id}/{number}"
    choice = yoke_models.select_model(Attempt(task, number, session, run), "claude", config, None)
    assert choice is not None
    event = partial(Event, run=run, epic=task.epic, task=task.id, session=session)
    data = {
        "agent": "claude",
        "model": choice.model,
        "tier": choice.tier,
        "choice": choice.details,
        "attempt": number,
    }
    yoke_models.on_event(event("session.started", data=data))
    landed, cost = hidden.attempt(number, choice.tier)
    ended = {"state": "completed" if landed else "failed", "cost_usd": cost}
    yoke_models.on_event(event("session.finished", data=ended))
    tally.cost += cost
    tally.first[choice.tier] += number == 1
    return landed


@dataclass(frozen=True)
class Comparison:
    """One world under the three policies."""

    balanced: Tally
    keywords: Tally
    learned: Tally
    #: Of the complexity score with the hidden difficulty.
    correlation: float


def compare(seed: int, count: int = TASKS) -> Comparison:
    """All policies on the same tasks."""
    tasks, config = world(seed, count), Config.model_validate({"models": {"seed": seed}})
    scores = [complexity(hidden.task, config.models).score for hidden in tasks]
    return Comparison(
        fixed(always_balanced, tasks, config),
        fixed(keyword_rules, tasks, config),
        learned(tasks, config),
        correlation(scores, [hidden.difficulty for hidden in tasks]),
    )


def rows() -> list[Row]:
    """The claims, over all worlds together: worlds differ by what no plugin can know beforehand."""
    found = [compare(seed) for seed in range(1, SEEDS + 1)]
    return [
        _row("always balanced", 0.25, [(each.learned, each.balanced) for each in found]),
        _row("the keyword rules", 0.1, [(each.learned, each.keywords) for each in found]),
    ]


def together(tallies: Iterable[Tally]) -> Tally:
    """Several worlds as one."""
    total = Tally()
    for each in tallies:
        total.landed += each.landed
        total.tasks += each.tasks
        total.cost += each.cost
    return total


def _row(name: str, bar: float, pairs: Sequence[tuple[Tally, Tally]]) -> Row:
    mine, other = (together(side) for side in zip(*pairs, strict=True))
    less = 1 - mine.per_landed / other.per_landed
    each = [1 - ours.per_landed / theirs.per_landed for ours, theirs in pairs]
    return Row(
        f"cost per landed task against {name}, {len(pairs)} simulated worlds of {TASKS:,} tasks",
        f"at least {bar:.0%} less, success rate not lower",
        f"{less:.0%} less ({min(each):.0%} to {max(each):.0%}): ${mine.per_landed:.3f}, not "
        f"${other.per_landed:.3f}; {mine.rate:.2%} landed, not {other.rate:.2%}",
        less >= bar and mine.rate >= other.rate,
    )
