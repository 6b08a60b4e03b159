"""`yoke plan`, as a person or a program uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from yokeflow.__main__ import main

PLAN = """\
epics:
  - id: schema
    tasks:
      - {id: s.a, title: Tables, estimate: 1h}
      - {id: s.b, title: Views, estimate: 30m, depends_on: [s.a], agent: codex}
  - id: auth
    depends_on: [schema]
    tasks: [{id: a.a, title: Sign-in, estimate: 30m, model: opus}]
  - id: docs
    tasks: [{id: d.a, title: Guide, estimate: 15m}]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A repository with a plan, and the caller somewhere inside."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "plan.yaml").write_text(PLAN)
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    return tmp_path


def test_validate(folder, capsys):
    assert main(["plan", "validate"]) == 0
    assert capsys.readouterr().out == f"valid: {folder / 'plan.yaml'} (3 epics, 4 tasks)\n"


def test_validate_for_programs(folder, capsys):
    assert main(["plan", "validate", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"valid": True, "problems": [], "epics": 3, "tasks": 4}


def test_an_invalid_plan(folder, capsys):
    (folder / "bad.yaml").write_text(
        "epics:\n  - id: a\n    tasks: [{id: b, titel: x}]\n    depend_on: [c]\n"
    )
    assert main(["plan", "validate", "--plan", str(folder / "bad.yaml")]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert f"{folder / 'bad.yaml'}:3: epics[0].tasks[0].titel: there is no key `titel`" in told.err
    assert ":4: epics[0].depend_on: there is no key `depend_on` (did you mean `depends_on`?)" in told.err
    assert "hint: " in told.err


def test_an_invalid_plan_for_programs(folder, capsys):
    (folder / "plan.yaml").write_text("epics:\n  - id: a\n    tasks: [{id: b, title: T, estimate: soon}]\n")
    assert main(["plan", "validate", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["valid"] is False
    (problem,) = told["problems"]
    assert (problem["line"], problem["key"]) == (3, "epics[0].tasks[0].estimate")
    assert problem["hint"] == "write it like 45s, 30m, 1h30m or 2d"


def test_the_configured_plan_and_branch_prefix(folder, capsys):
    (folder / ".yokeflow.yaml").write_text("plan: docs/backlog.yaml\nproject: {branch_prefix: team/}\n")
    (folder / "docs").mkdir()
    (folder / "docs" / "backlog.yaml").write_text(
        "epics:\n  - {id: a, tasks: [{id: x, title: T}]}\n  - {id: A, tasks: [{id: y, title: T}]}\n"
    )
    assert main(["plan", "validate"]) == 2
    assert "team/a and team/A differ only by case" in capsys.readouterr().err


def test_no_plan(folder, capsys):
    (folder / "plan.yaml").unlink()
    assert main(["plan", "show"]) == 2
    assert "yoke init" in capsys.readouterr().err


def test_show(folder, capsys):
    assert main(["plan", "show"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[1:5]] == [
        ["1", "s.a", "schema", "claude"],
        ["2", "s.b", "schema", "codex"],
        ["3", "a.a", "auth", "claude"],
        ["1", "d.a", "docs", "claude"],
    ]
    row = lines[3]
    assert "opus" in row
    assert " * " in row
    assert "schema" in row.split("*")[1]
    assert lines[6:] == [
        "4 tasks in 3 epics, 3 batches",
        "work           2 h 15 min, one task after another",
        "critical path  2 h (*): s.a -> s.b -> a.a",
        "expected       2 h with 3 sessions at a time",
    ]


def test_show_counts_with_the_configured_concurrency(folder, capsys):
    (folder / ".yokeflow.yaml").write_text("parallel: {enabled: false}\n")
    assert main(["plan", "show", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["concurrency"], told["makespan"], told["work"], told["critical_length"]) == (
        1,
        8100,
        8100,
        7200,
    )
    assert [task["batch"] for task in told["tasks"]] == [1, 2, 3, 1]


@pytest.mark.parametrize(
    ("form", "fragment"),
    [("tree", "* [2] s.b  Views  30m  (after s.a)"), ("mermaid", "flowchart LR"), ("dot", '"s.a" -> "s.b"')],
)
def test_graph(folder, capsys, form, fragment):
    assert main(["plan", "graph", "--format", form]) == 0
    assert fragment in capsys.readouterr().out


@pytest.mark.parametrize("option", [["--format", "json"], ["--json"]])
def test_graph_for_programs(folder, capsys, option):
    assert main(["plan", "graph", *option]) == 0
    assert json.loads(capsys.readouterr().out)["critical_path"] == ["s.a", "s.b", "a.a"]


def test_titles_cannot_steer_the_terminal(folder, capsys):
    (folder / "plan.yaml").write_text(
        'epics: [{id: a, title: "\\e[31mred", tasks: [{id: b, title: "\\e]0;x\\a"}]}]'
    )
    for command in ("show", "graph"):
        assert main(["plan", command]) == 0
        assert "\x1b" not in capsys.readouterr().out


def test_a_plan_outside_of_any_repository(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("other.yaml").write_text(PLAN)
    assert main(["plan", "validate", "--plan", "other.yaml"]) == 0
    assert "3 epics" in capsys.readouterr().out


@pytest.mark.parametrize("command", [[], ["validate"], ["show"], ["graph"]])
def test_help_has_examples(capsys, command):
    assert main(["plan", *command, "--help"]) == 0
    assert "Examples:\n    yoke plan" in capsys.readouterr().out
