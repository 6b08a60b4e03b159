"""The dependency graph of what is unfinished, with two virtual nodes for each epic.

`>epic` comes before every task of the epic, `<epic` after them. An edge between big epics is one edge of the
graph instead of one for each pair of tasks. Ids cannot begin with these characters.
"""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, NamedTuple

from yokeflow.errors import DocumentError, Problem
from yokeflow.model import Strength

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from yokeflow.model import Dependency, Plan

#: Predecessors of each node, in the order of the plan.
Nodes = dict[str, tuple[str, ...]]


class Graph(NamedTuple):
    """Edges from successor to predecessors, between unfinished tasks and virtual nodes."""

    hard: Nodes
    #: Without the edges that would close a cycle; only nodes that have some.
    soft: Nodes


def is_virtual(node: str) -> bool:
    """Whether a node stands for the beginning or the end of an epic."""
    return node[0] in "<>"


def build(plan: Plan, finished: Collection[str]) -> Graph:
    """Read the edges of a plan. Raises DocumentError for one that leads nowhere."""
    read = _Reader(plan, finished)
    for epic in plan.epics:
        start = f">{epic.id}"
        read.edges(start, epic.depends_on, ())
        tasks = tuple(task.id for task in epic.tasks if task.id not in read.done)
        for task in epic.tasks:
            if task.id not in read.done:
                read.edges(task.id, task.depends_on, (start,) if epic.depends_on else ())
        # An epic without tasks is a milestone: who waits for it waits for what it waits for.
        read.hard[f"<{epic.id}"] = tasks if epic.tasks else (start,)
    return Graph(read.hard, without_cycles(read.hard, read.soft))


class _Reader:
    def __init__(self, plan: Plan, finished: Collection[str]) -> None:
        self.plan = plan
        self.done = frozenset(finished)
        tasks = {name: name for name in plan.tasks}
        #: The node of whatever an edge may name, unless it is finished.
        self.nodes = tasks | {name: f"<{name}" for name in plan.epic}
        for name in self.done:
            self.nodes.pop(name, None)
        self.hard: Nodes = {}
        self.soft: Nodes = {}

    def edges(self, node: str, edges: tuple[Dependency, ...], first: tuple[str, ...]) -> None:
        hard, soft = list(first), []
        for edge in edges:
            before = self.nodes.get(edge.predecessor)
            if before is None:
                self.check(node, edge.predecessor)
            elif edge.strength is Strength.HARD:
                hard.append(before)
            elif edge.strength is Strength.SOFT:
                soft.append(before)
        self.hard[node] = tuple(hard)
        if soft:
            self.soft[node] = tuple(soft)

    def check(self, node: str, predecessor: str) -> None:
        """What is no node must be finished, else it does not exist."""
        if predecessor not in self.done:
            message = f"{node.lstrip('>')} depends on {predecessor}, which does not exist"
            raise _error(self.plan.path, message, "correct the id or remove the edge")


def cycle_error(hard: Mapping[str, Collection[str]], path: Path) -> DocumentError:
    """The error that shows one cycle of a graph which has some."""
    found = _stuck(hard)
    cycle = [predecessor for _, predecessor in found[1]] if found else []
    names = [name.removeprefix("<") for name in cycle if name[0] != ">"]
    shown = " -> ".join((*names, *names[:1]))
    return _error(path, f"dependencies form a cycle: {shown}", "remove one of these edges or make it soft")


def _error(path: Path, message: str, hint: str) -> DocumentError:
    return DocumentError([Problem(path, 0, "", message, hint)])


def without_cycles(hard: Nodes, soft: Nodes) -> Nodes:
    """Drop the last declared soft edge of each cycle until no cycle goes through a soft edge."""
    if not soft:
        return soft
    rank = {(node, name): place for place, node in enumerate(soft) for name in soft[node]}
    graph: dict[str, tuple[str, ...]] = {node: (*hard[node], *soft.get(node, ())) for node in hard}
    kept = dict(soft)
    while found := _stuck(graph):
        nodes, cycle = found
        candidates = [edge for edge in cycle if edge in rank]
        if not candidates:
            break
        node, predecessor = max(candidates, key=rank.__getitem__)
        del rank[node, predecessor]
        kept[node] = tuple(name for name in kept[node] if name != predecessor)
        graph = {name: (*hard[name], *kept.get(name, ())) for name in nodes}
    return {node: names for node, names in kept.items() if names}


def _stuck(graph: Mapping[str, Collection[str]]) -> tuple[list[str], list[tuple[str, str]]] | None:
    """The nodes on and behind cycles, and one cycle as (successor, predecessor); None without any."""
    sorter = TopologicalSorter(graph)
    try:
        sorter.prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        free: set[str] = set()
        while ready := sorter.get_ready():
            free.update(ready)
            sorter.done(*ready)
        pairs = zip(cycle[1:], cycle[:-1], strict=True)
        return [node for node in graph if node not in free], list(pairs)
    return None
