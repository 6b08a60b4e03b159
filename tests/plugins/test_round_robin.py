"""The example of a plugin, as its users get it: a wheel beside ours, in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.conftest import run

CHECKOUT = Path(__file__).parents[2]
EXAMPLE = CHECKOUT / "examples" / "yoke-round-robin"
#: The order without the plugin: the long epic, which everything waits for, has its way.
PLAN = """
epics:
  - id: long
    tasks:
      - {id: long.a, title: A, run: "echo a > long.a"}
      - {id: long.b, title: B, run: "echo b > long.b", depends_on: [long.a]}
      - {id: long.c, title: C, run: "echo c > long.c", depends_on: [long.b], estimate: 1h}
  - id: short
    tasks:
      - {id: short.a, title: A, run: "echo a > short.a"}
      - {id: short.b, title: B, run: "echo b > short.b"}
"""
CONFIG = """
agents: {default: shell}
parallel: {max_concurrency: 1}
round_robin: {first: [short]}
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environment(fresh_environment: Callable[..., Path]) -> Path:
    """Where both wheels are installed."""
    return fresh_environment(CHECKOUT, EXAMPLE)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the plan, and the environment variables of somebody who has just installed both."""
    for name in [name for name in os.environ if name.startswith(("PYTHON", "COV_", "YOKE_PLUGINS"))]:
        monkeypatch.delenv(name)
    root = tmp_path / "project"
    root.mkdir()
    (root / "plan.yaml").write_text(PLAN)
    (root / ".yokeflow.yaml").write_text(CONFIG)
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "Start"]):
        run("git", *arguments, cwd=root)
    return root


def test_a_plan_runs_with_it(
    environment: Path, project: Path, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOKE_DATABASE_URL", empty_database_url)
    yoke = environment / "bin" / "yoke"
    shown: dict[str, Any] = json.loads(run(yoke, "plugins", "--json", cwd=project))
    assert shown["failed"] == []
    entry = shown["loaded"][0]
    assert (entry["name"], entry["source"]) == ("yoke_round_robin", "yoke-round-robin 1.0.0")
    assert Path(entry["file"]).is_relative_to(environment)
    assert {"begin_run", "on_event", "order_ready"} <= {*entry["hooks"]}
    brought = {name: entry[name] for name in ("sections", "commands", "migrations")}
    assert brought == {
        "sections": ["round_robin"],
        "commands": ["turns"],
        "migrations": ["yoke_round_robin"],
    }
    settings = json.loads(run(yoke, "config", "show", "--json", cwd=project))
    assert settings["round_robin.first"]["value"] == ["short"]
    assert "turns" in run(yoke, "--help", cwd=project)
    run(yoke, "run", cwd=project)
    events = [json.loads(line) for line in run(yoke, "log", "--json", cwd=project).splitlines()]
    started = [event["task"] for event in events if event["type"] == "session.started"]
    assert started == ["short.a", "long.a", "short.b", "long.b", "long.c"]
    assert json.loads(run(yoke, "turns", "--json", cwd=project)) == {"long": 3, "short": 2}
    assert run(yoke, "turns", cwd=project).split() == ["epic", "started", "long", "3", "short", "2"]


def test_it_can_be_switched_off_and_disabled(
    environment: Path, project: Path, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOKE_DATABASE_URL", empty_database_url)
    yoke = environment / "bin" / "yoke"
    (project / ".yokeflow.yaml").write_text(f"{CONFIG}plugins: {{disabled: [yoke_round_robin]}}\n")
    refused = subprocess.run([yoke, "run"], cwd=project, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert ".yokeflow.yaml:4: round_robin: there is no key" in refused.stderr
    assert "the plugin that brings it may be missing" in refused.stderr
    (project / ".yokeflow.yaml").write_text(CONFIG.replace("{first: [short]}", "{enabled: false}"))
    run(yoke, "run", cwd=project)
    events = [json.loads(line) for line in run(yoke, "log", "--json", cwd=project).splitlines()]
    started = [event["task"] for event in events if event["type"] == "session.started"]
    assert started[:3] == ["long.a", "long.b", "long.c"]


def test_its_own_tests_pass(
    environment: Path, project: Path, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOKE_DATABASE_URL", server_url)
    plain = ["-p", "no:cacheprovider", "-p", "no:xdist"]
    said = run(environment / "bin" / "python", "-m", "pytest", "-q", *plain, EXAMPLE, cwd=project)
    assert "3 passed" in said
