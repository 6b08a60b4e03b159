"""What people are asked about items that leave the plan: no more, until they come back."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from yokeflow.engine.ledger.interventions import SYSTEM
from yokeflow.store.gone import GONE, open_about_gone, withdrawn

if TYPE_CHECKING:
    from uuid import UUID

    from yokeflow.engine.recorder import Recorder
    from yokeflow.events import Event
    from yokeflow.model import Plan
    from yokeflow.store.connection import Store
    from yokeflow.store.gone import Asked


async def settle_gone(store: Store, project_id: UUID, plan: Plan, recorder: Recorder) -> bool:
    """Withdraw what is asked about items that the plan has no more; whether anything was recorded.

    An item that came back is as it was when it left: what was asked about it is asked again, since without
    that nothing would go on with it, or it would land unasked. The plan is in the store already.
    """
    items = [*plan.epic, *plan.tasks]
    async with store.begin() as connection:
        gone = await open_about_gone(connection, project_id, items)
        back = await withdrawn(connection, project_id, items)
    events = [
        *(_withdraw(asked, recorder) for asked in gone),
        *(_ask_again(asked, recorder) for asked in back),
    ]
    if events:
        recorder.record(*events)
    return bool(events)


def _withdraw(asked: Asked, recorder: Recorder) -> Event:
    return recorder.event(
        "intervention.resolved",
        epic=asked.epic,
        task=asked.task,
        intervention=asked.id,
        choice=GONE,
        by=SYSTEM,
    )


def _ask_again(asked: Asked, recorder: Recorder) -> Event:
    return recorder.event(
        "intervention.opened",
        epic=asked.epic,
        task=asked.task,
        intervention=str(uuid4()),
        kind=asked.kind,
        reason=asked.reason,
        choices=list(asked.choices),
        **asked.more,
    )
