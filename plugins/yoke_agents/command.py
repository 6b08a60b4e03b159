"""The `command` agent: any program that takes a prompt and works in the current folder."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from yoke_agents.common import PlainReader, missing_program
from yokeflow.model import Launch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yokeflow.config import AgentOptions
    from yokeflow.hookspecs import AgentReader
    from yokeflow.model import AgentRequest

_PLACEHOLDER = re.compile(r"\{(prompt_file|model|worktree|task|title|scratch)\}")
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "fish", "busybox"})


class CommandAgent:
    """Runs `argv` with its placeholders filled in, argument by argument and never through a shell.

    The same values are in the environment as YOKE_PROMPT_FILE, YOKE_MODEL, YOKE_WORKTREE, YOKE_TASK,
    YOKE_TITLE and YOKE_SCRATCH, which is how a shell script gets them safely.
    """

    name = "command"

    def missing(self, options: AgentOptions) -> str:
        """Ask for a command line, for its program, and for no placeholder where a shell would run it."""
        if not options.argv:
            return "set `argv`, the command line of this agent, under agents.options"
        script = _script(options)
        if script is not None and (found := _PLACEHOLDER.search(options.argv[script])):
            variable = f"$YOKE_{found[1].upper()}"
            return f"`{found[0]}` would be run by the shell: write {variable} in its place"
        return missing_program(options.program or options.argv[0], "install it, or set `program` to its path")

    def launch(self, request: AgentRequest, options: AgentOptions) -> Launch:
        """Fill in the placeholders; the prompt goes to standard input unless `prompt: file`."""
        values = _values(request)
        argv = list(options.argv)
        if options.program and argv:
            argv[0] = options.program
        script = _script(options)
        filled = [each if place == script else _fill(each, values) for place, each in enumerate(argv)]
        return Launch(
            argv=(*filled, *(_fill(each, values) for each in options.args)),
            env={**{f"YOKE_{name.upper()}": value for name, value in values.items()}, **options.env},
            stdin=request.prompt.encode(errors="replace") if options.prompt == "stdin" else b"",
        )

    def reader(self, request: AgentRequest, options: AgentOptions) -> AgentReader:  # noqa: ARG002 - the protocol's
        """Read plain text."""
        return PlainReader()


def _values(request: AgentRequest) -> dict[str, str]:
    task = request.attempt.task
    return {
        "prompt_file": str(request.prompt_file),
        "model": request.model,
        "worktree": str(request.worktree),
        "task": task.id,
        "title": task.title,
        "scratch": str(request.scratch),
    }


def _fill(argument: str, values: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda found: values[found[1]], argument)


def _script(options: AgentOptions) -> int | None:
    """Where in `argv` a shell's script is, if there is one: the argument after `-c`."""
    if not options.argv or PurePath(options.argv[0]).name not in _SHELLS:
        return None
    for place, argument in enumerate(options.argv[1:-1], 1):
        if re.fullmatch(r"-[a-z]*c", argument):
            return place + 1
    return None
