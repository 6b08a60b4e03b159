"""Profiles as `yoke plan` shows and checks them."""

from __future__ import annotations

import json

import pytest

from yokeflow.__main__ import main

CONFIG = """\
agents:
  default: claude
  profiles:
    coder: {categories: [code], escalates_to: senior}
    senior: {agent: codex, capabilities: [sql], model: gpt-5}
    writer: {files: ["docs/**"], agent: codex}
"""

PLAN = """\
epics:
  - id: core
    tasks:
      - {id: c.code, title: Code, category: code}
      - {id: c.sql, title: Tables, needs: [sql]}
      - {id: c.docs, title: Guide, files: [docs/guide.md], agent: claude}
      - {id: c.any, title: Anything}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A repository with profiles and a plan; its database cannot be reached."""
    (tmp_path / ".git").mkdir()
    (tmp_path / ".yokeflow.yaml").write_text(CONFIG)
    (tmp_path / "plan.yaml").write_text(PLAN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("YOKE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    return tmp_path


def test_show_tells_profile_and_agent(folder, capsys):
    assert main(["plan", "show"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split()[:6] == ["batch", "task", "lane", "agent", "profile", "model"]
    assert [line.split()[1:6] for line in lines[:4]] == [
        ["c.code", "core", "claude", "coder", "-"],
        ["c.sql", "core", "codex", "senior", "gpt-5"],
        ["c.docs", "core", "claude", "writer", "-"],
        ["c.any", "core", "claude", "-", "-"],
    ]


def test_show_tells_programs_why(folder, capsys):
    assert main(["plan", "show", "--json"]) == 0
    told = {task["id"]: task for task in json.loads(capsys.readouterr().out)["tasks"]}
    assert [(task["profile"], task["agent"]) for task in told.values()] == [
        ("coder", "claude"),
        ("senior", "codex"),
        ("writer", "claude"),
        ("", "claude"),
    ]
    assert told["c.sql"]["profile_reason"] == "can do what the task needs: sql"


def test_show_has_no_column_where_there_are_no_profiles(folder, capsys):
    (folder / ".yokeflow.yaml").unlink()
    (folder / "plan.yaml").write_text("epics: [{id: a, tasks: [{id: b, title: T}]}]\n")
    assert main(["plan", "show"]) == 0
    assert "profile" not in capsys.readouterr().out


def test_every_task_that_nobody_can_do_is_told_with_its_line(folder, capsys):
    text = PLAN.replace("category: code", "profile: codr").replace("[sql]", "[sql, gpu]")
    (folder / "plan.yaml").write_text(text)
    for command in ("validate", "show"):
        assert main(["plan", command]) == 2
        told = capsys.readouterr().err
        assert (
            f"{folder}/plan.yaml:4: epics[0].tasks[0].profile: task c.code: there is no profile `codr`"
            in told
        )
        assert "(did you mean `coder`?)" in told
        assert ":5: epics[0].tasks[1].needs: task c.sql: no profile has the capability `gpu`" in told
        assert "2 problems in plan.yaml" in told


def test_validate_tells_programs_about_profiles(folder, capsys):
    (folder / "plan.yaml").write_text("epics: [{id: a, tasks: [{id: b, title: T, profile: wrter}]}]\n")
    assert main(["plan", "validate", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert [(each["key"], each["hint"]) for each in told["problems"]] == [
        ("epics[0].tasks[0].profile", "did you mean `writer`?")
    ]


def test_without_the_plugin_a_profile_in_the_plan_is_refused(folder, capsys):
    (folder / ".yokeflow.yaml").write_text(CONFIG + "plugins: {disabled: [yoke_profiles]}\n")
    assert main(["plan", "validate"]) == 2
    told = capsys.readouterr().err
    assert ":5: epics[0].tasks[1].needs: task c.sql: no plugin chooses profiles" in told
    assert "take yoke_profiles out of plugins.disabled" in told


def test_a_blank_need_is_no_need(folder, capsys):
    (folder / "plan.yaml").write_text("epics:\n  - id: a\n    tasks: [{id: b, title: T, needs: ['']}]\n")
    assert main(["plan", "validate"]) == 2
    assert ":3: epics[0].tasks[0].needs[0]: is no capability" in capsys.readouterr().err


WRONG = """\
agents:
  options:
    mine: {kind: command, argv: [make]}
    other: {kind: comand}
  profiles:
    coder: {categories: [code], escalates_to: senior}
    senior: {agent: gemnini}
models:
  tiers:
    mine: {fast: small}
    codx: {fast: gpt-5-mini}
"""


def test_agents_of_the_settings_that_nobody_knows_are_told_with_their_lines(folder, capsys):
    (folder / ".yokeflow.yaml").write_text(WRONG.replace("gemnini", "clade"))
    (folder / "plan.yaml").write_text("epics: [{id: a, tasks: [{id: b, title: T}]}]\n")
    assert main(["plan", "validate"]) == 2
    told = capsys.readouterr().err
    config = f"{folder}/.yokeflow.yaml"
    assert f"{config}:4: agents.options.other.kind: there is no kind of agent `comand`" in told
    assert "(did you mean `command`?)" in told
    assert f"{config}:7: agents.profiles.senior.agent: there is no agent `clade`" in told
    assert "(did you mean `claude`?)" in told
    assert f"{config}:11: models.tiers.codx: `codx` is neither an agent nor a kind of agent" in told
    assert "3 problems in .yokeflow.yaml" in told


def test_an_unknown_agent_of_a_task_is_told_with_its_line(folder, capsys):
    (folder / "plan.yaml").write_text(PLAN.replace("agent: claude", "agent: clade"))
    assert main(["plan", "validate"]) == 2
    told = capsys.readouterr().err
    assert f"{folder}/plan.yaml:6: epics[0].tasks[2].agent: task c.docs: there is no agent `clade`" in told
    assert "(did you mean `claude`?)" in told


def test_the_default_agent_and_a_variable_that_names_one(folder, capsys, monkeypatch):
    (folder / ".yokeflow.yaml").write_text("agents:\n  default: cladue\n")
    monkeypatch.setenv("YOKE_AGENTS__PROFILES__CODER__AGENT", "nobody")
    (folder / "plan.yaml").write_text("epics: [{id: a, tasks: [{id: b, title: T}]}]\n")
    assert main(["plan", "validate"]) == 2
    told = capsys.readouterr().err
    assert ":2: agents.default: there is no agent `cladue` (did you mean `claude`?)" in told
    assert "environment: YOKE_AGENTS__PROFILES__CODER__AGENT: there is no agent `nobody` (known: " in told
