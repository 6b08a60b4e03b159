"""Dependency cycles through tasks and epics, as paths that a person can follow."""

from __future__ import annotations

from collections import deque
from itertools import groupby
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from yokeflow.model import Strength
from yokeflow.plan.entries import EpicItem, TaskItem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from yokeflow.document import Key
    from yokeflow.plan.entries import DependencyEntry

#: More would hardly be read, and finding each takes as long as the first.
_MOST = 20

#: A task, or one end of an epic: its tasks wait for its start, its end waits for its tasks. So an epic of
#: a thousand tasks that waits for another of a thousand costs two thousand edges, not a million.
Node: TypeAlias = tuple[Literal["task", "start", "end"], str]


class Edge(NamedTuple):
    """From a node to one that goes before it."""

    before: Node
    #: Where the file declares it; None between an epic and its own tasks.
    key: Key | None


Graph: TypeAlias = "dict[Node, list[Edge]]"


def cycles(
    epics: Iterable[EpicItem], owners: Mapping[str, EpicItem | TaskItem]
) -> Iterator[tuple[list[str], Key]]:
    """Cycles of hard dependencies that share no edge: the ids, the first again at the end, and a place."""
    graphs = [_graph(epics, owners)]
    found = 0
    while graphs:
        graph = graphs.pop()
        for knot in _knots(graph):
            path, key, rest = _cycle({node: _within(graph[node], knot) for node in graph if node in knot})
            yield path, key
            found += 1
            if found == _MOST:
                return
            graphs.append(rest)


def _within(edges: Iterable[Edge], knot: set[Node]) -> list[Edge]:
    return [edge for edge in edges if edge.before in knot]


def _cycle(graph: Graph) -> tuple[list[str], Key, Graph]:
    """A shortest cycle as ids, where its first dependency stands, and the graph without its dependencies."""
    nodes = _shortest(graph)
    steps = dict(zip(nodes, [*nodes[1:], nodes[0]], strict=True))
    declared = [
        (node[1], edge.before[1], edge.key)
        for node in nodes
        for edge in graph[node]
        if edge.before == steps[node] and edge.key is not None
    ]
    ids = [name for after, before, _ in declared for name in (after, before)]
    path = [name for name, _ in groupby([*ids, ids[0]])]
    used = {key for _, _, key in declared}
    rest = {node: [edge for edge in edges if edge.key not in used] for node, edges in graph.items()}
    return path, declared[0][2], rest


def _graph(epics: Iterable[EpicItem], owners: Mapping[str, EpicItem | TaskItem]) -> Graph:
    graph: Graph = {}
    for epic in epics:
        name = epic.entry.id
        start: Node = ("start", name)
        graph[start] = _edges(epic, owners)
        # An epic whose own dependencies form a cycle has one without any task.
        graph["end", name] = [Edge(start, None), *(Edge(("task", t.entry.id), None) for t in epic.tasks)]
        for task in epic.tasks:
            graph["task", task.entry.id] = [*_edges(task, owners), Edge(start, None)]
    return graph


def _edges(item: EpicItem | TaskItem, owners: Mapping[str, EpicItem | TaskItem]) -> list[Edge]:
    """Hard dependencies that lead somewhere; those on itself or its own epic or task are told elsewhere."""
    edges: list[Edge] = []
    for i, dependency in enumerate(item.entry.depends_on):
        name = _hard(dependency)
        owner = owners.get(name)
        inside = isinstance(owner, TaskItem) and owner.epic == item.entry.id
        if owner is None or inside or name in {item.entry.id, getattr(item, "epic", None)}:
            continue
        before: Node = ("end", name) if isinstance(owner, EpicItem) else ("task", name)
        edges.append(Edge(before, (*item.key, "depends_on", i)))
    return edges


def _hard(dependency: str | DependencyEntry) -> str:
    if isinstance(dependency, str):
        return dependency
    return (dependency.task or dependency.epic) if dependency.type is Strength.HARD else ""


def _knots(graph: Graph) -> Iterator[set[Node]]:
    """Groups of nodes that all reach each other: Tarjan's algorithm, without recursion."""
    index: dict[Node, int] = {}
    low: dict[Node, int] = {}
    open_: dict[Node, None] = {}
    for root in graph:
        work = [] if root in index else [(root, iter(graph[root]))]
        while work:
            node, edges = work[-1]
            if node not in index:
                index[node] = low[node] = len(index)
                open_[node] = None
            unseen = next((edge.before for edge in edges if edge.before not in index), None)
            if unseen is not None:
                work.append((unseen, iter(graph[unseen])))
                continue
            work.pop()
            reached = (edge.before for edge in graph[node] if edge.before in open_)
            low[node] = min((low[node], *(low[before] for before in reached)))
            if low[node] == index[node]:
                knot = _close(open_, node)
                if len(knot) > 1:
                    yield knot


def _close(open_: dict[Node, None], node: Node) -> set[Node]:
    """Take everything opened since a node, and the node itself."""
    knot: set[Node] = set()
    while node not in knot:
        knot.add(open_.popitem()[0])
    return knot


def _shortest(graph: Graph) -> list[Node]:
    """A shortest cycle through the first node, which every node can reach."""
    first = next(iter(graph))
    came: dict[Node, Node] = {}
    todo = deque([first])
    while first not in came:
        node = todo.popleft()
        for edge in graph[node]:
            if edge.before not in came:
                came[edge.before] = node
                todo.append(edge.before)
    path = [came[first]]
    while path[-1] != first:
        path.append(came[path[-1]])
    return path[::-1]
