"""The `claude` agent: Claude Code without a terminal, read through its JSON stream."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from yoke_agents.common import (
    count,
    dollars,
    exit_error,
    json_object,
    mapping,
    missing_program,
    objects,
    text,
)
from yoke_agents.tally import Tally, minus, plus
from yokeflow.model import AgentOutput, AgentReport, Launch, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from yokeflow.config import AgentOptions
    from yokeflow.hookspecs import AgentReader
    from yokeflow.model import AgentRequest

_FLAGS = (
    *("-p", "--output-format", "stream-json", "--verbose"),
    # A repository's own settings could run hooks and send the key elsewhere.
    *("--setting-sources", "user"),
)
_FULL, _NONE = ("--permission-mode", "bypassPermissions"), ("--permission-mode", "dontAsk")
#: With the repository's settings off, these are not read by themselves; the first that is there counts.
_INSTRUCTIONS = ("CLAUDE.md", "AGENTS.md")
_ENV = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}
_PASS_ENV = (
    *("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "ANTHROPIC_CUSTOM_HEADERS"),
    *("CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CONFIG_DIR"),
)
#: What tells most about a tool call, in the order of looking.
_TELLING = ("command", "file_path", "path", "pattern", "url", "query", "description", "prompt")


class ClaudeAgent:
    """Runs `claude -p` with the prompt on standard input."""

    name = "claude"

    def missing(self, options: AgentOptions) -> str:
        """Ask for the program."""
        return missing_program(
            options.program or "claude",
            "install Claude Code (`npm install -g @anthropic-ai/claude-code`), or set `program` to its path",
        )

    def launch(self, request: AgentRequest, options: AgentOptions) -> Launch:
        """Start it with full permission: the worktree is its own, and what counts are the checks."""
        model = ("--model", request.model) if request.model else ()
        # It takes no 0.
        cap = () if request.cap_usd is None else ("--max-budget-usd", f"{max(request.cap_usd, 1e-6):.6f}")
        # It refuses full permission to root unless told that this is a sandbox.
        as_root = {"IS_SANDBOX": "1"} if os.geteuid() == 0 else {}
        return Launch(
            argv=(
                options.program or "claude",
                *_FLAGS,
                *(_NONE if request.question else _FULL),
                *model,
                *cap,
                *_instructions(request.worktree),
                *options.args,
            ),
            env={**_ENV, **as_root, **options.env},
            pass_env=_PASS_ENV,
            stdin=request.prompt.encode(errors="replace"),
        )

    def reader(self, request: AgentRequest, options: AgentOptions) -> AgentReader:  # noqa: ARG002 - the protocol's
        """Read its JSON stream."""
        return ClaudeReader(request.cap_usd)


def _instructions(worktree: Path) -> tuple[str, ...]:
    name = next((name for name in _INSTRUCTIONS if (worktree / name).is_file()), "")
    told = f"This repository's instructions for you are in {name}: read it before you start."
    return ("--append-system-prompt", told) if name else ()


class ClaudeReader:
    """Understands `--output-format stream-json`. Several results may come; the last one counts.

    Messages tell how much it read as they come, though not how much it wrote; the result makes up for it, and
    for messages that are not in the stream, such as the last one of a sub-agent.
    """

    def __init__(self, cap_usd: float | None = None) -> None:
        """`cap_usd` is what it was told not to pass."""
        self._cap = cap_usd
        self._conversation = ""
        self._result: dict[str, Any] = {}
        self._messages: dict[str, Usage] = {}
        self._tally = Tally()

    def feed(self, line: bytes) -> Iterable[AgentOutput]:
        """Show what it says, the tools it uses and what it was refused."""
        event = json_object(line)
        self._conversation = text(event.get("session_id")) or self._conversation
        match event.get("type"):
            case "assistant":
                shown = [shown for part in _content(event) if (shown := _shown(part))]
                return [*shown, *self._read(mapping(event.get("message")))]
            case "result":
                self._result = event
                refused = (text(each.get("tool_name")) for each in objects(event.get("permission_denials")))
                notes = [AgentOutput("note", f"was refused {name or 'a tool'}") for name in refused]
                return [*notes, *self._tally.reach(_usage(event))]
        return ()

    def finish(self, exit_code: int) -> AgentReport:
        """Success needs exit code 0 and a result that is no error, whatever its subtype says."""
        result = self._result
        error = _error(result, exit_code, self._cap)
        return AgentReport(
            ok=not error,
            error=error,
            answer=text(result.get("result")),
            usage=_usage(result) if result else self._tally.all,
            cost_usd=_cost(result),
            conversation=self._conversation,
            # What it wrote is told with the result alone.
            final=bool(result),
        )

    def _read(self, message: dict[str, Any]) -> tuple[AgentOutput, ...]:
        """Every part of a message tells what the whole message has used so far."""
        name, used = text(message.get("id")), _used(message)
        before = self._messages.get(name, Usage(used.model))
        more = minus(used, before)
        self._messages[name] = plus(before, more)
        return self._tally.add(more)


def _content(event: dict[str, Any]) -> list[dict[str, Any]]:
    return objects(mapping(event.get("message")).get("content"))


def _shown(part: dict[str, Any]) -> AgentOutput | None:
    if part.get("type") == "text" and (said := text(part.get("text")).strip()):
        return AgentOutput("text", said)
    if part.get("type") == "tool_use":
        given = mapping(part.get("input"))
        detail = next((found for key in _TELLING if (found := text(given.get(key)))), "")
        return AgentOutput("tool", f"{text(part.get('name'))} {detail}".strip())
    return None


def _error(result: dict[str, Any], exit_code: int, cap: float | None) -> str:
    if not result:
        return exit_error(exit_code) or "ended without a result"
    if result.get("subtype") == "error_max_budget_usd" and cap is not None:
        return f"the session passed its cap of ${cap:.6f}".rstrip("0").rstrip(".")
    if result.get("is_error"):
        errors = result.get("errors")
        said = [each for each in errors if isinstance(each, str)] if isinstance(errors, list) else []
        return text(result.get("result")) or "; ".join(said) or text(result.get("subtype")) or "failed"
    return exit_error(exit_code)


def _usage(result: dict[str, Any]) -> tuple[Usage, ...]:
    models = mapping(result.get("modelUsage"))
    return tuple(
        Usage(
            model=model,
            input=count(used.get("inputTokens")),
            output=count(used.get("outputTokens")),
            cache_read=count(used.get("cacheReadInputTokens")),
            cache_write=count(used.get("cacheCreationInputTokens")),
            cost_usd=None if used.get("costBasis") == "unknown" else dollars(used.get("costUSD")),
        )
        for model, used in models.items()
        if isinstance(used, dict)
    )


def _used(message: dict[str, Any]) -> Usage:
    used = mapping(message.get("usage"))
    return Usage(
        model=text(message.get("model")),
        input=count(used.get("input_tokens")),
        output=count(used.get("output_tokens")),
        cache_read=count(used.get("cache_read_input_tokens")),
        cache_write=count(used.get("cache_creation_input_tokens")),
    )


def _cost(result: dict[str, Any]) -> float | None:
    """Its own account; None where it did not know a model's price and took another's."""
    bases = [
        result.get("costBasis"),
        *(mapping(each).get("costBasis") for each in mapping(result.get("modelUsage")).values()),
    ]
    return None if "unknown" in bases else dollars(result.get("total_cost_usd"))
