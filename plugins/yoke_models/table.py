"""The table of evidence: what sessions on each model came to, by category and size."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from yoke_models.complexity import SIZES
from yoke_models.tiers import ORDER, kind_of, tier_of_session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from yoke_models.memory import Group
    from yokeflow.config import Config

#: Of the normal distribution, for an interval that holds the truth in 90 of 100 cases.
_Z: Final = 1.645


def evidence(groups: Iterable[Group], config: Config) -> list[dict[str, Any]]:
    """A row for each category, size, agent and model, in that order."""
    cells: dict[tuple[str, ...], list[Group]] = defaultdict(list)
    for group in groups:
        tier = tier_of_session(group.agent, group.model, group.tier, config)
        kind = kind_of(group.agent, config)
        cells[group.category, group.size, kind, tier, group.model].append(group)
    return [_row(key, cells[key]) for key in sorted(cells, key=_order)]


def interval(landed: int, decided: int) -> tuple[float, float] | None:
    """Where the true share lies; None without sessions."""
    return wilson(landed / decided, decided) if decided else None


def wilson(share: float, count: float) -> tuple[float, float]:
    """Where the true share lies when `share` of `count` were seen. Never certain: 3 of 3 is 53 % to 100 %."""
    square = _Z * _Z / count
    middle = (share + square / 2) / (1 + square)
    half = math.sqrt(square * (share * (1 - share) + square / 4)) / (1 + square)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def _row(key: tuple[str, ...], groups: list[Group]) -> dict[str, Any]:
    landed = sum(group.sessions for group in groups if group.landed)
    failed = sum(group.sessions for group in groups if group.landed is False)
    cost, priced = sum(group.cost for group in groups), sum(group.priced for group in groups)
    sessions = sum(group.sessions for group in groups)
    # Sessions that did not tell are taken to have cost what the others did.
    decided = landed + failed
    mean = cost / priced if priced else None
    return dict(zip(("category", "size", "agent", "tier", "model"), key, strict=True)) | {
        "sessions": sessions,
        "landed": landed,
        "failed": failed,
        "open": sessions - decided,
        "success_rate": landed / decided if decided else None,
        "success_interval": interval(landed, decided),
        "mean_cost_usd": mean,
        "cost_per_landed_usd": mean * decided / landed if landed and mean is not None else None,
    }


def _order(key: tuple[str, ...]) -> tuple[Any, ...]:
    category, size, agent, tier, model = key
    place = ORDER.index(tier) if tier else len(ORDER)
    return category, SIZES.index(size) if size in SIZES else len(SIZES), agent, place, model
