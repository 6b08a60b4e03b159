"""The built-in kinds of agents: the contract, command lines, and recorded streams of the real programs."""

from __future__ import annotations

import os
import re
import signal
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

import yoke_agents
from yoke_agents.common import exit_error
from yokeflow.config import AgentOptions, Config
from yokeflow.engine.process import run_process, scrubbed_environment
from yokeflow.model import AgentOutput, AgentReport, AgentRequest, Attempt, Task, Usage
from yokeflow.plugin_manager import PluginManager
from yokeflow.testing import HOSTILE, Script, ScriptedAgent, agent_request, check_agent, scripted

if TYPE_CHECKING:
    from yokeflow.hookspecs import Agent

AGENTS: dict[str, Agent] = {agent.name: agent for agent in yoke_agents.register_agents()}
RECORDED = Path(__file__).parent.parent / "fixtures" / "agents"
NEEDED = {"command": AgentOptions(argv=("tool", "{title}", "{prompt_file}"))}


@pytest.mark.parametrize("name", sorted(AGENTS))
def test_contract(name):
    check_agent(AGENTS[name], NEEDED.get(name))


def test_contract_of_the_scripted_agent():
    check_agent(ScriptedAgent(Script().say("hello")))


def test_plugin_manager_offers_all_kinds():
    manager = PluginManager()
    manager.register(yoke_agents)
    manager.register(scripted(Script().say("hello")))
    assert set(manager.agents()) == {"shell", "command", "claude", "codex", "scripted"}


class _Stubborn(ScriptedAgent):
    def missing(self, options):
        return ""


def test_contract_finds_an_agent_that_misses_nothing():
    with pytest.raises(AssertionError, match="not there"):
        check_agent(_Stubborn(Script()))


def replay(name: str, stream: str, exit_code: int, model: str = "") -> tuple[AgentReport, list[AgentOutput]]:
    request = agent_request_of(model)
    reader = AGENTS[name].reader(request, AgentOptions())
    lines = (RECORDED / stream).read_bytes().splitlines()
    outputs = [output for line in lines for output in reader.feed(line)]
    return reader.finish(exit_code), outputs


def agent_request_of(model: str):
    nowhere = Path("/nowhere")
    attempt = Attempt(Task(id="t", epic="e", title="T"), 1, "session", "run")
    return AgentRequest(attempt, "prompt", nowhere, nowhere, nowhere, model)


class TestClaude:
    def test_done(self):
        report, outputs = replay("claude", "claude-done.jsonl", 0)
        assert report == AgentReport(
            ok=True,
            answer="The file is written.",
            usage=(Usage("claude-sonnet-5-5", input=200, output=14, cache_read=40, cache_write=6),),
            cost_usd=0.000559,
            conversation="6da2adc9-6074-49aa-87c6-95ff9eeb8d6c",
        )
        assert outputs == [
            AgentOutput("tool", "Write /project/hello.txt"),
            AgentOutput("text", "The file is written."),
        ]

    def test_error_with_subtype_success_is_an_error(self):
        report, _ = replay("claude", "claude-refused.jsonl", 1)
        assert not report.ok
        assert report.error.startswith("API Error: 500 refused by the script")

    def test_cost_of_an_unknown_model_is_unknown(self):
        report, _ = replay("claude", "claude-unknown-model.jsonl", 0)
        assert report.ok
        assert report.cost_usd is None
        assert report.usage[0].model == "strange-model"

    def test_refused_tool_is_noted(self):
        report, outputs = replay("claude", "claude-denied.jsonl", 0)
        assert report.ok
        assert AgentOutput("note", "was refused Write") in outputs

    def test_killed_in_the_middle(self):
        reader = AGENTS["claude"].reader(agent_request_of(""), AgentOptions())
        for line in (RECORDED / "claude-done.jsonl").read_bytes().splitlines()[:-1]:
            list(reader.feed(line))
            list(reader.feed(line))  # parts of one message repeat its usage
        report = reader.finish(-signal.SIGTERM)
        assert report.error == "killed by SIGTERM"
        assert report.usage == (
            Usage("claude-sonnet-5-5", input=200, output=2, cache_read=40, cache_write=6),
        )
        assert report.cost_usd is None

    def test_exit_0_without_a_result_is_no_success(self):
        report = AGENTS["claude"].reader(agent_request_of(""), AgentOptions()).finish(0)
        assert report.error == "ended without a result"

    def test_last_of_several_results_counts(self):
        reader = AGENTS["claude"].reader(agent_request_of(""), AgentOptions())
        list(reader.feed(b'{"type": "result", "is_error": true, "result": "first"}'))
        list(reader.feed(b'{"type": "result", "is_error": false, "result": "second"}'))
        assert reader.finish(0) == AgentReport(ok=True, answer="second")

    def test_command_line(self, tmp_path, monkeypatch):
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        options = AgentOptions(args=("--max-turns", "9"), env={"DISABLE_AUTOUPDATER": "0"})
        launch = AGENTS["claude"].launch(agent_request(tmp_path, model="opus"), options)
        assert launch.argv[:2] == ("claude", "-p")
        assert launch.argv[-4:] == ("--model", "opus", "--max-turns", "9")
        assert launch.argv[5:7] == ("--setting-sources", "user")
        assert launch.stdin.decode() == HOSTILE
        assert "ANTHROPIC_API_KEY" in launch.pass_env
        assert launch.env["DISABLE_AUTOUPDATER"] == "0"
        assert "IS_SANDBOX" not in launch.env

    @pytest.mark.parametrize("names", [("AGENTS.md",), ("CLAUDE.md", "AGENTS.md")])
    def test_instructions_of_the_repository_are_named(self, tmp_path, names):
        request = agent_request(tmp_path)
        for name in names:
            (request.worktree / name).touch()
        launch = AGENTS["claude"].launch(request, AgentOptions())
        assert launch.argv[-2] == "--append-system-prompt"
        assert f"are in {names[0]}: read it" in launch.argv[-1]

    def test_root_is_told_to_be_a_sandbox(self, tmp_path, monkeypatch):
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        assert AGENTS["claude"].launch(agent_request(tmp_path), AgentOptions()).env["IS_SANDBOX"] == "1"


class TestCodex:
    def test_done_with_cached_tokens_subtracted(self):
        report, outputs = replay("codex", "codex-done.jsonl", 0, "gpt-5")
        assert report == AgentReport(
            ok=True,
            answer="The file is written.",
            usage=(Usage("gpt-5", input=160, output=14, cache_read=40),),
            conversation="01a1fa36-cbd9-7801-9f48-6b9d01013a13",
        )
        assert [output.kind for output in outputs] == ["note", "tool", "text"]
        assert "hello.txt" in outputs[1].text

    def test_failed_turn(self):
        report, outputs = replay("codex", "codex-refused.jsonl", 1, "gpt-5")
        assert not report.ok
        assert report.error.endswith("high demand, which may cause temporary errors.")
        assert {output.kind for output in outputs} == {"note"}

    def test_exit_0_without_a_turn_is_no_success(self):
        report = AGENTS["codex"].reader(agent_request_of(""), AgentOptions()).finish(0)
        assert report.error == "ended without completing its turn"

    @pytest.mark.parametrize(
        ("item", "shown"),
        [
            (b'{"type": "file_change", "changes": [{"path": "a"}, {"path": "b"}]}', "edit a b"),
            (b'{"type": "mcp_tool_call", "server": "s", "tool": "t"}', "s t"),
            (b'{"type": "web_search", "query": "q"}', "search q"),
        ],
    )
    def test_tools_are_shown_once(self, item, shown):
        reader = AGENTS["codex"].reader(agent_request_of(""), AgentOptions())
        started = list(reader.feed(b'{"type": "item.started", "item": %s}' % item))
        completed = list(reader.feed(b'{"type": "item.completed", "item": %s}' % item))
        assert started + completed == [AgentOutput("tool", shown)]

    def test_command_line(self, tmp_path):
        launch = AGENTS["codex"].launch(
            agent_request(tmp_path, model="gpt-5"), AgentOptions(args=("-c", "x=1"))
        )
        assert launch.argv[:3] == ("codex", "exec", "--json")
        assert launch.argv[-5:] == ("-m", "gpt-5", "-c", "x=1", "-")
        assert launch.stop_signal == signal.SIGINT
        assert launch.stdin.decode() == HOSTILE


async def run_agent(name: str, options: AgentOptions, folder: Path, run: str = "") -> tuple[AgentReport, str]:
    """Really run it; its report and its output."""
    request = agent_request(folder, run=run)
    agent = AGENTS[name]
    reader = agent.reader(request, options)
    ended = await run_process(
        agent.launch(request, options),
        cwd=request.worktree,
        env=scrubbed_environment(),
        transcript=folder / "output.log",
        timeout=20,
        mark=("YOKE_SESSION", request.attempt.session),
        on_line=lambda line: deque(reader.feed(line), maxlen=0).clear(),
    )
    return reader.finish(ended.code), ended.tail


class TestShell:
    async def test_runs_the_task(self, tmp_path):
        report, _ = await run_agent("shell", AgentOptions(), tmp_path, run="echo one; echo two > f; cat f")
        assert report == AgentReport(ok=True, answer="one\ntwo", cost_usd=0.0)
        assert (tmp_path / "worktree" / "f").read_text() == "two\n"

    async def test_failure(self, tmp_path):
        report, _ = await run_agent("shell", AgentOptions(), tmp_path, run="echo no; exit 3")
        assert report == AgentReport(ok=False, error="exit code 3", answer="no", cost_usd=0.0)

    async def test_task_without_a_command_says_so(self, tmp_path):
        report, tail = await run_agent("shell", AgentOptions(), tmp_path, run="  ")
        assert not report.ok
        assert "task e1.t1 has no `run`" in tail


class TestCommand:
    async def test_placeholders_arrive_as_they_are(self, tmp_path):
        argv = (
            "printf",
            "%s|",
            "{title}",
            "{task}/{model}",
            "{worktree}",
            "{scratch}",
            "{other}",
            '{"json": 1}',
        )
        report, _ = await run_agent("command", AgentOptions(argv=argv), tmp_path)
        worktree, scratch = tmp_path / "worktree", tmp_path / "scratch"
        expected = (HOSTILE, "e1.t1/m1", str(worktree), str(scratch), "{other}", '{"json": 1}', "")
        assert report.answer == "|".join(expected)
        assert not list(worktree.iterdir())

    async def test_prompt_on_stdin(self, tmp_path):
        report, _ = await run_agent("command", AgentOptions(argv=("cat",)), tmp_path)
        assert report.answer == HOSTILE

    async def test_prompt_in_a_file(self, tmp_path):
        options = AgentOptions(argv=("sh", "-c", 'cat; cat "$1"', "sh", "{prompt_file}"), prompt="file")
        assert AGENTS["command"].missing(options) == ""
        report, _ = await run_agent("command", options, tmp_path)
        assert report.answer == HOSTILE

    async def test_shell_scripts_get_values_as_variables(self, tmp_path):
        options = AgentOptions(argv=("sh", "-ec", 'printf %s "$YOKE_TITLE"; echo " {title}"'))
        assert (
            AGENTS["command"].missing(options)
            == "`{title}` would be run by the shell: write $YOKE_TITLE in its place"
        )
        report, _ = await run_agent("command", options, tmp_path)
        assert report.answer == HOSTILE + " {title}"

    def test_missing(self):
        missing = AGENTS["command"].missing
        assert "set `argv`" in missing(AgentOptions())
        assert "`no-such-tool` is not there" in missing(AgentOptions(argv=("no-such-tool",)))
        assert missing(AgentOptions(argv=("./in/the/worktree",))) == ""
        assert missing(AgentOptions(argv=("sh", "-e", "script.sh", "{title}"))) == ""

    async def test_program_of_the_options_takes_the_place_of_the_first(self, tmp_path):
        options = AgentOptions(argv=("no-such-tool", "{task}"), program="echo", args=("{model}",))
        assert AGENTS["command"].missing(options) == ""
        report, _ = await run_agent("command", options, tmp_path)
        assert report.answer == "e1.t1 m1"

    async def test_program_that_is_not_there_when_it_starts(self, tmp_path):
        report, tail = await run_agent("command", AgentOptions(argv=("./gone",)), tmp_path)
        assert not report.ok
        assert tail == "cannot be started: No such file or directory: ./gone"


def test_missing_programs_say_how_to_install_them(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert "npm install -g @anthropic-ai/claude-code" in AGENTS["claude"].missing(AgentOptions())
    assert "npm install -g @openai/codex" in AGENTS["codex"].missing(AgentOptions())


def documented_settings() -> list[str]:
    page = (Path(__file__).parents[2] / "docs" / "how-to-agents.md").read_text(encoding="utf-8")
    return re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)


@pytest.mark.parametrize("settings", documented_settings())
def test_documented_settings_work(settings, tmp_path):
    config = Config.model_validate(yaml.safe_load(settings))
    for name, options in config.agents.options.items():
        agent = AGENTS[options.kind or name]
        argv = agent.launch(agent_request(tmp_path), options).argv
        assert not re.search(r"\{\w+\}", " ".join(argv))
        assert "would be run by the shell" not in agent.missing(options)


def test_kill_signal_without_a_name():
    assert exit_error(-200) == "killed by signal 200"
