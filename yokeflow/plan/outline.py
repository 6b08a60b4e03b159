"""A plan and its resolution as rows, which every report and drawing is made from."""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from yokeflow.model import Strength
from yokeflow.predecessors import Predecessors

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


def makespan(plan: Plan, resolution: Resolution, concurrency: int) -> float:
    """Seconds from start to end with so many sessions at once, if every task takes as long as expected.

    Tasks start as a run starts them: longest remaining path first, one at a time in a lane. Files that
    overlap, failures and landings are left out, so a run takes at least about as long.
    """
    followers, blocked = _counted(resolution)
    order = _Queue(plan, resolution, [task for task in resolution.hard if not blocked[task]])
    running: list[tuple[float, int, str]] = []
    now = 0.0
    while running or order:
        while len(running) < concurrency and (task := order.start()) is not None:
            heapq.heappush(running, (now + resolution.durations[task], plan.tasks[task].position, task))
        now, _, done = heapq.heappop(running)
        order.end(done)
        freed = [done]
        while freed:
            for each in followers.get(freed.pop(), ()):
                blocked[each] -= 1
                if not blocked[each] and each in resolution.hard:
                    order.add(each)
                elif not blocked[each]:
                    freed.append(each)
    return now


def _counted(resolution: Resolution) -> tuple[dict[str, list[str]], dict[str, int]]:
    """Who follows each task or group of tasks, and for how many each one waits."""
    hard = Predecessors.of(resolution.hard)
    followers: dict[str, list[str]] = defaultdict(list)
    blocked: dict[str, int] = {}
    waits = [(name, (*hard.single[name], *hard.grouped.get(name, ()))) for name in hard]
    for name, before in (*waits, *hard.groups.items()):
        blocked[name] = len(before)
        for each in before:
            followers[each].append(name)
    return followers, blocked


class _Queue:
    """Ready tasks, the most urgent first, none whose lane is in use."""

    def __init__(self, plan: Plan, resolution: Resolution, ready: list[str]) -> None:
        self._plan = plan
        self._resolution = resolution
        self._busy: set[str] = set()
        self._lanes: dict[str, list[str]] = defaultdict(list)
        self._heap = [self._entry(task) for task in ready]
        heapq.heapify(self._heap)

    def __bool__(self) -> bool:
        return bool(self._heap)

    def _entry(self, task: str) -> tuple[float, int, int, str]:
        found = self._plan.tasks[task]
        return -self._resolution.remaining[task], found.priority, found.position, task

    def _lane(self, task: str) -> str:
        return self._resolution.lanes.get(task, task)

    def add(self, task: str) -> None:
        """A task became ready."""
        heapq.heappush(self._heap, self._entry(task))

    def start(self) -> str | None:
        """Take the most urgent task that has a free lane; the others wait for theirs."""
        while self._heap:
            task = heapq.heappop(self._heap)[-1]
            lane = self._lane(task)
            if lane not in self._busy:
                self._busy.add(lane)
                return task
            self._lanes[lane].append(task)
        return None

    def end(self, task: str) -> None:
        """Free a task's lane for those who wait for it."""
        lane = self._lane(task)
        self._busy.discard(lane)
        for waiting in self._lanes.pop(lane, ()):
            self.add(waiting)
