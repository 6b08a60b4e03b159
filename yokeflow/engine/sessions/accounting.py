"""Money of agents: recorded when it is set aside, so that the death of a run does not hide what is spent."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any

from yokeflow.events import Event
from yokeflow.model import AgentReport, SessionResult

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from yokeflow.engine.context import Context
    from yokeflow.engine.recorder import Recorder
    from yokeflow.model import Attempt, Reservation


@dataclass
class Asked:
    """What an agent does beside the attempts."""

    #: What it may spend in all; None for no limit.
    cap_usd: float | None
    #: What it said at its end.
    report: AgentReport
    #: What it cost, once that is on the books; None when nobody knows.
    cost_usd: float | None = None


def told(reserved: Reservation | None) -> dict[str, Any]:
    """A reservation as events carry it."""
    return {name: value for name, value in asdict(reserved).items() if value is not None} if reserved else {}


def set_aside(recorder: Recorder, where: Mapping[str, str], reserved: Reservation | None) -> list[Event]:
    """What is to be recorded of a reservation, in one write with the start that it is for."""
    if reserved is None:
        return []
    amounts = {"amount_usd" if name == "usd" else name: value for name, value in told(reserved).items()}
    return [recorder.event("budget.reserved", **where, **amounts)]


@asynccontextmanager
async def on_the_books(context: Context, attempt: Attempt, operation: str) -> AsyncIterator[Asked]:
    """Set money aside for an agent that is no attempt's; when the block ends, what it cost is accounted for.

    Raises LimitError when the budget does not reach.
    """
    reserved, recorder = await context.decide.reserve(attempt), context.recorder
    where = {"epic": attempt.task.epic, "task": attempt.task.id, "session": attempt.session}
    about: dict[str, Any] = {
        "operation": operation,
        "agent": attempt.agent,
        "model": attempt.model,
        "reserved": told(reserved),
    }
    begun = recorder.event("agent.asking", **where, **about)
    recorder.record(*set_aside(recorder, where, reserved), begun)
    asked, started = Asked(reserved.cap_usd if reserved else None, AgentReport(ok=False)), monotonic()
    try:
        yield asked
    finally:
        asked.cost_usd = await _account(context, attempt, asked.report, begun, monotonic() - started)


async def _account(
    context: Context, attempt: Attempt, report: AgentReport, begun: Event, seconds: float
) -> float | None:
    cost, source, usage = context.priced(report)
    end = {
        "seconds": round(seconds, 3),
        "ok": report.ok,
        "cost_usd": cost,
        "cost_source": source,
        "usage": [asdict(each) for each in usage],
    }
    context.recorder.record(_ended(begun, end))
    state = "completed" if report.ok else "failed"
    result = SessionResult(
        attempt, attempt.agent, attempt.model, state, report.error, seconds, report, cost_usd=cost
    )
    await context.decide.settle(result)
    return cost


def close_question(recorder: Recorder, begun: Event) -> None:
    """Account for what an agent was asked by a run that was killed: nobody knows what it cost."""
    seconds = max((datetime.now(UTC) - begun.at).total_seconds(), 0.0)
    unknown: dict[str, Any] = {
        "ok": False,
        "cost_usd": None,
        "cost_source": "unknown",
        "usage": [],
        "recovered": True,
    }
    recorder.record(_ended(begun, {"seconds": round(seconds, 3), **unknown}))


def _ended(begun: Event, end: Mapping[str, Any]) -> Event:
    return Event("agent.asked", begun.run, begun.epic, begun.task, begun.session, {**begun.data, **end})
