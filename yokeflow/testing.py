"""For people who write plugins: what every agent promises, as one check, and an agent that follows a script.

def test_my_agent():
    check_agent(MyAgent())

script = Script().write("hello.txt", "hello").commit("Say hello").exit(0)
manager.register(scripted(script))         # or give `script.text` to a task as its `run`
"""

from __future__ import annotations

import json
import shlex
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePath
from types import SimpleNamespace
from typing import TYPE_CHECKING, Self

from yokeflow.config import AgentOptions
from yokeflow.hookspecs import hookimpl
from yokeflow.model import AgentOutput, AgentReport, AgentRequest, Attempt, Launch, Task, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from yokeflow.hookspecs import Agent, AgentReader

#: A title and a prompt that do harm wherever a shell gets to see them.
HOSTILE = "$(touch hostile) `touch hostile` '; touch hostile; \" ü \N{SNOWMAN}"
_PROGRAM = "/there/is/no/such/program"
#: Keys of known streams, to be filled with what does not belong there.
_KEYS = (
    *("message", "item", "result", "usage", "modelUsage", "error", "errors", "is_error", "session_id"),
    *("permission_denials", "thread_id", "subtype", "total_cost_usd", "content", "text", "changes"),
)
_TYPES = ("assistant", "result", "turn.completed", "turn.failed", "item.completed", "error", 5, None)
_VALUES: tuple[object, ...] = (
    None,
    1,
    -1,
    "x",
    [],
    [None, 1],
    {"content": [None, {"type": "text"}]},
    {"type": []},
)
#: What a broken, a changed or a malicious program might print.
GARBAGE = (
    *(b"", b"\xff\xfe\x00 binary", b"plain text", b"{", b"null", b"[1, 2]", b'{"type": "result", "x": NaN}'),
    b"[" * 100_000,
    b'"' + b"x" * 1_000_000 + b'"',
    *(
        json.dumps({**dict.fromkeys(_KEYS, value), "type": kind}).encode()
        for kind in _TYPES
        for value in _VALUES
    ),
)


def agent_request(
    folder: Path, *, run: str = "true", prompt: str = HOSTILE, model: str = "m1"
) -> AgentRequest:
    """A request as the core would make it, in folders below `folder` that are there already."""
    worktree, scratch = folder / "worktree", folder / "scratch"
    for each in (worktree, scratch):
        each.mkdir(parents=True, exist_ok=True)
    prompt_file = folder / "prompt.md"
    prompt_file.write_text(prompt, encoding="utf-8")
    task = Task(id="e1.t1", epic="e1", title=HOSTILE, prompt=prompt, run=run)
    attempt = Attempt(task, 1, "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002")
    return AgentRequest(attempt, prompt, prompt_file, worktree, scratch, model)


def check_agent(agent: Agent, options: AgentOptions | None = None) -> None:
    """Check that `agent` keeps the promises of yokeflow.hookspecs.Agent; starts no process.

    `options` are what it needs to work at all. Raises AssertionError with the promise that was broken.
    """
    options = options or AgentOptions()
    assert agent.name, "an agent has a name"
    assert agent.name == agent.name.strip().lower(), (
        f"{agent.name!r}: a name is lower case, without blanks around"
    )
    nowhere = options.model_copy(update={"program": _PROGRAM})
    assert agent.missing(nowhere), "a program that is not there is found by `missing`, which says what to do"
    with tempfile.TemporaryDirectory() as folder:
        request = agent_request(Path(folder))
        _check_launch(agent, request, options)
        _check_readers(agent, request, options)


def _check_launch(agent: Agent, request: AgentRequest, options: AgentOptions) -> None:
    launch = agent.launch(request, options)
    assert type(launch) is Launch, "`launch` gives a Launch"
    assert launch == agent.launch(request, options), "the same request gives the same launch"
    assert launch.argv, "a command line is not empty"
    assert not any("\0" in str(each) for each in launch.argv), "arguments are text without NUL"
    environment = [*launch.env, *launch.env.values()]
    assert [str(each) for each in environment] == environment, "the environment is text"
    assert isinstance(launch.stdin, bytes), "stdin is bytes"
    assert isinstance(launch.pass_env, tuple), "pass_env is a tuple of names"
    assert signal.Signals(launch.stop_signal), "stop_signal is a signal"
    assert not list(request.worktree.iterdir()), "`launch` writes nothing into the worktree"
    if PurePath(launch.argv[0]).name in {"sh", "bash", "dash", "zsh", "ksh"} and "-c" in launch.argv[:-1]:
        script = launch.argv[launch.argv.index("-c") + 1]
        assert HOSTILE not in script, "titles and prompts never become part of a shell script"
    program = agent.launch(request, options.model_copy(update={"program": _PROGRAM})).argv[0]
    assert program == _PROGRAM, "`program` in the options is what gets started"


def _check_readers(agent: Agent, request: AgentRequest, options: AgentOptions) -> None:
    assert agent.reader(request, options) is not agent.reader(request, options), (
        "every process has its own reader"
    )
    for code in (1, 127, -signal.SIGTERM, -signal.SIGKILL):
        report = agent.reader(request, options).finish(code)
        _check_report(report)
        assert not report.ok, f"exit code {code} is not a success"
    for code in (0, 1):
        reader = agent.reader(request, options)
        for line in GARBAGE:
            _check_outputs(reader.feed(line))
        _check_report(reader.finish(code))


def _check_outputs(outputs: Iterable[AgentOutput]) -> None:
    for output in outputs:
        assert isinstance(output, AgentOutput), "`feed` gives AgentOutput values"
        assert output.kind in {"text", "tool", "note", "usage"}, f"{output.kind!r} is no kind of output"
        assert isinstance(output.text, str), "what is shown is text"
        assert output.usage or output.kind != "usage", "an output of kind `usage` carries a Usage"
        if output.usage is not None:
            _check_usage(output.usage)


def _check_report(report: AgentReport) -> None:
    assert isinstance(report, AgentReport), "`finish` gives an AgentReport"
    assert isinstance(report.answer, str), "an answer is text"
    assert bool(report.error) is not report.ok, "an error is given exactly when it is not ok"
    assert report.cost_usd is None or report.cost_usd >= 0, "a cost is not negative"
    for used in report.usage:
        _check_usage(used)


def _check_usage(used: Usage) -> None:
    assert isinstance(used, Usage), "usage is given as Usage"
    assert min(used.input, used.output, used.cache_read, used.cache_write) >= 0, "tokens are not negative"
    assert used.cost_usd is None or used.cost_usd >= 0, "a cost is not negative"


@dataclass(frozen=True, slots=True)
class Script:
    """What an agent of a test does, step by step, as a shell script; every method gives a longer one."""

    #: The script so far.
    text: str = ""

    def run(self, command: str) -> Self:
        """Any shell command."""
        return type(self)(f"{self.text}{command}\n")

    def say(self, words: str) -> Self:
        """Print a line."""
        return self.run(f"printf '%s\\n' {shlex.quote(words)}")

    def write(self, path: str, content: str) -> Self:
        """Write a file, with the folders it needs."""
        folder = shlex.quote(str(PurePath(path).parent))
        return self.run(f"mkdir -p {folder} && printf %s {shlex.quote(content)} > {shlex.quote(path)}")

    def commit(self, message: str) -> Self:
        """Commit everything that is there."""
        return self.run(f"git add -A && {_COMMIT} -m {shlex.quote(message)}")

    def commit_elsewhere(self, branch: str, message: str) -> Self:
        """Switch to a branch of its own and commit there, as agents do who know better."""
        return self.run(f"git switch -q -c {shlex.quote(branch)} && git add -A").run(
            f"{_COMMIT} --allow-empty -m {shlex.quote(message)}"
        )

    def sleep(self, seconds: float) -> Self:
        """Wait."""
        return self.run(f"sleep {seconds}")

    def hang(self, *, stubborn: bool = False) -> Self:
        """Never end; a stubborn one ignores all polite signals."""
        ignore = "trap '' TERM INT HUP; " if stubborn else ""
        return self.run(f"{ignore}while :; do sleep 1; done")

    def flood(self, size: int) -> Self:
        """Print about `size` bytes in short lines."""
        return self.run(f"yes 'flood of words' | head -c {size}; echo")

    def binary(self) -> Self:
        """Print bytes that are no text, with a line break between."""
        return self.run(r"printf '\377\376\000\001\n\200binary\033[31m\n'")

    def daemon(self, pid_file: Path) -> Self:
        """Leave a process behind: in a session of its own, without environment, with another parent."""
        inner = f"echo $$ > {shlex.quote(str(pid_file))}; exec sleep 600"
        outer = f"env -i setsid sh -c {shlex.quote(inner)} >/dev/null 2>&1 </dev/null &"
        wait = f"until [ -s {shlex.quote(str(pid_file))} ]; do sleep 0.01; done"
        return self.run(f"setsid sh -c {shlex.quote(outer)}").run(wait)

    def delete_worktree(self) -> Self:
        """Remove the folder it works in."""
        return self.run('rm -rf -- "$PWD"')

    def exit(self, code: int) -> Self:
        """End."""
        return self.run(f"exit {code}")

    def save(self, path: Path) -> Path:
        """Write the script as a program."""
        path.write_text(f"#!/bin/sh\n{self.text}", encoding="utf-8")
        path.chmod(0o755)
        return path


_COMMIT = "git -c user.name=Script -c user.email=script@localhost commit -q"


class ScriptedReader:
    """Shows every line; exit code 0 is success."""

    def feed(self, line: bytes) -> Iterable[AgentOutput]:
        """Show the line."""
        return (AgentOutput("text", line.decode(errors="replace")),)

    def finish(self, exit_code: int) -> AgentReport:
        """Success is exit code 0."""
        return AgentReport(ok=exit_code == 0, error=f"exit code {exit_code}" if exit_code else "")


class ScriptedAgent:
    """Follows a script, whatever the task."""

    def __init__(self, script: Script, name: str = "scripted") -> None:
        self.name = name
        self._script = script

    def missing(self, options: AgentOptions) -> str:
        """Nothing, unless the options name another shell that is not there."""
        there = options.program is None or Path(options.program).exists()
        return "" if there else f"`{options.program}` is not there: unset `program`"

    def launch(self, request: AgentRequest, options: AgentOptions) -> Launch:
        """Run the script; the prompt is on standard input."""
        argv = (options.program or "sh", "-c", self._script.text)
        return Launch(argv, env=options.env, stdin=request.prompt.encode())

    def reader(self, request: AgentRequest, options: AgentOptions) -> AgentReader:  # noqa: ARG002 - the protocol's
        """Read plain text."""
        return ScriptedReader()


def scripted(script: Script, name: str = "scripted") -> object:
    """Make a plugin to register that brings one agent, which follows `script`."""

    @hookimpl
    def register_agents() -> Sequence[Agent]:
        return (ScriptedAgent(script, name),)

    return SimpleNamespace(register_agents=register_agents)
