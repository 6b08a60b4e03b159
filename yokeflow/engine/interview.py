"""Let an agent answer a question for a plugin, in an empty folder, within the budget and on the books."""

from __future__ import annotations

from dataclasses import asdict, replace
from time import monotonic
from typing import TYPE_CHECKING
from uuid import uuid4

from yokeflow.engine.agent_process import AgentProcess
from yokeflow.errors import UsageError, disk_full
from yokeflow.model import AgentReport, AgentRequest, Attempt, SessionResult

if TYPE_CHECKING:
    from yokeflow.engine.context import Context


async def interview(
    context: Context, about: Attempt, prompt: str, operation: str, agent: str, model: str
) -> AgentReport:
    """What `agent` answers to `prompt`; `about` is the session whose task has to pay for it.

    Raises UsageError for an unknown agent, LimitError when the budget does not reach.
    """
    if agent not in context.agents and agent not in context.config.agents.options:
        raise UsageError(f"there is no agent {agent}", hint="`yoke plugins` shows where agents come from")
    attempt = replace(about, session=str(uuid4()), agent=agent, model=model, tier="", profile=None)
    reserved = await context.decide.reserve(attempt)
    report, started = AgentReport(ok=False), monotonic()
    try:
        request = _request(context, attempt, prompt, reserved.cap_usd if reserved else None)
        worked = await AgentProcess(context, attempt, context.stop).run(
            request, request.prompt_file.with_name("output.log")
        )
        report = worked.report
    finally:
        cost = await _account(context, attempt, report, operation, monotonic() - started)
    return replace(report, cost_usd=cost)


def _request(context: Context, attempt: Attempt, prompt: str, cap: float | None) -> AgentRequest:
    folder = context.project.session_folder(attempt.session)
    place, scratch, file = folder / "worktree", folder / "scratch", folder / "prompt.md"
    try:
        for each in (place, scratch):
            each.mkdir(parents=True)
        file.write_text(prompt, encoding="utf-8")
    except OSError as error:
        raise disk_full(error) from error
    return AgentRequest(attempt, prompt, file, place, scratch, attempt.model, cap)


async def _account(
    context: Context, attempt: Attempt, report: AgentReport, operation: str, seconds: float
) -> float | None:
    cost, _source, usage = context.priced(report)
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
        usage=[asdict(each) for each in usage],
    )
    state = "completed" if report.ok else "failed"
    result = SessionResult(attempt, attempt.agent, attempt.model, state, report.error, seconds, report)
    await context.decide.settle(replace(result, cost_usd=cost))
    return cost
