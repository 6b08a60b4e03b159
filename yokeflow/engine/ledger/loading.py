"""The ledger of a run, as the store has it when the run begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.engine.landing.order import landing_order
from yokeflow.engine.ledger.interventions import Interventions
from yokeflow.engine.ledger.ledger import Ledger
from yokeflow.engine.report import Waiting
from yokeflow.model import LandingStatus
from yokeflow.store import items, learned, unfinished
from yokeflow.store.answered import answered, resolved_by_agents

if TYPE_CHECKING:
    from uuid import UUID

    from yokeflow.engine.recorder import Recorder
    from yokeflow.model import Plan
    from yokeflow.store.connection import Store


async def load_ledger(
    store: Store, project_id: UUID, plan: Plan, recorder: Recorder
) -> tuple[Ledger, dict[str, float]]:
    """The states of a project's items as the store has them, and the seconds that its tasks took before."""
    async with store.begin() as connection:
        states = await items.load_states(connection, project_id)
        landings = await unfinished.latest_landings(connection, project_id)
        waiting = await unfinished.open_interventions(connection, project_id)
        durations = await learned.durations(connection, project_id)
        said = await answered(connection, project_id)
        resolved = await resolved_by_agents(connection, project_id)
    open_ = [Waiting(each.id, each.kind, each.item, each.reason, each.choices, each.more) for each in waiting]
    landed = {
        epic: landing.commit or ""
        for epic, landing in landings.items()
        if landing.status is LandingStatus.LANDED and epic in plan.epic
    }
    interventions = Interventions(plan, recorder, open_, said, resolved)
    ledger = Ledger(plan, landing_order(plan), recorder, states, landed, interventions)
    return ledger, durations
