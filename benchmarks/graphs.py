"""Random plans of several shapes with log-normal durations, the same for the same seed.

Fork-join and series-parallel graphs stand side by side in threes to sixes, as the epics of a backlog do.
Alone, each join is a barrier of the plan itself, and no schedule comes near max(critical path, work / n).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from yokeflow.model import Dependency, Epic, Plan, Task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

#: Predecessors by task, numbered from 0 so that predecessors come first.
Edges = list[list[int]]


def layered(random: Random, size: int) -> Edges:
    """Levels of changing width; each task waits for one to three of the level before."""
    edges: Edges = []
    before: list[int] = []
    while len(edges) < size:
        width = min(random.randint(1, 15), size - len(edges))
        here = list(range(len(edges), len(edges) + width))
        edges += [sorted(random.sample(before, min(len(before), random.randint(1, 3)))) for _ in here]
        before = here
    return edges


def erdos_renyi(random: Random, size: int) -> Edges:
    """Every pair is an edge with the same probability."""
    share = random.uniform(1.0, 5.0) / size
    return [[name for name in range(task) if random.random() < share] for task in range(size)]


def fork_join(random: Random, size: int) -> Edges:
    """Epics in which one task fans out to several, which one task joins, again and again."""
    edges: Edges = []
    for part in _parts(random, size):
        end = len(edges) + part
        edges.append([])
        while len(edges) < end:
            fork = len(edges) - 1
            width = random.randint(2, 10)
            edges += [[fork] for _ in range(width)]
            edges.append(list(range(fork + 1, fork + 1 + width)))
    return edges


def series_parallel(random: Random, size: int) -> Edges:
    """Epics of parts side by side or one after another, nested."""
    edges: Edges = []

    def grow(count: int, before: list[int]) -> list[int]:
        if count <= 1:
            edges.append(before)
            return [len(edges) - 1]
        first = random.randint(1, count - 1)
        if random.random() < 0.5:
            return grow(count - first, grow(first, before))
        return grow(first, before) + grow(count - first, before)

    for part in _parts(random, size):
        grow(part, [])
    return edges


def _parts(random: Random, size: int) -> list[int]:
    count = random.randint(3, 6)
    return [size // count] * count


SHAPES = (layered, erdos_renyi, fork_join, series_parallel)


def plan_of(random: Random, edges: Edges) -> Plan:
    """A plan with these edges and durations of half an hour in the middle, some far longer."""
    return Plan((Epic("all", "All", tasks=tuple(_tasks(random, edges))),), Path("plan.yaml"))


def _tasks(random: Random, edges: Edges) -> Iterator[Task]:
    for number, before in enumerate(edges):
        yield Task(
            id=f"t{number}",
            epic="all",
            title=f"Task {number}",
            depends_on=tuple(Dependency(f"t{name}") for name in before),
            estimate=1800 * random.lognormvariate(0.0, 0.75),
            position=number,
        )
