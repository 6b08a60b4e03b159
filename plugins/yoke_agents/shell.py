"""The `shell` agent: does a task by running its `run` command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yoke_agents.common import PlainReader, missing_program
from yokeflow.model import Launch

if TYPE_CHECKING:
    from yokeflow.config import AgentOptions
    from yokeflow.hookspecs import AgentReader
    from yokeflow.model import AgentRequest


class ShellAgent:
    """Runs the task's `run` with `sh -c` in the worktree; instead of a prompt, it has $YOKE_ANSWERS."""

    name = "shell"

    def missing(self, options: AgentOptions) -> str:
        """Ask for a POSIX shell."""
        return missing_program(options.program or "sh", "install a POSIX shell, or set `program`")

    def launch(self, request: AgentRequest, options: AgentOptions) -> Launch:
        """Start the command; a task without one fails with a sentence that says so."""
        task, shell = request.attempt.task, options.program or "sh"
        if not task.run.strip():
            said = f"task {task.id} has no `run`, which the shell agent runs: add it, or name another agent"
            return Launch((shell, "-c", 'printf "%s\\n" "$1" >&2; exit 2', shell, said), env=options.env)
        return Launch((shell, "-c", task.run, shell, *options.args), env=options.env)

    def reader(self, request: AgentRequest, options: AgentOptions) -> AgentReader:  # noqa: ARG002 - the protocol's
        """Read plain text; no model is paid."""
        return PlainReader(cost_usd=0.0)
