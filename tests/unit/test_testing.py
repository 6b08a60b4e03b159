"""The kit for plugin authors: every step of a script does what it says, the contract check finds breaches."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from yokeflow.config import AgentOptions
from yokeflow.engine.processes.process import Exit, run_process, scrubbed_environment
from yokeflow.model import AgentOutput, AgentReport, Launch, Usage
from yokeflow.plugin_manager import PluginManager
from yokeflow.testing import (
    HOSTILE,
    Script,
    ScriptedAgent,
    ScriptedReader,
    agent_request,
    check_agent,
    scripted,
)

if TYPE_CHECKING:
    from pathlib import Path


def git(folder: Path, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def worktree(tmp_path):
    folder = tmp_path / "work tree"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    return folder


@pytest.fixture
def follow(tmp_path, worktree):
    async def follow(script: Script, **settings) -> Exit:
        program = script.save(tmp_path / "program")
        settings = {"timeout": 20, "transcript": tmp_path / "log", **settings}
        mark = ("YOKE_SESSION", "test")
        return await run_process(
            Launch((str(program),)), cwd=worktree, env=scrubbed_environment(), mark=mark, **settings
        )

    return follow


async def test_write_and_commit(follow, worktree):
    ended = await follow(Script().write("a b/c'd.txt", "it's\n").commit("Say it's done").say("bye").exit(3))
    assert (ended.code, ended.tail) == (3, "bye\n")
    assert (worktree / "a b" / "c'd.txt").read_text() == "it's\n"
    assert git(worktree, "log", "--format=%s") == "Say it's done"
    assert git(worktree, "status", "--porcelain") == ""


async def test_commit_elsewhere(follow, worktree):
    assert (await follow(Script().write("a", "1").commit("one").commit_elsewhere("other", "two"))).ok
    assert git(worktree, "log", "--format=%s", "other") == "two\none"
    assert git(worktree, "log", "--format=%s", "main") == "one"


async def test_delete_worktree(follow, worktree):
    assert (await follow(Script().write("a", "1").delete_worktree().say("still here"))).tail == "still here\n"
    assert not worktree.exists()


async def test_flood_and_sleep(follow):
    lines: list[bytes] = []
    assert (await follow(Script().flood(1500).sleep(0.01).exit(0), on_line=lines.append)).ok
    assert lines == [b"flood of words"] * 100


async def test_hang(follow):
    assert (await follow(Script().hang(), timeout=0.1)).why == "timeout"


def test_scripted_plugin_offers_its_agent(tmp_path):
    manager = PluginManager()
    manager.register(scripted(Script().say("hello"), "polite"))
    agent = manager.agents()["polite"]
    request = agent_request(tmp_path)
    assert agent.launch(request, AgentOptions()).argv == ("sh", "-c", "printf '%s\\n' hello\n")
    reader = agent.reader(request, AgentOptions())
    assert list(reader.feed(b"hello")) == [AgentOutput("text", "hello")]
    assert reader.finish(2) == AgentReport(ok=False, error="exit code 2")


class _Agent(ScriptedAgent):
    """Breaks one promise."""

    def __init__(
        self, *, name: str = "agent", launch: Any = None, report: Any = None, outputs: Any = None
    ) -> None:
        super().__init__(Script().say("hello"), name)
        self._change = launch or {}
        self._report = report
        self._outputs = outputs

    def launch(self, request, options):
        return replace(super().launch(request, options), **self._change)

    def reader(self, request, options):
        return _Reader(self._report, self._outputs)


class _Reader(ScriptedReader):
    def __init__(self, report: Any, outputs: Any) -> None:
        self._report, self._outputs = report, outputs

    def feed(self, line):
        return super().feed(line) if self._outputs is None else self._outputs

    def finish(self, exit_code):
        return self._report or super().finish(exit_code)


@pytest.mark.parametrize(
    ("agent", "promise"),
    [
        (_Agent(name=""), "has a name"),
        (_Agent(name="Agent "), "lower case"),
        (_Agent(launch={"argv": ()}), "not empty"),
        (_Agent(launch={"argv": ("a\0",)}), "without NUL"),
        (_Agent(launch={"env": {"A": 1}}), "environment is text"),
        (_Agent(launch={"stdin": "text"}), "stdin is bytes"),
        (_Agent(launch={"pass_env": "NAME"}), "tuple of names"),
        (_Agent(launch={"argv": ("sh", "-c", f"echo {HOSTILE}")}), "never become part of a shell script"),
        (_Agent(launch={"argv": ("other",)}), "is what gets started"),
        (_Agent(report=AgentReport(ok=True)), "is not a success"),
        (_Agent(report=AgentReport(ok=False)), "exactly when it is not ok"),
        (
            _Agent(report=AgentReport(ok=False, error="x", usage=(Usage("m", input=-1),))),
            "tokens are not negative",
        ),
        (_Agent(report=AgentReport(ok=False, error="x", cost_usd=-1.0)), "cost is not negative"),
        (_Agent(outputs=[AgentOutput("shout", "x")]), "no kind of output"),
        (_Agent(outputs=["x"]), "AgentOutput values"),
    ],
)
def test_contract_names_the_broken_promise(agent, promise):
    with pytest.raises(AssertionError, match=promise):
        check_agent(agent)
