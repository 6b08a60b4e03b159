"""The built-in kinds of agents: the contract, command lines, and recorded streams of the real programs."""

from __future__ import annotations

import json
import os
import re
import signal
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

import yoke_agents
from yoke_agents.common import exit_error
from yokeflow.config import AgentOptions, Config
from yokeflow.engine.processes.process import run_process, scrubbed_environment
from yokeflow.model import AgentOutput, AgentReport, AgentRequest, Attempt, Task, Usage
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
    from collections.abc import Iterable

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


def agent_request_of(model: str, cap_usd: float | None = None):
    nowhere = Path("/nowhere")
    attempt = Attempt(Task(id="t", epic="e", title="T"), 1, "session", "run")
    return AgentRequest(attempt, "prompt", nowhere, nowhere, nowhere, model, cap_usd)


def live(outputs: list[AgentOutput]) -> list[Usage]:
    """What was told while it worked."""
    return [output.usage for output in outputs if output.usage is not None]


def total(usages: Iterable[Usage]) -> dict[str, tuple[int, int, int, int]]:
    sums: dict[str, tuple[int, int, int, int]] = {}
    for used in usages:
        before = sums.get(used.model, (0, 0, 0, 0))
        more = (used.input, used.output, used.cache_read, used.cache_write)
        sums[used.model] = tuple(map(add, before, more))
    return sums


def said(model: str, name: str = "msg_1", **usage: int) -> bytes:
    """A message of Claude Code."""
    message = {"id": name, "model": model, "content": [], "usage": usage}
    return json.dumps({"type": "assistant", "message": message}).encode()


def ended(**models: dict[str, int | float | str]) -> bytes:
    """A result of Claude Code."""
    return json.dumps({"type": "result", "is_error": False, "modelUsage": models}).encode()


@pytest.mark.parametrize("stream", sorted(path.name for path in RECORDED.iterdir()))
def test_live_usage_adds_up_to_the_report(stream):
    report, outputs = replay(stream.split("-")[0], stream, 0, "gpt-5")
    assert total(live(outputs)) == total(report.usage)
    assert not [output for output in outputs if output.kind == "usage" and output.text]


def test_contract_wants_usage_that_counts():
    class Reader(ScriptedReader):
        def feed(self, line):
            return (AgentOutput("usage", "", Usage("m", output=-1)),)

    class Agent(ScriptedAgent):
        def reader(self, request, options):
            return Reader()

    with pytest.raises(AssertionError, match="tokens are not negative"):
        check_agent(Agent(Script()))


class TestClaude:
    def test_done(self):
        report, outputs = replay("claude", "claude-done.jsonl", 0)
        assert report == AgentReport(
            ok=True,
            answer="The file is written.",
            usage=(Usage("claude-sonnet-5-5", 200, 14, cache_read=40, cache_write=6, cost_usd=0.000559),),
            cost_usd=0.000559,
            conversation="6da2adc9-6074-49aa-87c6-95ff9eeb8d6c",
        )
        message = Usage("claude-sonnet-5-5", input=100, output=1, cache_read=20, cache_write=3)
        assert outputs == [
            AgentOutput("tool", "Write /project/hello.txt"),
            AgentOutput("usage", "", message),
            AgentOutput("text", "The file is written."),
            AgentOutput("usage", "", message),
            AgentOutput("usage", "", Usage("claude-sonnet-5-5", output=12)),
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
        assert report.usage[0].cost_usd is None

    def test_sub_agent_of_another_model(self):
        report, outputs = replay("claude", "claude-delegated.jsonl", 0)
        assert [(used.model, used.cost_usd) for used in report.usage] == [
            ("claude-sonnet-5-5", 0.000559),
            ("claude-haiku-5-5", pytest.approx(0.00002815)),
        ]
        messages = [used for used in live(outputs) if used.input == 100]
        assert [used.model.split("-")[1] for used in messages] == ["sonnet", "haiku", "sonnet", "haiku"]

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
        assert not report.final, "how much it wrote is told with the result"
        assert report.usage == (
            Usage("claude-sonnet-5-5", input=200, output=2, cache_read=40, cache_write=6),
        )
        assert report.cost_usd is None

    def test_message_is_counted_once(self):
        reader = AGENTS["claude"].reader(agent_request_of(""), AgentOptions())
        lines = [
            said("m", input_tokens=10, output_tokens=1),
            said("m", input_tokens=10, output_tokens=1),
            said("other", "msg_2", input_tokens=4, cache_read_input_tokens=2),
            said("m", input_tokens=10, output_tokens=6),
            said("m", input_tokens=3),
        ]
        outputs = [output for line in lines for output in reader.feed(line)]
        assert live(outputs) == [Usage("m", 10, 1), Usage("other", 4, cache_read=2), Usage("m", output=5)]

    def test_results_tell_what_no_message_told(self):
        reader = AGENTS["claude"].reader(agent_request_of(""), AgentOptions())
        lines = [
            said("m", input_tokens=10),
            ended(m={"inputTokens": 10, "outputTokens": 5}, small={"inputTokens": 7, "costUSD": 0.5}),
            ended(m={"inputTokens": 10, "outputTokens": 5}, small={"inputTokens": 9, "costUSD": 0.75}),
        ]
        outputs = [output for line in lines for output in reader.feed(line)]
        assert live(outputs) == [Usage("m", 10), Usage("m", output=5), Usage("small", 7), Usage("small", 2)]
        assert reader.finish(0).usage == (Usage("m", 10, 5), Usage("small", 9, cost_usd=0.75))

    def test_messages_may_name_the_model_otherwise(self):
        reader = AGENTS["claude"].reader(agent_request_of(""), AgentOptions())
        lines = [said("m", input_tokens=10, output_tokens=1)]
        used: dict[str, dict[str, int | float | str]] = {"m[1m]": {"inputTokens": 12, "outputTokens": 5}}
        lines += [ended(**used)] * 2
        outputs = [output for line in lines for output in reader.feed(line)]
        assert live(outputs) == [Usage("m", 10, 1), Usage("m[1m]", 2, 4)]

    def test_cap(self, tmp_path):
        launch = AGENTS["claude"].launch(replace(agent_request(tmp_path), cap_usd=0.25), AgentOptions())
        assert launch.argv[-2:] == ("--max-budget-usd", "0.250000")
        assert "--max-budget-usd" not in AGENTS["claude"].launch(agent_request(tmp_path), AgentOptions()).argv

    @pytest.mark.parametrize(
        ("cap", "error"),
        [(0.25, "the session passed its cap of $0.25"), (None, "Reached maximum budget ($0.0001)")],
    )
    def test_passed_its_cap(self, cap, error):
        reader = AGENTS["claude"].reader(agent_request_of("", cap), AgentOptions())
        for line in (RECORDED / "claude-capped.jsonl").read_bytes().splitlines():
            list(reader.feed(line))
        assert reader.finish(1).error == error
        assert reader.finish(1).cost_usd == 0.0002795

    def test_negative_cost_is_unknown(self):
        reader = AGENTS["claude"].reader(agent_request_of(""), AgentOptions())
        list(reader.feed(b'{"type": "result", "total_cost_usd": -1, "modelUsage": {"m": {"costUSD": -1}}}'))
        assert reader.finish(0) == AgentReport(ok=True, usage=(Usage("m"),))

    @pytest.mark.parametrize("cost", ["true", "1e12", "1000000", "999999.9999999"])
    def test_a_cost_that_is_none_or_fits_nowhere_is_unknown(self, cost):
        reader = AGENTS["claude"].reader(agent_request_of(""), AgentOptions())
        list(reader.feed(f'{{"type": "result", "total_cost_usd": {cost}}}'.encode()))
        assert reader.finish(0).cost_usd is None

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


def record(read: int, cached: int, written: int) -> str:
    """What Codex CLI keeps about an answer."""
    used = {"input_tokens": read, "cached_input_tokens": cached, "output_tokens": written}
    return json.dumps({"type": "token_usage_record", "payload": {"thread_token_usage": used}}) + "\n"


def older_record(read: int, cached: int, written: int) -> str:
    """What its earlier versions keep."""
    used = {"input_tokens": read, "cached_input_tokens": cached, "output_tokens": written}
    payload = {"type": "token_count", "info": {"total_token_usage": used}}
    return json.dumps({"type": "event_msg", "payload": payload}) + "\n"


class TestCodex:
    def test_done_with_cached_tokens_subtracted(self):
        report, outputs = replay("codex", "codex-done.jsonl", 0, "gpt-5")
        assert report == AgentReport(
            ok=True,
            answer="The file is written.",
            usage=(Usage("gpt-5", input=160, output=14, cache_read=40),),
            conversation="01a1fa36-cbd9-7801-9f48-6b9d01013a13",
        )
        assert [output.kind for output in outputs] == ["note", "tool", "text", "usage"]
        assert "hello.txt" in outputs[1].text

    def test_failed_turn(self):
        report, outputs = replay("codex", "codex-refused.jsonl", 1, "gpt-5")
        assert not report.ok
        assert report.error.endswith("high demand, which may cause temporary errors.")
        assert {output.kind for output in outputs} == {"note"}

    def test_tokens_of_a_failed_turn_are_in_its_own_file(self, tmp_path):
        conversation = "01a1fad1-5109-7d12-8080-a6d3ebe2de27"
        folder = tmp_path / "sessions" / f"{datetime.now(UTC):%Y/%m/%d}"
        folder.mkdir(parents=True)
        (folder / "rollout-1-another.jsonl").write_text(record(9, 9, 9))
        file = folder / f"rollout-1-{conversation}.jsonl"
        reader = AGENTS["codex"].reader(agent_request_of(""), AgentOptions(env={"CODEX_HOME": str(tmp_path)}))
        started = b'{"type": "thread.started", "thread_id": "%s"}' % conversation.encode()
        assert not list(reader.feed(started))
        with file.open("a") as written:
            written.write('{"type": "turn_context", "payload": {"model": "gpt-5"}}\nnonsense "token_count"\n')
            written.write(record(100, 20, 7) + record(200, 40, 14)[:50])
        assert live(list(reader.feed(b'{"type": "turn.started"}'))) == [Usage("gpt-5", 80, 7, 20)]
        with file.open("a") as written:
            written.write(record(200, 40, 14)[50:])
        assert not live(list(reader.feed(b"garbage")))
        assert live(list(reader.feed(b'{"type": "turn.failed"}'))) == [Usage("gpt-5", 80, 7, 20)]
        with file.open("a") as written:
            written.write(older_record(250, 40, 15))
        assert reader.finish(1).usage == (Usage("gpt-5", 210, 15, 40),)

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


@pytest.mark.parametrize(
    ("kind", "flag", "full"),
    [
        ("claude", "dontAsk", "bypassPermissions"),
        ("codex", "read-only", "--dangerously-bypass-approvals-and-sandbox"),
    ],
)
def test_an_agent_that_is_only_asked_may_change_nothing(kind, flag, full):
    request = agent_request_of("")
    asked = replace(request, question=True)
    assert full in AGENTS[kind].launch(request, AgentOptions()).argv
    argv = AGENTS[kind].launch(asked, AgentOptions()).argv
    assert flag in argv
    assert full not in argv
