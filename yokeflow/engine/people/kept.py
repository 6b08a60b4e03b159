"""What people asked for while the store was away or a run was ending: carried out once, when somebody can."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from yokeflow.engine.ledger.interventions import refused
from yokeflow.engine.ledger.loading import load_ledger
from yokeflow.engine.lock import when_idle
from yokeflow.engine.people.consent import ANSWERS, not_approved
from yokeflow.engine.recorder import Recorder
from yokeflow.errors import UsageError
from yokeflow.store.drain import drain
from yokeflow.store.requests import kept_requests

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from yokeflow.engine.ledger.ledger import Ledger
    from yokeflow.engine.project import Project
    from yokeflow.events import Event
    from yokeflow.model import Plan
    from yokeflow.store.connection import Store

#: Actions that need an item of the plan.
ON_ITEMS: Final = frozenset({"retry", "skip", "land"})


class _Gathered:
    """A journal that waits, so that a request and what came of it are written together or not at all."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def append(self, *events: Event) -> None:
        self.events += events


def take_of(data: Mapping[str, Any]) -> str:
    """Whose lines a landing that is asked for takes where it conflicts; empty for nobody's."""
    take = str(data.get("take", ""))
    return take if data.get("action") == "land" and take in {"ours", "theirs"} else ""


def check(plan: Plan, action: str, item: str) -> None:
    """Raises UsageError for an item that the plan does not have, or that is of the wrong kind."""
    needs_item = action in ON_ITEMS or (action in ANSWERS - {"dismiss"} and item)
    if needs_item and item not in plan.tasks and item not in plan.epic:
        hint = (
            "`yoke plan show` lists them; `yoke run` withdraws what is asked about items that left the plan"
        )
        raise UsageError(f"the plan has no item {item}", hint=hint)
    if action == "skip" and item not in plan.tasks:
        raise UsageError(f"{item} is an epic; only tasks can be skipped", hint="name its tasks one by one")
    if action == "land" and item not in plan.epic:
        raise UsageError(
            f"{item} is a task; only epics land", hint=f"try `yoke land {plan.tasks[item].epic}`"
        )


def carry_out(ledger: Ledger, plan: Plan, action: str, item: str, by: str, more: Mapping[str, Any]) -> None:
    """Do what a person asked for, while nothing runs. Raises UsageError when it makes no sense."""
    check(plan, action, item)
    if action in ANSWERS:
        _answer(ledger, action, by, more)
    elif reason := ledger.refusal(action, item):
        raise UsageError(reason, hint="`yoke status` shows where it is")
    elif action == "skip":
        ledger.skip(item, by=by)
    elif item in plan.tasks:
        ledger.reopen(item, by=by)
    else:
        ledger.requeue(item, by=by)


def _answer(ledger: Ledger, choice: str, by: str, more: Mapping[str, Any]) -> None:
    """Answer an approval or a question."""
    entry, text = ledger.waiting.get(more.get("intervention", "")), more.get("text", "")
    if entry is None or refused(entry, choice):
        raise UsageError(refused(entry, choice), hint="`yoke attention` lists what waits for you")
    for task in ledger.answer(entry, choice, by=by, text=text):
        ledger.give_up(task, not_approved(by, text), kind="", blocked=())


async def apply_kept(
    project: Project,
    plan: Plan,
    store: Store,
    project_id: UUID,
    run: str = "",
    takes: dict[str, str] | None = None,
) -> int:
    """Carry out what was asked for and never answered; gives their number. The caller holds the project.

    What does not fit any more to what happened meanwhile becomes an intervention. Only a run can land with
    one side's lines: it finds them in `takes` by epic, and without that such a request stays for it.
    """
    async with store.begin() as connection:
        requests = await kept_requests(connection, project_id)
    requests = [request for request in requests if takes is not None or not take_of(request.data)]
    if not requests:
        return 0
    gathered = _Gathered()
    recorder = Recorder(run, gathered)
    ledger, _ = await load_ledger(store, project_id, plan, recorder)
    for request in requests:
        done = _apply(ledger, plan, request, recorder)
        project.journal.append(*gathered.events)
        gathered.events.clear()
        if done and takes is not None and (take := take_of(request.data)):
            takes[str(request.data.get("item", ""))] = take
    await drain(store, project_id, project.journal)
    return len(requests)


async def settle_kept(project: Project, store: Store, project_id: UUID) -> None:
    """The same for a command that only reads: where nobody holds the project and the plan can be read."""
    async with store.begin() as connection:
        requests = await kept_requests(connection, project_id)
    if requests:
        await when_idle(project, lambda plan: apply_kept(project, plan, store, project_id))


def _apply(ledger: Ledger, plan: Plan, request: Event, recorder: Recorder) -> bool:
    """Carry out one request; False when it is for a person to say what becomes of it."""
    action, item = str(request.data.get("action", "")), str(request.data.get("item", ""))
    by = str(request.data.get("by", ""))
    outcome, reason = "done", ""
    try:
        if not _holds_already(ledger, plan, action, item):
            carry_out(ledger, plan, action, item, by, request.data)
    except UsageError as error:
        outcome, reason = "clash", error.message
        _tell_clash(ledger, plan, request, recorder, reason)
    recorder.emit(
        "control.applied", request=request.id, action=action, item=item, by=by, outcome=outcome, reason=reason
    )
    return outcome == "done"


def _holds_already(ledger: Ledger, plan: Plan, action: str, item: str) -> bool:
    """Whether everything is as it was asked for, by somebody else or by a process that was killed at it."""
    if item in plan.tasks:
        skipped = action == "skip" and item in ledger.skipped
        is_open = not ledger.is_done(item) and bool(ledger.refusal("retry", item))
        return skipped or (action == "retry" and is_open)
    return action in {"retry", "land"} and item in ledger.landed


def _tell_clash(ledger: Ledger, plan: Plan, request: Event, recorder: Recorder, reason: str) -> None:
    data = request.data
    item = str(data.get("item", ""))
    task = item if item in plan.tasks else ""
    epic = plan.tasks[item].epic if task else item if item in plan.epic else ""
    asked = f"{data.get('action', '')} {item}".strip()
    told = f"{data.get('by') or 'somebody'} asked to {asked} when it could not be done at once, but {reason}"
    recorder.record(ledger.interventions.ask("clash", told, epic=epic, task=task, asked=asked))
