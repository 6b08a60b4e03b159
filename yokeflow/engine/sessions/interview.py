"""Let an agent answer a question for a plugin: outside the repository, within the budget, on the books."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from shutil import rmtree
from typing import TYPE_CHECKING
from uuid import uuid4

from yokeflow.engine.secrets.redact import redact
from yokeflow.engine.sessions.accounting import on_the_books
from yokeflow.engine.sessions.agent_process import AgentProcess
from yokeflow.engine.sessions.agent_request import write_request
from yokeflow.errors import UsageError, disk_full
from yokeflow.home import data_folder

if TYPE_CHECKING:
    from pathlib import Path

    from yokeflow.engine.context import Context
    from yokeflow.model import AgentReport, Attempt


async def interview(
    context: Context, about: Attempt, prompt: str, operation: str, agent: str, model: str
) -> AgentReport:
    """What `agent` answers to `prompt`; `about` is the session whose task has to pay for it.

    Raises UsageError for an unknown agent, LimitError when the budget does not reach.
    """
    if agent not in context.agents and agent not in context.config.agents.options:
        raise UsageError(f"there is no agent {agent}", hint="`yoke plugins` shows where agents come from")
    bare = replace(about, session=str(uuid4()), tier="", profile=None, question=True)
    attempt = replace(bare, agent=agent, model=model)
    # One question at a time, beside the sessions.
    async with context.asking, on_the_books(context, attempt, operation) as asked:
        asked.report = await _ask(context, attempt, redact(prompt), asked.cap_usd)
    return replace(asked.report, cost_usd=asked.cost_usd)


async def _ask(context: Context, attempt: Attempt, prompt: str, cap: float | None) -> AgentReport:
    place = _place(attempt.session)
    try:
        place.mkdir(parents=True)
    except OSError as error:
        raise disk_full(error) from error
    transcript = context.project.session_folder(attempt.session) / "output.log"
    try:
        request = write_request(context, attempt, prompt, place, cap, question=True)
        worked = await AgentProcess(context, attempt, context.stop).run(request, transcript)
    finally:
        await asyncio.to_thread(rmtree, place, ignore_errors=True)
    return worked.report


def _place(session: str) -> Path:
    """A folder from which no repository is reached by chance."""
    return data_folder() / "questions" / session
