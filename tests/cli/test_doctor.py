"""Findings of `yoke doctor`, also where everything is broken."""

from __future__ import annotations

import json

import pytest

from yokeflow.__main__ import main
from yokeflow.engine.demo import make_demo
from yokeflow.engine.doctor import Health, diagnose


async def found(folder):
    return {finding.check: finding for finding in await diagnose(folder)}


@pytest.fixture
async def demo(tmp_path):
    """A project in order."""
    folder = tmp_path / "calc"
    await make_demo(folder)
    return folder


async def test_a_project_in_order(demo, database_url, monkeypatch):
    monkeypatch.setenv("YOKE_DATABASE_URL", database_url)
    findings = await found(demo)
    wrong = {name: f.message for name, f in findings.items() if f.health is Health.FAIL}
    assert wrong == {}
    assert findings["plan"].message == "plan.yaml: 4 epics, 13 tasks"
    assert findings["agents"].message == "shell"
    assert findings["database"].health is Health.OK
    assert str(demo) in findings["repository"].message


async def test_a_database_that_waits_for_migrations(demo, empty_database_url, monkeypatch):
    monkeypatch.setenv("YOKE_DATABASE_URL", empty_database_url)
    database = (await found(demo))["database"]
    assert database.health is Health.WARN
    assert "yoke db upgrade" in database.remedy


async def test_where_everything_is_broken(tmp_path, monkeypatch):
    monkeypatch.setenv("YOKE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    (tmp_path / ".yokeflow.yaml").write_text("agnts: {}\n")
    (tmp_path / "plan.yaml").write_text("epics: 3\n")
    findings = await found(tmp_path)
    broken = {name for name, finding in findings.items() if finding.health is Health.FAIL}
    assert {"repository", "config", "plan", "database"} <= broken
    assert "git init" in findings["repository"].remedy
    assert "agents" in findings["config"].message
    assert findings["python"].health is Health.OK
    assert all(findings[name].remedy for name in broken)


async def test_missing_and_unknown_agents_come_with_how_to_get_them(demo, monkeypatch):
    config = "agents:\n  default: robot\n  options:\n    robot: {kind: command, program: no-such-robot}\n"
    (demo / ".yokeflow.yaml").write_text(config)
    agents = (await found(demo))["agents"]
    assert agents.health is Health.FAIL
    assert "robot" in agents.message
    assert agents.remedy
    (demo / ".yokeflow.yaml").write_text("agents: {default: nobody}\n")
    assert "nobody is no agent; known: " in (await found(demo))["agents"].remedy


async def test_an_agent_that_cannot_resolve_conflicts_is_doubted(demo):
    options = "{sh: {kind: shell}, robot: {kind: command, argv: [no-such-robot]}}"
    agents = f"agents: {{default: shell, options: {options}}}"
    for name in ("", ", conflict_agent: sh"):
        (demo / ".yokeflow.yaml").write_text(f"{agents}\nlanding: {{conflicts: agent{name}}}\n")
        config = (await found(demo))["config"]
        assert config.health is Health.WARN
        assert "landing.conflicts" in config.message
        assert "set landing.conflict_agent" in config.message
    (demo / ".yokeflow.yaml").write_text(f"{agents}\nlanding: {{conflicts: agent, conflict_agent: robot}}\n")
    findings = await found(demo)
    assert findings["config"].health is Health.OK
    assert findings["agents"].message == "needed: shell, robot"
    assert findings["agents"].remedy
    (demo / ".yokeflow.yaml").write_text(f"{agents}\nlanding: {{conflict_agent: shell}}\n")
    assert (await found(demo))["config"].health is Health.OK


async def test_uncommitted_changes_are_a_warning(demo):
    (demo / "README.md").write_text("mine\n")
    repository = (await found(demo))["repository"]
    assert repository.health is Health.WARN
    assert repository.message.endswith("; 1 path not committed")
    (demo / "yours.md").write_text("yours\n")
    assert (await found(demo))["repository"].message.endswith("; 2 paths not committed")


async def test_one_epic_is_no_epics(demo):
    (demo / "plan.yaml").write_text("epics: [{id: a, tasks: [{id: b, title: T, run: 'true'}]}]\n")
    assert (await found(demo))["plan"].message == "plan.yaml: 1 epic, 1 task"


async def test_limits_without_accounts_are_a_warning(demo):
    (demo / ".yokeflow.yaml").write_text("cost: {enabled: false, budget_limit_usd: 5}\n")
    config = (await found(demo))["config"]
    assert config.health is Health.WARN
    assert "cost.budget_limit_usd: is not kept: cost.enabled is false" in config.message


async def test_without_a_plan_it_says_how_to_write_one(demo):
    (demo / "plan.yaml").unlink()
    assert (await found(demo))["plan"].remedy == "write one: yoke init"


def test_the_command_prints_and_exits_by_the_worst(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "✘ repository" in text
    assert "✔ git" in text
    assert main(["doctor", "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)
    assert {"check": "git", "health": "ok"}.items() <= next(
        f for f in findings if f["check"] == "git"
    ).items()


async def test_agents_of_profiles_and_of_those_who_take_over_are_needed(demo):
    config = """\
agents:
  default: shell
  profiles:
    coder: {files: ["**"], escalates_to: senior}
    senior: {agent: robot}
"""
    (demo / ".yokeflow.yaml").write_text(config)
    plan = "epics: [{id: a, tasks: [{id: b, run: 'true', files: [x], needs: [%s]}]}]"
    (demo / "plan.yaml").write_text(plan.replace(", needs: [%s]", ""))
    agents = (await found(demo))["agents"]
    assert agents.message == "needed: robot, shell"
    assert "robot is no agent" in agents.remedy
    (demo / "plan.yaml").write_text(plan % "gpu")
    assert (await found(demo))["agents"].message == "shell"


async def test_tiers_of_nobody_are_told_with_file_and_line(demo):
    (demo / ".yokeflow.yaml").write_text("models:\n  tiers:\n    clade: {fast: haiku}\n")
    config = (await found(demo))["config"]
    assert config.health is Health.FAIL
    assert f"{demo}/.yokeflow.yaml:3: models.tiers.clade" in config.message
    assert "did you mean `claude`?" in config.message
