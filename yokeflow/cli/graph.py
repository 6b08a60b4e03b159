"""Draw a graph of dependent things as `git log --graph` does, oldest at the top, one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
#: Box-drawing characters by the sides on which they have an arm.
_JOINTS = {
    0: " ",
    _UP: "│",
    _DOWN: "│",
    _UP | _DOWN: "│",
    _LEFT: "─",
    _RIGHT: "─",
    _LEFT | _RIGHT: "─",
    _UP | _RIGHT: "╰",
    _UP | _LEFT: "╯",
    _DOWN | _RIGHT: "╭",
    _DOWN | _LEFT: "╮",
    _UP | _DOWN | _RIGHT: "├",
    _UP | _DOWN | _LEFT: "┤",
    _UP | _LEFT | _RIGHT: "┴",
    _DOWN | _LEFT | _RIGHT: "┬",
    _UP | _DOWN | _LEFT | _RIGHT: "┼",
}


def draw(order: Sequence[str], edges: Mapping[str, Iterable[str]]) -> list[tuple[str, str]]:
    """Lines as (drawing, node); the node is empty on lines that only connect.

    `order` names each node once, predecessors first; `edges` maps a node to its predecessors. Predecessors
    that are not in `order`, or that another predecessor already implies, are not drawn.
    """
    parents = _reduced(order, edges)
    open_children = {node: {child for child in order if node in parents[child]} for node in order}
    columns: list[str] = []
    lines: list[tuple[str, str]] = []
    for node in order:
        column, link = _place(node, parents[node], open_children, columns)
        if link:
            lines.append((link, ""))
        lines.append(
            ("".join(_cell("●" if i == column else "│" * bool(n)) for i, n in enumerate(columns)), node)
        )
        if not open_children[node]:
            columns[column] = ""
        while columns and not columns[-1]:
            columns.pop()
    return [(drawing.rstrip(), node) for drawing, node in lines]


def _reduced(order: Sequence[str], edges: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    reach: dict[str, set[str]] = {}
    parents: dict[str, frozenset[str]] = {}
    for node in order:
        direct = {name for name in edges.get(node, ()) if name in reach}
        implied: set[str] = set().union(*(reach[name] for name in direct))
        parents[node] = frozenset(direct - implied)
        reach[node] = direct | implied
    return parents


def _place(
    node: str, parents: frozenset[str], open_children: dict[str, set[str]], columns: list[str]
) -> tuple[int, str]:
    """Give a node its column, and the line that connects it to its predecessors."""
    above = [i for i, name in enumerate(columns) if name in parents]
    for name in parents:
        open_children[name].discard(node)
    ending = [i for i in above if not open_children[columns[i]]]
    before = list(columns)
    for i in ending:
        columns[i] = ""
    if not ending and "" not in columns:
        columns.append("")
    column = ending[0] if ending else columns.index("")
    columns[column] = node
    others = [i for i in above if i != column]
    return column, _link(column, others, before, columns) if others else ""


def _link(column: int, others: Sequence[int], before: Sequence[str], after: Sequence[str]) -> str:
    low, high = min(column, *others), max(column, *others)
    drawing = ""
    for i in range(max(len(before), len(after))):
        arms = _UP * (i < len(before) and bool(before[i])) | _DOWN * (i < len(after) and bool(after[i]))
        if i == column or i in others:
            arms |= _LEFT * (i > low) | _RIGHT * (i < high)
        elif low < i < high and not arms:
            arms = _LEFT | _RIGHT
        joint = _JOINTS[arms]
        if low < i < high and joint == "│":
            joint = "┼"
        drawing += joint + ("─" if low <= i < high else " ")
    return drawing


def _cell(mark: str) -> str:
    return (mark or " ") + " "
