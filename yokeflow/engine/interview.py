"""Let an agent answer a question for a plugin: outside the repository, within the budget, on the books."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from shutil import rmtree
from time import monotonic
from typing import TYPE_CHECKING
from uuid import uuid4

from yokeflow.engine.agent_process import AgentProcess
from yokeflow.engine.redact import redact
from yokeflow.errors import UsageError, disk_full
from yokeflow.home import data_folder
from yokeflow.model import AgentReport, AgentRequest, Attempt, SessionResult

if TYPE_CHECKING:
    from pathlib import Path

    from yokeflow.engine.context import Context


async def interview(
    context: Context, about: Attempt, prompt: str, operation: str, agent: str, model: str
) -> AgentReport:
    """What `agent` answers to `prompt`; `about` is the session whose task has to pay for it.

    Raises UsageError for an unknown agent, LimitError when the budget does not reach.
    """
    if agent not in context.agents and agent not in context.config.agents.options:
        raise UsageError(f"there is no agent {agent}", hint="`yoke plugins` shows where agents come from")
    asked = replace(about, session=str(uuid4()), tier="", profile=None, question=True)
    attempt = replace(asked, agent=agent, model=model)
    # One question at a time, beside the sessions.
    async with context.asking:
        reserved = await context.decide.reserve(attempt)
        report, started = AgentReport(ok=False), monotonic()
        try:
            report = await _ask(context, attempt, redact(prompt), reserved.cap_usd if reserved else None)
        finally:
            cost = await account(context, attempt, report, operation, monotonic() - started)
    return replace(report, cost_usd=cost)


async def _ask(context: Context, attempt: Attempt, prompt: str, cap: float | None) -> AgentReport:
    folder = context.project.session_folder(attempt.session)
    place, scratch, file = _place(attempt.session), folder / "scratch", folder / "prompt.md"
    try:
        for each in (place, scratch):
            each.mkdir(parents=True)
        file.write_text(prompt, encoding="utf-8")
    except OSError as error:
        raise disk_full(error) from error
    request = AgentRequest(attempt, prompt, file, place, scratch, attempt.model, cap, question=True)
    try:
        worked = await AgentProcess(context, attempt, context.stop).run(request, folder / "output.log")
    finally:
        await asyncio.to_thread(rmtree, place, ignore_errors=True)
    return worked.report


def _place(session: str) -> Path:
    """A folder from which no repository is reached by chance."""
    return data_folder() / "questions" / session


async def account(
    context: Context, attempt: Attempt, report: AgentReport, operation: str, seconds: float
) -> float | None:
    """Put on the books what an agent did beside the attempts; gives what it cost, where that is known."""
    cost, source, usage = context.priced(report)
    context.recorder.emit(
        "agent.asked",
        epic=attempt.task.epic,
        task=attempt.task.id,
        session=attempt.session,
        operation=operation,
        agent=attempt.agent,
        model=attempt.model,
        seconds=round(seconds, 3),
        ok=report.ok,
        cost_usd=cost,
        cost_source=source,
        usage=[asdict(each) for each in usage],
    )
    state = "completed" if report.ok else "failed"
    result = SessionResult(attempt, attempt.agent, attempt.model, state, report.error, seconds, report)
    await context.decide.settle(replace(result, cost_usd=cost))
    return cost
