"""An agent at work on a conflict: with the machinery of attempts, and none of their consequences."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from yokeflow.engine.conflicts.bench import UnresolvedError
from yokeflow.engine.lanes.guard import at_work, guard_target, known_target
from yokeflow.engine.secrets.redact import redact
from yokeflow.engine.sessions.accounting import on_the_books
from yokeflow.engine.sessions.agent_process import AgentProcess
from yokeflow.engine.sessions.agent_request import write_request
from yokeflow.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from yokeflow.engine.context import Context
    from yokeflow.model import Attempt

#: Under which it is accounted for.
OPERATION = "conflict"
#: Characters of what it printed last that a person is told.
_TAIL = 1000


async def let_agent_work(context: Context, attempt: Attempt, worktree: Path, base: str, prompt: str) -> None:
    """Run the agent in `worktree`, which is at `base`, and put what it cost on the books.

    Raises UnresolvedError when it failed or was stopped, LimitError when the budget does not reach.
    """
    check_agent(context, attempt.agent)
    target = await known_target(context)
    async with on_the_books(context, attempt, OPERATION) as asked:
        asking = (context, attempt, redact(prompt), worktree, asked.cap_usd)
        request = await asyncio.to_thread(write_request, *asking)
        process = AgentProcess(context, attempt, context.stop)
        with at_work(context, worktree, base):
            worked = await process.run_in_repository(request, context.project.session_folder(attempt.session))
            asked.report = worked.report
            moved = await guard_target(context, worktree, target, base)
    if moved:
        raise UnresolvedError(moved)
    if worked.failure:
        raise UnresolvedError(redact(f"{worked.failure}\n{worked.ended.tail[-_TAIL:]}".strip()))


def check_agent(context: Context, name: str) -> None:
    """Raises UsageError for an agent that cannot resolve anything."""
    hint = "set landing.conflict_agent to an agent that reads a prompt"
    try:
        agent, options = context.agent(name)
    except KeyError:
        raise UsageError(f"there is no agent {name}", hint=hint) from None
    if agent.name == "shell":
        raise UsageError("the shell agent runs commands of tasks, and there is none for conflicts", hint=hint)
    if remedy := agent.missing(options):
        raise UsageError(f"agent {name} is not installed", hint=remedy)
