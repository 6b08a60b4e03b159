"""What a lesson does: sessions that were given it against sessions from which it was kept, and the verdict.

One use is one session for which the lesson was chosen, told or not. It succeeds when the session completed
and its epic landed. Whether it is told is decided by a hash of its key and the task, so that all attempts
at one task are in one arm and nobody, the lesson's rank included, can choose the arm. The difference
between the arms is therefore the lesson's doing.

**The rule.** With one use in eight held out, the smaller arm decides how much is known, and a fresh
lesson's raw difference is mostly noise. So the difference is read through a prior that all lessons of the
project share: true effects scatter around zero with a spread that is estimated from all measured lessons
together (by moments, weighed against five lessons of ten points). Each arm's rate is a Beta posterior whose
prior is one use at the rate of both arms together. The same is done for the logarithm of cost per landed
session where costs are known. Then

- *harms*: after 25 uses told and 5 held out, the 90 % interval of the landing rate lies below zero while a
  saving is unlikely, or the 95 % interval of the cost per landed session lies above it while a gain in
  landing rate is unlikely (under 20 %). It is retired at once.
- *useless*: after 80 uses told and 10 held out, the probability that it gains at least two points of
  landing rate is under 15 %, and so is the probability that it saves at least 5 % of the cost. It is
  retired.
- *helps*: after as many, one of the two probabilities is at least 90 %.
- *open* otherwise; it stays.

**How often it errs**, by `benchmarks/expertise.py`: 200 projects of 300 tasks with ten lessons that apply
to all of them, every lesson judged after every session, so that the harm of looking often is in the
numbers. With effects of 20 points both helpful lessons were kept and the harmful one retired in 92 % of the
projects (each helpful lesson kept: 98 %; the harmful one retired: 96 %, after 170 sessions on average),
with 25 points in 96 %, with 15 in 85 % and with 10 in 60 %; a lesson that does nothing was retired within
300 tasks in 32 %.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Verdict: TypeAlias = Literal["helps", "harms", "useless", "open"]

#: Landing rate that is worth a lesson's place in a prompt.
WORTH: Final = 0.02
#: Share of the cost per landed session that is worth it.
WORTH_COST: Final = 0.05
#: Uses told and held out before a lesson can be found useless, and before it can be found harmful.
ENOUGH: Final = (80, 10)
ENOUGH_FOR_HARM: Final = (25, 5)
#: Uses in each arm, of which so many landed with a known cost, before an interval is given at all.
LEAST: Final = 3
#: Spread of true effects before anything is measured, the lessons it weighs, and its bounds.
SPREAD: Final = 0.10
_SPREAD_WEIGHT: Final = 5.0
_SPREAD_BOUNDS: Final = (0.05, 0.20)
#: Spread of the true effects on the logarithm of cost.
_COST_SPREAD: Final = 0.15
#: Below this probability of a gain a lesson is given up; from the other one on it counts as a help.
_HOPE: Final = 0.15
_CONVINCED: Final = 0.9
#: A gain less likely than this excuses no harm.
_UNLIKELY: Final = 0.2
_NORMAL: Final = NormalDist()
_Z: Final = _NORMAL.inv_cdf(0.975)
_Z_90: Final = _NORMAL.inv_cdf(0.95)


def held_out(key: str, task: str, one_in: int | None, *, pinned: bool = False) -> bool:
    """Whether a lesson is kept from a task: the same for every attempt at it. A pinned one never is."""
    if one_in is None or pinned:
        return False
    digest = hashlib.blake2b(f"{key}\n{task}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % one_in == 0


@dataclass(frozen=True, slots=True)
class Arm:
    """Sums over the settled uses of one arm."""

    uses: int = 0
    landed: int = 0
    #: Uses whose cost is known, those of them that landed, and sums over them.
    priced: int = 0
    priced_landed: int = 0
    cost: float = 0.0
    cost_squared: float = 0.0
    cost_of_landed: float = 0.0

    @property
    def rate(self) -> float:
        """Share that landed; 0 without uses."""
        return self.landed / self.uses if self.uses else 0.0

    def plus(self, *, landed: bool, cost_usd: float | None = None) -> Arm:
        """With one more use."""
        known, cost = cost_usd is not None, cost_usd or 0.0
        return Arm(
            self.uses + 1,
            self.landed + landed,
            self.priced + known,
            self.priced_landed + (known and landed),
            self.cost + cost,
            self.cost_squared + cost * cost,
            self.cost_of_landed + cost * landed,
        )


@dataclass(frozen=True, slots=True)
class Arms:
    """A lesson's uses."""

    given: Arm = Arm()
    held_out: Arm = Arm()

    def has(self, least: tuple[int, int]) -> bool:
        """Whether both arms have so many uses."""
        return self.given.uses >= least[0] and self.held_out.uses >= least[1]


@dataclass(frozen=True, slots=True)
class Effect:
    """What is measured of a lesson. Differences are told minus held out; None where too little is known."""

    given: int
    held_out: int
    landed_given: int
    landed_held_out: int
    #: Difference of the landing rates and its 95 % interval, by Newcombe from Wilson's intervals.
    rate_difference: float | None
    low: float | None
    high: float | None
    #: Difference of dollars per landed session and its 95 % interval, by Welch on the linearised ratios.
    cost_difference: float | None
    cost_low: float | None
    cost_high: float | None
    #: Of the rule in this module's docstring.
    verdict: Verdict = "open"
    #: That it gains what is worth it, in landing rate or in cost.
    probability: float = 0.5


def effect_of(arms: Arms, spread: float = SPREAD) -> Effect:
    """Measure one lesson; `spread` is that of all lessons (see `spread_of`)."""
    given, held = arms.given, arms.held_out
    rates = newcombe(given, held) if arms.has((LEAST, LEAST)) else (None, None, None)
    costs = _cost_difference(given, held) or (None, None, None)
    verdict, probability = judge(arms, spread)
    return Effect(
        given=given.uses,
        held_out=held.uses,
        landed_given=given.landed,
        landed_held_out=held.landed,
        rate_difference=rates[0],
        low=rates[1],
        high=rates[2],
        cost_difference=costs[0],
        cost_low=costs[1],
        cost_high=costs[2],
        verdict=verdict,
        probability=probability,
    )


def newcombe(given: Arm, held: Arm) -> tuple[float, float, float]:
    """Difference of two rates with its 95 % interval (Newcombe 1998, method 10)."""
    (low_1, high_1), (low_2, high_2) = wilson(given.landed, given.uses), wilson(held.landed, held.uses)
    p, q = given.rate, held.rate
    return (
        p - q,
        p - q - math.hypot(p - low_1, high_2 - q),
        p - q + math.hypot(high_1 - p, q - low_2),
    )


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a rate (Wilson 1927)."""
    rate, square = successes / trials, _Z * _Z
    centre = (rate + square / (2 * trials)) / (1 + square / trials)
    half = _Z / (1 + square / trials) * math.sqrt(rate * (1 - rate) / trials + square / (4 * trials * trials))
    return max(0.0, centre - half), min(1.0, centre + half)


def spread_of(lessons: Iterable[Arms]) -> float:
    """How far the true effects of a project's lessons scatter around zero, as a standard deviation."""
    weights, squares = _SPREAD_WEIGHT, _SPREAD_WEIGHT * SPREAD**2
    for arms in lessons:
        if not arms.has(ENOUGH_FOR_HARM):
            continue
        difference, variance = _raw(arms)
        # As exact as its variance is small beside what is looked for.
        weight = (SPREAD**2 / (SPREAD**2 + variance)) ** 2
        weights += weight
        squares += weight * (difference**2 - variance)
    low, high = _SPREAD_BOUNDS
    return min(max(math.sqrt(max(squares, 0.0) / weights), low), high)


def judge(arms: Arms, spread: float = SPREAD) -> tuple[Verdict, float]:
    """The verdict on a lesson, and the probability that it gains what is worth it."""
    difference, variance = _raw(arms)
    rate = _posterior(difference, variance, spread)
    gains = 1.0 - rate.cdf(WORTH)
    cost = _log_cost(arms)
    saves = cost.cdf(math.log1p(-WORTH_COST)) if cost else 0.0
    probability = max(gains, saves)
    if arms.has(ENOUGH_FOR_HARM):
        dear = cost is not None and cost.mean - _Z * cost.stdev > 0.0 and gains < _UNLIKELY
        if dear or (rate.mean + _Z_90 * rate.stdev < 0.0 and saves < _UNLIKELY):
            return "harms", probability
    if arms.has(ENOUGH) and not _HOPE <= probability < _CONVINCED:
        return "helps" if probability >= _CONVINCED else "useless", probability
    return "open", probability


def _raw(arms: Arms) -> tuple[float, float]:
    """Difference of the two Beta posteriors' means, and its variance at the rate of both together."""
    given, held = arms.given, arms.held_out
    common = (given.landed + held.landed + 1) / (given.uses + held.uses + 2)
    difference = (given.landed + common) / (given.uses + 1) - (held.landed + common) / (held.uses + 1)
    # By its own rate a small arm that always landed would count as certain.
    return difference, common * (1 - common) * (1 / (given.uses + 1) + 1 / (held.uses + 1))


def _posterior(difference: float, variance: float, spread: float) -> NormalDist:
    """What is believed of a true effect that scatters around zero, after one measurement."""
    share = spread**2 / (spread**2 + variance)
    return NormalDist(difference * share, math.sqrt(variance * share))


@dataclass(frozen=True, slots=True)
class _Ratio:
    """Dollars per landed session of one arm."""

    value: float
    variance: float
    uses: int


def _ratio(arm: Arm) -> _Ratio | None:
    """A ratio of two sums and its variance by linearising: cost minus ratio times landed, a session."""
    if arm.priced_landed < LEAST or arm.cost <= 0.0:
        return None
    value = arm.cost / arm.priced_landed
    squares = arm.cost_squared - 2 * value * arm.cost_of_landed + value**2 * arm.priced_landed
    share = arm.priced_landed / arm.priced
    variance = max(squares, 0.0) / (arm.priced - 1) / arm.priced / share**2
    return _Ratio(value, variance, arm.priced)


def _cost_difference(given: Arm, held: Arm) -> tuple[float, float, float] | None:
    one, other = _ratio(given), _ratio(held)
    if one is None or other is None:
        return None
    difference, variance = one.value - other.value, one.variance + other.variance
    if variance == 0.0:
        return difference, difference, difference
    parts = one.variance**2 / (one.uses - 1) + other.variance**2 / (other.uses - 1)
    half = _student(variance**2 / parts) * math.sqrt(variance)
    return difference, difference - half, difference + half


def _student(freedom: float) -> float:
    """The 97.5 % point of Student's distribution, by Cornish and Fisher; 1 % too small at 3 degrees."""
    z, n = _Z, freedom
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    )


def _log_cost(arms: Arms) -> NormalDist | None:
    """What is believed of the effect on the logarithm of dollars per landed session."""
    one, other = _ratio(arms.given), _ratio(arms.held_out)
    if one is None or other is None:
        return None
    variance = one.variance / one.value**2 + other.variance / other.value**2
    # A few sessions that happen to cost the same are no certainty.
    variance = max(variance, 0.25 / arms.held_out.priced**2, 1e-6)
    return _posterior(math.log(one.value / other.value), variance, _COST_SPREAD)
