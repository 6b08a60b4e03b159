"""How long each task is expected to take."""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yokeflow.model import Plan, Task

#: Seconds where neither the plan nor any earlier run says anything.
UNKNOWN: Final = 1800.0


def estimate(plan: Plan, tasks: Mapping[str, Task], learned: Mapping[str, float]) -> dict[str, float]:
    """Seconds by task: declared, else learned, else the median of its category, else of the plan.

    Keys of `learned` are task ids and `category:<name>`.
    """
    medians = _medians(plan)
    usual = medians.get(None, UNKNOWN)
    known = {name: learned.get(f"category:{name}", medians.get(name, usual)) for name in _categories(tasks)}
    return {
        name: task.estimate if task.estimate is not None else learned.get(name, known[task.category])
        for name, task in tasks.items()
    }


def _categories(tasks: Mapping[str, Task]) -> set[str]:
    return {task.category for task in tasks.values()}


def _medians(plan: Plan) -> dict[str | None, float]:
    """Median of the declared estimates by category, and under None of all of them."""
    declared: dict[str | None, list[float]] = defaultdict(list)
    for task in plan.tasks.values():
        if task.estimate is not None:
            declared[None].append(task.estimate)
            if task.category:
                declared[task.category].append(task.estimate)
    return {category: median(seconds) for category, seconds in declared.items()}
