"""What other policies would have cost, estimated from the sessions that were recorded.

A session tells about a policy when its tier is the one that the policy would have taken. Sessions are
weighed by how rarely their tier was taken in their cell (category, size, first attempt or not), so that each
cell counts as often as it occurs: inverse propensity, normalised by its own sum. A cell in which the policy's
tier was never taken says nothing; `covered` is the share of the work about which something is known. Within a
cell, the choice is taken for chance: where it followed the score, a stronger tier got the harder tasks.

The learned policy is replayed in the order of the sessions, each choice made of what was known when its
session started alone: a session's cost when it ended, what became of its work when that was decided.

Intervals hold 90 % of 1,000 resamplings of the tasks, which are put together to 100 blocks at most. These
agree too well where all or no sessions landed; an interval is never narrower than that of Wilson for as many
equally weighed tasks. A policy of which fewer than `LEAST_TASKS` tasks tell gets no figures.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from operator import attrgetter
from random import Random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from yoke_models.choose import Case, by_tier
from yoke_models.complexity import SIZES, Complexity, tier_by_score
from yoke_models.evidence import Cell, Evidence, Tally
from yoke_models.table import wilson
from yoke_models.tiers import ORDER, kind_of, known, tier_of_session
from yokeflow.model import Attempt, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from yokeflow.config import Config

POLICIES: Final = ("always fast", "always balanced", "always powerful", "keyword rules", "learned")
#: The latest sessions that are replayed: older ones tell about other models and other code.
LATEST: Final = 20_000
#: With fewer, an estimate says nothing.
LEAST_TASKS: Final = 8
_RESAMPLINGS: Final = 1000
_BLOCKS: Final = 100
#: Scores where none was recorded: the middle of what the default thresholds make of each size.
_MIDDLES: Final = dict(zip(SIZES, (0.15, 0.5, 0.85), strict=True))


@dataclass(frozen=True, slots=True)
class Episode:
    """A session of which it is known what became of its work."""

    task: str
    agent: str
    kind: str
    tier: str
    category: str
    size: str
    score: float
    attempt: int
    landed: bool
    #: Dollars; None where nobody told.
    cost: float | None
    started: datetime
    finished: datetime
    #: When it was known what became of its work.
    known: datetime

    @property
    def cell(self) -> tuple[str, str, str, bool]:
        """What makes sessions comparable."""
        return self.kind, self.category, self.size, self.attempt > 1


class _Sums(NamedTuple):
    """Weighed sums: sessions, those that landed, those with a known cost, and these costs."""

    weight: float = 0.0
    landed: float = 0.0
    priced: float = 0.0
    cost: float = 0.0

    def plus(self, other: _Sums) -> _Sums:
        return _Sums(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    @property
    def rate(self) -> float:
        return self.landed / self.weight

    @property
    def per_landed(self) -> float | None:
        """Dollars for each task that landed; None when none did or no cost is known."""
        return self.cost / self.priced / self.rate if self.priced and self.landed else None


def episodes(rows: Iterable[Mapping[str, Any]], config: Config) -> list[Episode]:
    """Sessions on a model of a tier, from the rows of the store, oldest first."""
    found = []
    for row in rows:
        if tier := tier_of_session(row["agent"], row["model"], row["tier"], config):
            score = _MIDDLES.get(row["size"], 0.5) if row["score"] is None else row["score"]
            values = {name: row[name] for name in ("task", "agent", "category", "size", "attempt")}
            kind = kind_of(row["agent"], config)
            more = {name: row[name] for name in ("landed", "cost", "started", "finished", "known")}
            found.append(Episode(kind=kind, tier=tier, score=score, **values, **more))
    return found


def evaluate(history: Sequence[Episode], config: Config) -> list[dict[str, Any]]:
    """What each policy would have come to."""
    taken = Counter((each.cell, each.tier) for each in history)
    cells = Counter(each.cell for each in history)
    wanted = _wanted(history, config)
    return [_policy(policy, history, wanted[policy], taken, cells) for policy in POLICIES]


def _wanted(history: Sequence[Episode], config: Config) -> dict[str, list[str]]:
    """The tiers that each policy would have taken."""

    def fixed(episode: Episode, tier: str) -> str:
        return known(episode.kind, config).clamp(tier, ("", ""))

    made = {f"always {tier}": [fixed(each, tier) for each in history] for tier in ORDER}
    rules = [fixed(each, tier_by_score(each.score, config.models)) for each in history]
    return made | {"keyword rules": rules, "learned": _learned(history, config)}


def _learned(history: Sequence[Episode], config: Config) -> list[str]:
    evidence, failed, tiers = Evidence(), defaultdict[str, list[str]](list), []
    news = deque(sorted(_news(history), key=attrgetter("at")))
    for each in history:
        while news and news[0].at <= each.started:
            about, tally = news[0].episode, news.popleft().tally
            evidence.add(Cell(about.kind, about.tier, about.category, about.size), tally)
            if tally.failures:
                failed[about.task].append(about.tier)
        task = Task(each.task, "", "", category=each.category)
        attempt = Attempt(task, each.attempt, "", "evaluate")
        if each.attempt == 1:
            failed.pop(each.task, None)
        case = Case(attempt, each.agent, config, None, evidence, tuple(failed.get(each.task, ())))
        look = Complexity(each.score, {}, {}, each.size)
        tiers.append(by_tier(case, known(each.kind, config), look).tier)
    return tiers


class _News(NamedTuple):
    """What was learned of a session at one time."""

    at: datetime
    episode: Episode
    tally: Tally


def _news(history: Iterable[Episode]) -> Iterator[_News]:
    for each in history:
        if each.cost is not None:
            yield _News(each.finished, each, Tally(cost=each.cost, priced=1))
        failed = not each.landed
        again = failed and each.attempt > 1
        yield _News(each.known, each, Tally(each.landed, failed, again))


def _policy(
    policy: str,
    history: Sequence[Episode],
    wanted: Sequence[str],
    taken: Counter[tuple[Any, str]],
    cells: Mapping[Any, int],
) -> dict[str, Any]:
    tasks = {each.task: place for place, each in enumerate({each.task: each for each in history}.values())}
    blocks = [_Sums()] * max(min(_BLOCKS, len(tasks)), 1)
    matched = covered = 0
    tell: dict[str, float] = defaultdict(float)
    for each, tier in zip(history, wanted, strict=True):
        covered += taken[each.cell, tier] > 0
        if each.tier == tier:
            matched += 1
            block = tasks[each.task] % len(blocks)
            weight = cells[each.cell] / taken[each.cell, tier]
            blocks[block] = blocks[block].plus(_weighed(each, weight))
            tell[each.task] += weight
    return {
        "policy": policy,
        "sessions": matched,
        "tasks": len(tell),
        "covered": covered / len(history) if history else 0.0,
        **_figures(blocks, list(tell.values())),
    }


def _figures(blocks: Sequence[_Sums], weights: Sequence[float]) -> dict[str, Any]:
    """Shares and dollars with their intervals, None where too few tasks tell; by the weights of those."""
    names = ("success_rate", "success_interval", "cost_per_landed_usd", "cost_interval")
    if len(weights) < LEAST_TASKS:
        return dict.fromkeys(names)
    total, (rates, costs) = _total(blocks), _resampled(blocks)
    # Tasks of unequal weight tell as much as so many of the same (Kish).
    count = sum(weights) ** 2 / sum(weight * weight for weight in weights)
    low, high = wilson(total.rate, count)
    success, cost = _wider(_interval(rates), low, high), _interval(costs)
    if cost is not None and low > 0:
        mean = total.cost / total.priced
        cost = _wider(cost, mean / high, mean / low)
    return dict(zip(names, (total.rate, success, total.per_landed, cost), strict=True))


def _wider(found: tuple[float, float] | None, low: float, high: float) -> tuple[float, float]:
    return (low, high) if found is None else (min(found[0], low), max(found[1], high))


def _weighed(each: Episode, weight: float) -> _Sums:
    landed = weight if each.landed else 0.0
    if each.cost is None:
        return _Sums(weight, landed)
    return _Sums(weight, landed, weight, weight * each.cost)


def _total(blocks: Iterable[_Sums]) -> _Sums:
    return _Sums(*map(sum, zip(*blocks, strict=True)))


def _resampled(blocks: Sequence[_Sums]) -> tuple[list[float], list[float]]:
    """Success rates and costs per landed task, sorted, of as many blocks drawn anew."""
    random, rates, costs = Random(0), [], []  # noqa: S311 - nothing secret
    for _ in range(_RESAMPLINGS):
        total = _total(random.choices(blocks, k=len(blocks)))
        if total.weight:
            rates.append(total.rate)
        if total.per_landed is not None:
            costs.append(total.per_landed)
    return sorted(rates), sorted(costs)


def _interval(values: Sequence[float]) -> tuple[float, float] | None:
    if not values:
        return None
    return values[int(0.05 * len(values))], values[int(0.95 * len(values))]
