"""Drawings of a plan, and the rows they are made from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from yokeflow.model import Dependency, Epic, Plan, Resolution, Strength, Task
from yokeflow.plan.graph import as_json, dot, mermaid, tree
from yokeflow.plan.outline import critical_length, edges, rows, work

NASTY = 'A "quoted" <b> #1 \\ end\nsecond'


@pytest.fixture
def plan():
    """Two epics in a row and one beside them."""
    return Plan(
        (
            Epic(
                "schema",
                "Schema",
                (),
                (Task("s.a", "schema", NASTY), Task("s.b", "schema", "B", depends_on=(Dependency("s.a"),))),
            ),
            Epic(
                "auth",
                "Sign-in",
                (Dependency("schema"),),
                (
                    Task("a.a", "auth", "A"),
                    Task("a.b", "auth", "B", depends_on=(Dependency("a.a", Strength.SOFT),)),
                ),
            ),
            Epic(
                "docs",
                "Docs",
                (),
                (Task("d.a", "docs", "D", depends_on=(Dependency("auth", Strength.RELATED),)),),
            ),
        ),
        Path("plan.yaml"),
    )


@pytest.fixture
def resolution():
    """What a resolver says about it when `s.a` is finished."""
    both = frozenset({"s.b"})
    return Resolution(
        hard={"s.b": frozenset(), "a.a": both, "a.b": both, "d.a": frozenset()},
        soft={"a.b": frozenset({"a.a"})},
        batches=(("s.b", "d.a"), ("a.a", "a.b")),
        remaining={"s.b": 90.0, "a.a": 60.0, "a.b": 30.0, "d.a": 5.0},
        slack={"s.b": 0.0, "a.a": 0.0, "a.b": 30.0, "d.a": 85.0},
        critical_path=("s.b", "a.a"),
        durations={"s.b": 30.0, "a.a": 60.0, "a.b": 30.0, "d.a": 5.0},
        lanes={"s.b": "schema", "a.a": "auth", "a.b": "auth", "d.a": "docs"},
    )


def test_rows(plan, resolution):
    found = {row.task.id: row for row in rows(plan, resolution)}
    assert list(found) == ["s.a", "s.b", "a.a", "a.b", "d.a"]
    assert {name: row.batch for name, row in found.items()} == {
        "s.a": None,
        "s.b": 1,
        "a.a": 2,
        "a.b": 2,
        "d.a": 1,
    }
    assert found["s.b"].waits_for == ()
    assert found["a.b"].waits_for == ("schema",)
    assert [name for name, row in found.items() if row.critical] == ["s.b", "a.a"]
    assert (found["a.b"].lane, found["a.b"].duration, found["a.b"].slack) == ("auth", 30.0, 30.0)
    assert (found["s.a"].lane, found["s.a"].duration, found["s.a"].slack) == ("", None, None)


def test_edges_and_sums(plan, resolution):
    declared = [(edge.before, edge.after, edge.strength.value) for edge in edges(plan, resolution)]
    assert declared == [
        ("s.a", "s.b", "hard"),
        ("schema", "auth", "hard"),
        ("a.a", "a.b", "soft"),
        ("auth", "d.a", "related"),
    ]
    assert (work(resolution), critical_length(resolution)) == (125.0, 90.0)


def test_tree(plan, resolution):
    assert tree(plan, resolution).splitlines() == [
        "schema  Schema",
        '├──   [done] s.a  A "quoted" <b> #1 \\ end second',
        "└── * [1] s.b  B  30s  (after s.a)",
        "auth  Sign-in  (after schema)",
        "├── * [2] a.a  A  1m",
        "└──   [2] a.b  B  30s",
        "docs  Docs",
        "└──   [1] d.a  D  5s",
        "",
        "* critical path: s.b -> a.a",
    ]


def test_mermaid(plan, resolution):
    drawn = mermaid(plan, resolution)
    lines = drawn.splitlines()
    assert lines[0] == "flowchart LR"
    assert drawn.count("subgraph") == drawn.count("  end") == 3
    nodes = [line for line in lines if re.match(r"    t\d\[", line)]
    assert nodes[0] == '    t0["[done] s.a  A #34;quoted#34; #60;b#62; #35;1 #92; end#10;second"]:::finished'
    assert nodes[1] == '    t1["[1] s.b  B"]:::critical'
    assert nodes[3] == '    t3["[2] a.b  B"]'
    assert [line for line in lines if re.match(r"  \w+ -", line)] == [
        "  t0 --> t1",
        "  e0 --> e1",
        "  t2 -.-> t3",
        "  e1 -.- t4",
    ]


def test_dot(plan, resolution):
    drawn = dot(plan, resolution)
    assert drawn.startswith("digraph plan {")
    assert drawn.count("{") == drawn.count("}") == 4
    assert (
        '"s.a" [label="[done] s.a  A \\"quoted\\" <b> #1 \\\\ end\\nsecond", color=gray, fontcolor=gray];'
        in drawn
    )
    assert '"s.b" [label="[1] s.b  B", color=red, penwidth=3];' in drawn
    assert '"s.a" -> "a.a" [style=solid, ltail=cluster_0, lhead=cluster_1];' in drawn
    assert '"a.a" -> "a.b" [style=dashed];' in drawn
    assert '"a.a" -> "d.a" [style=dotted, ltail=cluster_1];' in drawn


def test_an_edge_on_the_critical_path_is_marked(plan, resolution):
    task = plan.tasks["a.a"]
    chained = Task(
        **{name: getattr(task, name) for name in task.__slots__} | {"depends_on": (Dependency("s.b"),)}
    )
    epics = (plan.epics[0], Epic("auth", "Sign-in", (), (chained,)))
    shorter = Plan(epics, plan.path)
    assert [edge.after for edge in edges(shorter, resolution) if edge.critical] == ["a.a"]
    assert "linkStyle 1 stroke:#c00" in mermaid(shorter, resolution)
    assert '"s.b" -> "a.a" [style=solid, color=red, penwidth=3];' in dot(shorter, resolution)


def test_an_epic_without_tasks_is_drawn(resolution):
    plan = Plan((Epic("a", "Empty"), Epic("b", "Next", (Dependency("a"),))), Path("plan.yaml"))
    nothing = Resolution({}, {}, (), {}, {}, (), {}, {})
    assert '"a" -> "b" [style=solid, ltail=cluster_0, lhead=cluster_1];' in dot(plan, nothing)
    assert "* critical path: nothing left to do" in tree(plan, nothing)


def test_json(plan, resolution):
    found = json.loads(as_json(plan, resolution))
    assert found["batches"] == [["s.b", "d.a"], ["a.a", "a.b"]]
    assert found["critical_path"] == ["s.b", "a.a"]
    assert found["tasks"][2] == {
        "id": "a.a",
        "epic": "auth",
        "title": "A",
        "batch": 2,
        "lane": "auth",
        "agent": "",
        "model": "",
        "priority": 5,
        "estimate": None,
        "duration": 60.0,
        "slack": 0.0,
        "waits_for": ["schema"],
        "critical": True,
        "finished": False,
    }
    assert {"from": "schema", "to": "auth", "type": "hard", "critical": False} in found["edges"]
    assert (found["work"], found["critical_length"]) == (125.0, 90.0)
