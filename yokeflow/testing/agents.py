"""What every kind of agent promises."""

from __future__ import annotations

import json
import signal
import tempfile
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from yokeflow.config import AgentOptions
from yokeflow.model import AgentOutput, AgentReport, AgentRequest, Attempt, Launch, Task, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from yokeflow.hookspecs import Agent

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
