"""What a tier is expected to achieve and to cost, from the guess by complexity and from the evidence.

Success is a Beta posterior, narrowed down in three steps, from all sessions of the tier, to those of tasks
of the same size, to those of the same category and size. Each step takes the mean of the one before as a
prior that weighs `models.prior_sessions` sessions, and adds its own; so a category without a history borrows
from its size, and a size without one from all. Sessions of other sizes say little about this one: in the
first step they count for no more than the guess does. The guess is the score against the thresholds.

Cost goes the same way. What it starts from is the price of the tier times what other tiers have taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

from yoke_models.evidence import Cell
from yoke_models.tiers import price

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from yoke_models.complexity import Complexity
    from yoke_models.evidence import Evidence, Tally
    from yoke_models.tiers import Known
    from yokeflow.config import Config

#: How sharply the guess falls around a threshold.
_SLOPE: Final = 0.15
#: Success that is guessed at a tier's own threshold.
_AT_THRESHOLD: Final = 0.6
#: Neither certain success nor certain failure is ever guessed.
_SUREST: Final = 0.95
_SUREST_DRAW: Final = 0.999
#: Dollars of a session on a model at 1 $ for a million tokens read and as many written, before any is known.
_FIRST_COST: Final = 0.03
#: How much tasks that look alike differ in difficulty, in log-odds of success (a standard deviation).
_SPREAD: Final = 1.25
#: Difficulties of equally many such tasks, the easiest first.
_NODES: Final = tuple(_SPREAD * NormalDist().inv_cdf((place + 0.5) / 7) for place in reversed(range(7)))
#: What a person costs who takes over a task that was given up, in sessions of the strongest tier.
_PERSON: Final = 20.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is expected of one tier at one task."""

    tier: str
    model: str
    #: Of category and size.
    tally: Tally
    #: The posterior: Beta(alpha, beta).
    alpha: float
    beta: float
    #: Dollars of one session.
    cost: float

    @property
    def success(self) -> float:
        """Expected share of first attempts that land."""
        return self.alpha / (self.alpha + self.beta)

    def draw(self, random: Random) -> float:
        """One possible truth about that share."""
        return min(max(random.betavariate(self.alpha, self.beta), 1 - _SUREST_DRAW), _SUREST_DRAW)


def outlooks(
    look: Complexity,
    category: str,
    tiers: Known,
    evidence: Evidence,
    config: Config,
) -> dict[str, Outlook]:
    """What is expected of each tier at a task that nobody has tried."""
    made = {}
    for tier, model in tiers.models.items():
        cell = Cell(tiers.kind, tier, category, look.size)
        mean, weight = _success(look.score, cell, evidence, config)
        cost = _cost(cell, tiers, evidence, config)
        made[tier] = Outlook(tier, model, evidence.of(cell), mean * weight, (1 - mean) * weight, cost)
    return made


def guess(score: float, tier: str, thresholds: tuple[float, float]) -> float:
    """Share of sessions that land, guessed from complexity: falls with it, and rises with the tier."""
    medium, large = thresholds
    limit = {"fast": medium, "balanced": large, "powerful": 2 * large - medium}[tier]
    odds = (limit - score) / _SLOPE + math.log(_AT_THRESHOLD / (1 - _AT_THRESHOLD))
    return min(max(1 / (1 + math.exp(-odds)), 1 - _SUREST), _SUREST)


@dataclass(frozen=True, slots=True)
class Belief:
    """How likely each tier does one task, for each difficulty that it may have.

    Tasks that look alike differ. A tier that fails makes it likely that this one is of the difficult ones:
    that lowers what is expected of every tier, and most of the one that failed and of weaker ones.
    """

    #: By tier, for each of the difficulties.
    chances: Mapping[str, tuple[float, ...]]
    #: How likely each difficulty is; they need not make 1.
    weights: tuple[float, ...] = (1 / len(_NODES),) * len(_NODES)

    @classmethod
    def of(cls, success: Mapping[str, float]) -> Belief:
        """From the share of all such tasks that each tier does."""
        return cls({tier: tuple(_at(share, node) for node in _NODES) for tier, share in success.items()})

    def after(self, failed: str) -> Belief:
        """The same once a tier has failed; the sum of the weights falls to how likely that was."""
        left = zip(self.weights, self.chances[failed], strict=True)
        return Belief(self.chances, tuple(weight * (1 - chance) for weight, chance in left))

    def success(self, tier: str) -> float:
        """What is expected of a tier now."""
        done = zip(self.weights, self.chances[tier], strict=True)
        return sum(weight * chance for weight, chance in done) / self.likely

    @property
    def likely(self) -> float:
        """How likely all this was."""
        return sum(self.weights)


def per_landed_task(
    start: str, belief: Belief, cost: Mapping[str, float], attempts: int, above: Callable[[str], str]
) -> float:
    """Dollars until a task has landed that starts with a tier and takes the next stronger when that fails.

    A task that is given up after `attempts` lands, too, by the hands of a person.
    """
    tier, before, spent = start, belief.likely, 0.0
    for _ in range(attempts):
        spent += belief.likely * cost[tier]
        belief = belief.after(tier)
        tier = above(tier)
    return (spent + belief.likely * _PERSON * cost[above(above(tier))]) / before


def _at(share: float, node: float) -> float:
    """The chance at one difficulty, where `share` is the mean over all."""
    middle = math.log(share / (1 - share)) * math.sqrt(1 + math.pi * _SPREAD**2 / 8)
    return 1 / (1 + math.exp(-middle - node))


def _success(score: float, cell: Cell, evidence: Evidence, config: Config) -> tuple[float, float]:
    """Mean and weight of the posterior."""
    weight = config.models.prior_sessions
    everything = evidence.of(cell._replace(category=None, size=None))
    mean = guess(score, cell.tier, config.models.thresholds)
    share = min(1.0, weight / max(everything.successes + everything.doubt, weight))
    mean = _updated(mean, weight, everything, share)
    for tally in (evidence.of(cell._replace(category=None)), evidence.of(cell)):
        mean = _updated(mean, weight, tally)
    own = evidence.of(cell)
    return mean, weight + own.successes + own.doubt


def _updated(mean: float, weight: float, tally: Tally, share: float = 1.0) -> float:
    sessions = share * (tally.successes + tally.doubt)
    return (mean * weight + share * tally.successes) / (weight + sessions)


def _cost(cell: Cell, tiers: Known, evidence: Evidence, config: Config) -> float:
    weight = config.models.prior_sessions
    mean = price(cell.tier, tiers.models[cell.tier], config) * _unit(cell, tiers, evidence, config)
    for part in (cell._replace(category=None, size=None), cell._replace(category=None), cell):
        tally = evidence.of(part)
        mean = (mean * weight + tally.cost) / (weight + tally.priced)
    return mean


def _unit(cell: Cell, tiers: Known, evidence: Evidence, config: Config) -> float:
    """What sessions cost for each dollar of their model's price, over all tiers."""
    cost = worth = 0.0
    for tier, model in tiers.models.items():
        tally = evidence.of(Cell(cell.kind, tier))
        cost += tally.cost
        worth += tally.priced * price(tier, model, config)
    return cost / worth if cost > 0 else _FIRST_COST
