"""A plan and its resolution as rows, which every report and drawing is made from."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from yokeflow.model import Strength

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yokeflow.model import Epic, Plan, Resolution, Task


@dataclass(frozen=True, slots=True)
class Row:
    """One task with what was found out about it."""

    task: Task
    #: Its level in the dependency graph, from 1; None when the task is finished.
    batch: int | None
    lane: str
    #: Unfinished epics and tasks it waits for, as the plan names them; those of its epic too.
    waits_for: tuple[str, ...]
    #: Seconds it is expected to take; None when the task is finished.
    duration: float | None
    #: Seconds it can slip without delaying the end.
    slack: float | None
    #: On the critical path.
    critical: bool


@dataclass(frozen=True, slots=True)
class Edge:
    """A dependency as the plan declares it, between epics and tasks."""

    before: str
    after: str
    strength: Strength
    #: Two neighbours on the critical path.
    critical: bool


def rows(plan: Plan, resolution: Resolution) -> list[Row]:
    """Every task in plan order."""
    batch = {task: number for number, ids in enumerate(resolution.batches, 1) for task in ids}
    critical = frozenset(resolution.critical_path)
    open_epics = {epic.id for epic in plan.epics if any(task.id in batch for task in epic.tasks)}
    unfinished = open_epics | batch.keys()
    found: list[Row] = []
    for epic in plan.epics:
        inherited = _hard(epic, unfinished)
        found += [
            Row(
                task,
                batch.get(task.id),
                resolution.lanes.get(task.id, ""),
                tuple(dict.fromkeys((*inherited, *_hard(task, unfinished)))) if task.id in batch else (),
                resolution.durations.get(task.id) if task.id in batch else None,
                resolution.slack.get(task.id),
                task.id in critical,
            )
            for task in epic.tasks
        ]
    return found


def _hard(item: Epic | Task, unfinished: set[str]) -> list[str]:
    return [
        each.predecessor
        for each in item.depends_on
        if each.strength is Strength.HARD and each.predecessor in unfinished
    ]


def edges(plan: Plan, resolution: Resolution) -> Iterator[Edge]:
    """Every declared dependency in plan order."""
    path = resolution.critical_path
    steps = set(pairwise(path))
    for epic in plan.epics:
        items: tuple[Epic | Task, ...] = (epic, *epic.tasks)
        for item in items:
            for each in item.depends_on:
                hard = each.strength is Strength.HARD
                critical = hard and (each.predecessor, item.id) in steps
                yield Edge(each.predecessor, item.id, each.strength, critical)


def work(resolution: Resolution) -> float:
    """Seconds of all unfinished tasks, one after another."""
    return sum(resolution.durations[task] for ids in resolution.batches for task in ids)


def critical_length(resolution: Resolution) -> float:
    """Seconds of the longest chain."""
    return sum(resolution.durations[task] for task in resolution.critical_path)
