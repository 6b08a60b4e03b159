"""The `codex` agent: Codex CLI without a terminal, read through its JSON stream."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yoke_agents.codex_session import SessionFile
from yoke_agents.common import count, exit_error, json_object, mapping, missing_program, objects, text
from yoke_agents.tally import Tally
from yokeflow.model import AgentOutput, AgentReport, Launch, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from yokeflow.config import AgentOptions
    from yokeflow.hookspecs import AgentReader
    from yokeflow.model import AgentRequest

_FLAGS = (
    *("exec", "--json", "--skip-git-repo-check"),
    # Keeps variables that look like keys away from the commands it runs.
    *("-c", "shell_environment_policy.ignore_default_excludes=false"),
)
#: Its own sandbox makes .git read-only: it could not commit.
_FULL, _NONE = ("--dangerously-bypass-approvals-and-sandbox",), ("-s", "read-only")
_PASS_ENV = ("CODEX_API_KEY", "CODEX_HOME", "OPENAI_API_KEY", "OPENAI_BASE_URL")


class CodexAgent:
    """Runs `codex exec` with the prompt on standard input."""

    name = "codex"

    def missing(self, options: AgentOptions) -> str:
        """Ask for the program."""
        return missing_program(
            options.program or "codex",
            "install Codex CLI (`npm install -g @openai/codex`), or set `program` to its path",
        )

    def launch(self, request: AgentRequest, options: AgentOptions) -> Launch:
        """Start it with full permission: the worktree is its own, and what counts are the checks."""
        model = ("-m", request.model) if request.model else ()
        return Launch(
            argv=(
                options.program or "codex",
                *_FLAGS,
                *(_NONE if request.question else _FULL),
                *model,
                *options.args,
                "-",
            ),
            env=options.env,
            pass_env=_PASS_ENV,
            stdin=request.prompt.encode(errors="replace"),
            stop_signal=signal.SIGINT,  # SIGTERM would leave the command it runs behind
        )

    def reader(self, request: AgentRequest, options: AgentOptions) -> AgentReader:
        """Read its JSON stream, and for tokens the file that it keeps of the conversation."""
        return CodexReader(request.model, SessionFile(request.worktree / _home(options)))


def _home(options: AgentOptions) -> Path:
    """Its own folder, by the environment it gets."""
    named = options.env.get("CODEX_HOME") or os.environ.get("CODEX_HOME")
    return Path(named) if named else Path(options.env.get("HOME") or Path.home(), ".codex")


class CodexReader:
    """Understands `--json`. Errors before the last turn are notes; the turn and the exit code decide.

    The stream tells the tokens of a completed turn only; the file of the conversation, where it can be read,
    those of every answer right after it.
    """

    def __init__(self, model: str, session: SessionFile) -> None:
        self._model = model
        self._session = session
        self._conversation = ""
        self._answer = ""
        self._failure = ""
        self._completed = False
        self._tally = Tally()
        self._shown: set[str] = set()

    def feed(self, line: bytes) -> Iterable[AgentOutput]:
        """Show what it says, the commands it runs and the files it changes."""
        event = json_object(line)
        # Before a completed turn, whose total is told under the model that the file names.
        told = self._follow() if event else []
        match event.get("type"):
            case "thread.started":
                self._conversation = text(event.get("thread_id"))
            case "turn.completed":
                self._completed, self._failure = True, ""
                told += self._reach(mapping(event.get("usage")))
            case "turn.failed":
                self._completed = False
                self._failure = text(mapping(event.get("error")).get("message")) or "the turn failed"
            case "error":
                told.append(AgentOutput("note", text(event.get("message")) or "error"))
            case "item.started" | "item.completed" as when:
                told += self._item(mapping(event.get("item")), completed=when == "item.completed")
        return told

    def finish(self, exit_code: int) -> AgentReport:
        """Success needs exit code 0 and a completed turn."""
        self._follow()
        error = self._failure or exit_error(exit_code)
        if not error and not self._completed:
            error = "ended without completing its turn"
        return AgentReport(
            ok=not error,
            error=error,
            answer=self._answer,
            usage=self._tally.all,
            conversation=self._conversation,
        )

    def _follow(self) -> list[AgentOutput]:
        self._session.follow(self._conversation)
        return self._reach(self._session.usage)

    def _reach(self, used: dict[str, Any]) -> list[AgentOutput]:
        return self._tally.reach([_usage(self._model or self._session.model, used)])

    def _item(self, item: dict[str, Any], *, completed: bool) -> Iterable[AgentOutput]:
        shown = _shown(item)
        if shown is None or (not completed and shown.kind != "tool"):
            return ()
        if shown.kind == "text":
            self._answer = shown.text
        name = text(item.get("id"))
        if shown.kind == "tool" and name in self._shown:
            return ()
        self._shown.add(name)
        return (shown,)


def _shown(item: dict[str, Any]) -> AgentOutput | None:
    match item.get("type"):
        case "agent_message":
            return AgentOutput("text", text(item.get("text")))
        case "command_execution":
            return AgentOutput("tool", text(item.get("command")))
        case "file_change":
            paths = (text(each.get("path")) for each in objects(item.get("changes")))
            return AgentOutput("tool", f"edit {' '.join(paths)}")
        case "mcp_tool_call":
            return AgentOutput("tool", f"{text(item.get('server'))} {text(item.get('tool'))}")
        case "web_search":
            return AgentOutput("tool", f"search {text(item.get('query'))}")
        case "error":
            return AgentOutput("note", text(item.get("message")) or "error")
    return None


def _usage(model: str, used: dict[str, Any]) -> Usage:
    """What Codex calls input holds the cached and the written tokens too."""
    read, written = count(used.get("cached_input_tokens")), count(used.get("cache_write_input_tokens"))
    fresh = max(count(used.get("input_tokens")) - read - written, 0)
    return Usage(model, fresh, count(used.get("output_tokens")), read, written)
