"""Levels, remaining paths, slack and a critical path of a graph: one pass forward, one back."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from yoke_resolver.graph import cycle_error

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from yoke_resolver.graph import Nodes


class Paths(NamedTuple):
    """What the durations say about a graph, by task."""

    levels: list[list[str]]
    #: Every node, virtual ones too, behind its predecessors.
    order: list[str]
    remaining: Mapping[str, float]
    slack: Mapping[str, float]
    critical: tuple[str, ...]


class _Forward(NamedTuple):
    #: Every node behind its predecessors.
    order: list[str]
    #: Tasks on the longest way to a node, itself not counted.
    level: dict[str, int]
    #: Earliest start in seconds.
    start: dict[str, float]


def measure(hard: Nodes, durations: Mapping[str, float], path: Path) -> Paths:
    """Walk the graph both ways. Raises DocumentError with the path of a cycle; `path` is the file to name."""
    followers: dict[str, list[str]] = defaultdict(list)
    for node, before in hard.items():
        for name in before:
            followers[name].append(node)
    forward = _forward(hard, followers, durations)
    if len(forward.order) < len(hard):
        raise cycle_error(hard, path)
    rest = _backward(forward.order, followers, durations)
    remaining = {task: rest[task] for task in durations}
    total = max(remaining.values(), default=0.0)
    slack = {task: max(0.0, total - forward.start[task] - seconds) for task, seconds in remaining.items()}
    return Paths(
        levels=_levels(forward.level, durations),
        order=forward.order,
        remaining=remaining,
        slack=slack,
        critical=_critical(forward.order, rest, followers, durations),
    )


def _forward(hard: Nodes, followers: Mapping[str, list[str]], durations: Mapping[str, float]) -> _Forward:
    waits = {node: len(before) for node, before in hard.items()}
    level = dict.fromkeys(hard, 0)
    start = dict.fromkeys(hard, 0.0)
    order = [node for node, count in waits.items() if not count]
    for node in order:  # it grows while it is walked
        after = level[node] + (node in durations)
        end = start[node] + durations.get(node, 0.0)
        for name in followers.get(node, ()):
            if level[name] < after:  # noqa: PLR1730 - half a million edges, and max() takes twice as long
                level[name] = after
            if start[name] < end:  # noqa: PLR1730 - as above
                start[name] = end
            waits[name] -= 1
            if not waits[name]:
                order.append(name)
    return _Forward(order, level, start)


def _backward(
    order: list[str], followers: Mapping[str, list[str]], durations: Mapping[str, float]
) -> dict[str, float]:
    """Seconds of the longest chain that begins with each node."""
    rest: dict[str, float] = {}
    for node in reversed(order):
        longest = max([rest[name] for name in followers.get(node, ())], default=0.0)
        rest[node] = longest + durations.get(node, 0.0)
    return rest


def _levels(level: Mapping[str, int], durations: Mapping[str, float]) -> list[list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for task in durations:
        found[level[task]].append(task)
    return [found[number] for number in range(len(found))]


def _critical(
    order: list[str],
    rest: Mapping[str, float],
    followers: Mapping[str, list[str]],
    durations: Mapping[str, float],
) -> tuple[str, ...]:
    """The longest chain; of several that with the fewest tasks, then the one that is first in the plan."""
    total = max((rest[task] for task in durations), default=0.0)
    starts = [task for task in durations if rest[task] == total]
    onward = _longest_ways(starts, rest, followers)
    steps: dict[str, int] = {}
    for node in reversed(order):
        if node in onward:
            steps[node] = (node in durations) + min((steps[name] for name in onward[node]), default=0)
    chain: list[str] = []
    node = min(starts, key=steps.__getitem__, default="")
    while node:
        if node in durations:
            chain.append(node)
        node = min(onward[node], key=steps.__getitem__, default="")
    return tuple(chain)


def _longest_ways(
    starts: list[str], rest: Mapping[str, float], followers: Mapping[str, list[str]]
) -> dict[str, list[str]]:
    """For each node on a longest chain the nodes with which one goes on."""
    found: dict[str, list[str]] = {}
    todo = list(starts)
    while todo:
        node = todo.pop()
        if node not in found:
            longest = max((rest[name] for name in followers.get(node, ())), default=0.0)
            found[node] = [name for name in followers.get(node, ()) if rest[name] == longest]
            todo += found[node]
    return found
