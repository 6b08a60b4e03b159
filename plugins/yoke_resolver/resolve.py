"""A plan in, a resolution out; the same for the same plan, every time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yoke_resolver.durations import estimate
from yoke_resolver.graph import build, is_virtual
from yoke_resolver.lanes import assign
from yoke_resolver.paths import measure
from yokeflow.model import Resolution
from yokeflow.predecessors import Predecessors

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from yoke_resolver.graph import Graph, Nodes
    from yokeflow.model import Plan, Strategy, Task


def resolve(
    plan: Plan, strategy: Strategy, finished: Collection[str] = (), learned: Mapping[str, float] | None = None
) -> Resolution:
    """Resolve what is unfinished. Raises DocumentError for a cycle of hard edges."""
    graph = build(plan, finished)
    tasks = {name: task for name, task in plan.tasks.items() if name in graph.hard}
    durations = estimate(plan, tasks, learned or {})
    found = measure(graph.hard, durations, plan.path)
    groups = _groups(graph, found.order)
    return Resolution(
        hard=_predecessors(tasks, graph.hard, groups),
        soft=_predecessors(tasks, graph.soft, groups),
        batches=tuple(_starting_order(level, tasks, found.remaining) for level in found.levels),
        remaining=found.remaining,
        slack=found.slack,
        critical_path=found.critical,
        durations=durations,
        lanes=assign(tasks, strategy),
    )


def _starting_order(
    level: Iterable[str], tasks: Mapping[str, Task], remaining: Mapping[str, float]
) -> tuple[str, ...]:
    return tuple(
        sorted(level, key=lambda name: (-remaining[name], tasks[name].priority, tasks[name].position))
    )


def _groups(graph: Graph, order: Iterable[str]) -> dict[str, frozenset[str]]:
    """The unfinished tasks that each virtual node waits for."""
    found: dict[str, frozenset[str]] = {}
    for node in order:
        if is_virtual(node):
            found[node] = _union(graph.hard[node], found)
    return found


def _union(nodes: Iterable[str], groups: Mapping[str, frozenset[str]]) -> frozenset[str]:
    return frozenset[str]().union(*(groups.get(node, (node,)) for node in nodes))


def _predecessors(
    tasks: Mapping[str, Task], edges: Nodes, groups: Mapping[str, frozenset[str]]
) -> Predecessors:
    """Tasks one by one, epics as groups that all their successors share."""
    if not edges:
        return Predecessors(dict.fromkeys(tasks, frozenset()))
    members = {
        node: _union(edges[node], groups) if node in edges else names for node, names in groups.items()
    }
    single: dict[str, frozenset[str]] = {}
    grouped: dict[str, tuple[str, ...]] = {}
    for name, task in tasks.items():
        before = edges.get(name, ())
        start = f">{task.epic}"
        single[name] = frozenset(before)
        if edges.get(start) or not groups.keys().isdisjoint(before):
            single[name] -= groups.keys()
            heads = [
                node for node in (start, *before) if node in groups and (node != start or edges.get(start))
            ]
            grouped[name] = tuple(node for node in dict.fromkeys(heads) if members[node])
    used = {node for nodes in grouped.values() for node in nodes}
    return Predecessors(single, grouped, {node: names for node, names in members.items() if node in used})
