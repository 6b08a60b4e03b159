"""What the rest of the plan will cost, by what finished tasks have cost.

A remaining task is expected to cost what tasks of its category cost until they were done, failed attempts
included. A category with few finished tasks leans towards the mean of all. The interval is of Student's t, by
the spread of single tasks, of the means they give, and of the categories.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: How many tasks of the category itself the mean of all tasks weighs.
LEANING = 4.0
#: Chance that the cost lies within the interval.
COVERAGE = 0.8
#: Normal quantile that leaves out half of what is not covered.
_QUANTILE = 1.2816


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known about one category of tasks."""

    category: str
    #: Tasks that are not done yet.
    remaining: int
    #: Finished tasks with a known cost.
    finished: int = 0
    #: Finished tasks of which no cost is known; they tell nothing.
    unknown: int = 0
    #: Of the finished ones: what a task cost, and the sum of squared deviations from that.
    mean_usd: float = 0.0
    deviations: float = 0.0


@dataclass(frozen=True, slots=True)
class Share:
    """A category's part of what is to come."""

    category: str
    finished: int
    remaining: int
    #: For one task.
    task_usd: float
    #: For all that remain.
    cost_usd: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is to come."""

    remaining: int
    #: Finished tasks that it is built on.
    finished: int
    #: Finished tasks that could not be used, since nothing is known about their cost.
    unknown: int
    #: None when no finished task has a known cost.
    cost_usd: float | None
    #: Ends of the interval; None where nothing is known about the spread.
    low_usd: float | None
    high_usd: float | None
    by_category: tuple[Share, ...]


def forecast(evidence: Sequence[Evidence]) -> Forecast:
    """The cost from here to the end of the plan."""
    remaining = sum(each.remaining for each in evidence)
    finished = sum(each.finished for each in evidence)
    unknown = sum(each.unknown for each in evidence)
    if not finished:
        return Forecast(remaining, 0, unknown, None if remaining else 0.0, None, None, ())
    mean = sum(each.finished * each.mean_usd for each in evidence) / finished
    shares = [_share(each, mean) for each in evidence if each.remaining]
    cost = sum(share.cost_usd for share in shares)
    error = _error(evidence, finished, mean)
    return Forecast(
        remaining,
        finished,
        unknown,
        cost,
        low_usd=None if error is None else max(0.0, cost - error),
        high_usd=None if error is None else cost + error,
        by_category=tuple(sorted(shares, key=lambda share: (-share.cost_usd, share.category))),
    )


def _share(each: Evidence, mean: float) -> Share:
    task = (each.finished * each.mean_usd + LEANING * mean) / (each.finished + LEANING)
    return Share(each.category, each.finished, each.remaining, task, each.remaining * task)


def _error(evidence: Sequence[Evidence], finished: int, mean: float) -> float | None:
    """Half the width of the interval; None where nothing is known about the spread."""
    if finished < 2:
        return None
    within = sum(each.deviations for each in evidence)
    between = sum(each.finished * (each.mean_usd - mean) ** 2 for each in evidence)
    spread = (within + between) / (finished - 1)
    leaned = sum(each.remaining * _leaning(each) for each in evidence)
    variance = 0.0
    for each in evidence:
        own = (each.deviations + LEANING * spread) / (max(each.finished - 1, 0) + LEANING)
        variance += each.remaining * own  # of the tasks themselves
        variance += (each.remaining * _leaning(each)) ** 2 * between / finished  # of the category
        if each.finished:  # of the means, each of which counts in its category and in the mean of all
            weight = each.remaining * (1 - _leaning(each)) + leaned * each.finished / finished
            variance += weight**2 * own / each.finished
    return _quantile(finished - 1) * sqrt(variance)


def _leaning(each: Evidence) -> float:
    """Weight of the mean of all tasks."""
    return LEANING / (each.finished + LEANING)


def _quantile(freedom: int) -> float:
    """Student's t at the normal quantile, by the first terms of Cornish and Fisher's expansion."""
    z = _QUANTILE
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / freedom + second / freedom**2
