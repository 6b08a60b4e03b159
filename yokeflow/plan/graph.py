"""Drawings of a plan: Mermaid, DOT, JSON, and a tree of text."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from yokeflow.document import format_duration
from yokeflow.model import Strength
from yokeflow.plan.outline import Edge, Row, critical_length, edges, rows, work

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yokeflow.model import Plan, Resolution

_MERMAID_ARROWS = {Strength.HARD: "-->", Strength.SOFT: "-.->", Strength.RELATED: "-.-"}
_DOT_LINES = {Strength.HARD: "solid", Strength.SOFT: "dashed", Strength.RELATED: "dotted"}
_MERMAID_STYLES = (
    "  classDef critical stroke:#c00,stroke-width:3px;",
    "  classDef finished fill:#eee,color:#888;",
)


def mermaid(plan: Plan, resolution: Resolution) -> str:
    """A Mermaid flowchart: epics as boxes, batch numbers in brackets, the critical path in red."""
    names = _names(plan)
    lines = ["flowchart LR"]
    for epic, inside in _by_epic(plan, resolution):
        lines.append(f'  subgraph {names[epic]}["{_mermaid_text(plan.epic[epic].title)}"]')
        lines += [
            f'    {names[row.task.id]}["{_mermaid_text(_label(row))}"]{_mermaid_class(row)}' for row in inside
        ]
        lines.append("  end")
    thick: list[int] = []
    for number, edge in enumerate(edges(plan, resolution)):
        lines.append(f"  {names[edge.before]} {_MERMAID_ARROWS[edge.strength]} {names[edge.after]}")
        thick += [number] if edge.critical else []
    lines += _MERMAID_STYLES
    if thick:
        lines.append(f"  linkStyle {','.join(map(str, thick))} stroke:#c00,stroke-width:3px;")
    return "\n".join(lines)


def dot(plan: Plan, resolution: Resolution) -> str:
    """A Graphviz digraph: epics as clusters, batch numbers in brackets, the critical path in red."""
    lines = ["digraph plan {", "  rankdir=LR; compound=true; node [shape=box, style=rounded];"]
    for number, (epic, inside) in enumerate(_by_epic(plan, resolution)):
        lines.append(f"  subgraph cluster_{number} {{")
        lines.append(f"    label={_quoted(plan.epic[epic].title)};")
        lines += [
            f"    {_quoted(row.task.id)} [label={_quoted(_label(row))}{_dot_look(row)}];" for row in inside
        ]
        lines += [] if inside else [f"    {_quoted(epic)} [style=dotted];"]
        lines.append("  }")
    clusters = {epic.id: number for number, epic in enumerate(plan.epics)}
    lines += [_dot_edge(plan, edge, clusters) for edge in edges(plan, resolution)]
    return "\n".join([*lines, "}"])


def as_object(plan: Plan, resolution: Resolution) -> dict[str, Any]:
    """What the other drawings show, for other programs. Durations are seconds."""
    return {
        "epics": [
            {"id": epic.id, "title": epic.title, "depends_on": [each.predecessor for each in epic.depends_on]}
            for epic in plan.epics
        ],
        "tasks": [row_object(row) for row in rows(plan, resolution)],
        "edges": [
            {"from": edge.before, "to": edge.after, "type": edge.strength.value, "critical": edge.critical}
            for edge in edges(plan, resolution)
        ],
        "batches": [list(batch) for batch in resolution.batches],
        "critical_path": list(resolution.critical_path),
        "work": work(resolution),
        "critical_length": critical_length(resolution),
    }


def as_json(plan: Plan, resolution: Resolution) -> str:
    """`as_object` as text."""
    return json.dumps(as_object(plan, resolution), indent=2, ensure_ascii=False)


def row_object(row: Row) -> dict[str, Any]:
    """A task for other programs."""
    task = row.task
    return {
        "id": task.id,
        "epic": task.epic,
        "title": task.title,
        "batch": row.batch,
        "lane": row.lane,
        "agent": task.agent,
        "model": task.model,
        "priority": task.priority,
        "estimate": task.estimate,
        "duration": row.duration,
        "slack": row.slack,
        "waits_for": list(row.waits_for),
        "critical": row.critical,
        "finished": row.batch is None,
    }


def tree(plan: Plan, resolution: Resolution) -> str:
    """Text: epics with their tasks, batch numbers in brackets, `*` on the critical path."""
    lines: list[str] = []
    for epic, inside in _by_epic(plan, resolution):
        before = [each.predecessor for each in plan.epic[epic].depends_on if each.strength is Strength.HARD]
        lines.append(_told(f"{epic}  {_line(plan.epic[epic].title)}", before))
        for row in inside:
            branch = "└──" if row is inside[-1] else "├──"
            own = [each.predecessor for each in row.task.depends_on if each.strength is Strength.HARD]
            mark = "*" if row.critical else " "
            lines.append(f"{branch} {mark} {_told(f'{_line(_label(row))}{_took(row)}', own)}")
    chain = " -> ".join(resolution.critical_path)
    return "\n".join([*lines, "", f"* critical path: {chain or 'nothing left to do'}"])


def _line(text: str) -> str:
    return " ".join(text.splitlines())


def _told(text: str, before: list[str]) -> str:
    return f"{text}  (after {', '.join(before)})" if before else text


def _took(row: Row) -> str:
    return f"  {format_duration(round(row.duration))}" if row.duration is not None else ""


def _by_epic(plan: Plan, resolution: Resolution) -> list[tuple[str, list[Row]]]:
    inside: dict[str, list[Row]] = defaultdict(list)
    for row in rows(plan, resolution):
        inside[row.task.epic].append(row)
    return [(epic.id, inside[epic.id]) for epic in plan.epics]


def _label(row: Row) -> str:
    batch = "done" if row.batch is None else row.batch
    return f"[{batch}] {row.task.id}  {row.task.title}"


def _names(plan: Plan) -> dict[str, str]:
    """Names that Mermaid cannot take for words of its own."""
    epics = {epic.id: f"e{i}" for i, epic in enumerate(plan.epics)}
    return epics | {task: f"t{i}" for i, task in enumerate(plan.tasks)}


def _mermaid_text(text: str) -> str:
    """Text in quotes; what Mermaid would read as markup is written as a numbered character."""
    return "".join(f"#{ord(char)};" if char in '"#<>&`\\\n\r' else char for char in text)


def _mermaid_class(row: Row) -> str:
    if row.batch is None:
        return ":::finished"
    return ":::critical" if row.critical else ""


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "")
    return f'"{escaped}"'


def _dot_look(row: Row) -> str:
    if row.batch is None:
        return ", color=gray, fontcolor=gray"
    return ", color=red, penwidth=3" if row.critical else ""


def _dot_edge(plan: Plan, edge: Edge, clusters: Mapping[str, int]) -> str:
    """An edge; one of an epic runs between tasks and is cut off at the cluster's border."""
    look = [f"style={_DOT_LINES[edge.strength]}"]
    ends = []
    for name, side in ((edge.before, "ltail"), (edge.after, "lhead")):
        if name in clusters:
            look.append(f"{side}=cluster_{clusters[name]}")
            ends.append(next((task.id for task in plan.epic[name].tasks), name))
        else:
            ends.append(name)
    look += ["color=red, penwidth=3"] if edge.critical else []
    return f"  {_quoted(ends[0])} -> {_quoted(ends[1])} [{', '.join(look)}];"
