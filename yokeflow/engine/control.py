"""Requests of a person: heard by the run that is going on, carried out at once when there is none."""

from __future__ import annotations

import asyncio
import getpass
import os
import signal
import socket
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Literal, Self

from yokeflow.engine.consent import ANSWERS, not_approved
from yokeflow.engine.ledger import load_ledger
from yokeflow.engine.lock import hold_project, holder
from yokeflow.engine.questions import refused
from yokeflow.engine.recorder import Recorder
from yokeflow.errors import DiskFullError, ProjectBusyError, StoreError, UsageError, YokeError
from yokeflow.events import Event
from yokeflow.store import history
from yokeflow.store.drain import drain
from yokeflow.store.driver import CONNECTION_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from uuid import UUID

    from yokeflow.engine.ledger import Ledger
    from yokeflow.engine.lock import Holder
    from yokeflow.engine.project import Project
    from yokeflow.engine.workflow import Workflow
    from yokeflow.model import Plan
    from yokeflow.store.connection import Store

Action = Literal["pause", "continue", "cancel", "retry", "skip", "land", "approve", "reject", "answer"]

#: Actions that need an item of the plan.
_ON_ITEMS = {"retry", "skip", "land"}
#: How long a run that lost the database waits before it listens again.
_AGAIN = 1.0
#: Looks at who holds the project while another request does, and seconds between them.
_TRIES = 100
_PAUSE = 0.1
#: Seconds for the end of listening to a server that does not answer.
_GIVE_UP = 5.0


async def request(
    project: Project, plan: Plan | Callable[[], Plan], action: Action, item: str = "", **more: str
) -> bool:
    """Ask the run that is going on for something; without one, do it now.

    True when it was done, False when a run was asked and will do it, or say why it makes no sense: only the
    run knows what its plan is. Without one, `plan` (or what it gives) tells. Raises UsageError for an item
    that the plan does not have, or when the action needs a run and there is none. An answer has the
    `intervention` it answers, and maybe a `text`, in `more`.
    """
    by = f"human:{getpass.getuser()}"
    live = await _live(project)
    if live is not None:
        await _ask(project, live, {"action": action, "item": item, "by": by, **more})
        return False
    if action not in _ON_ITEMS | ANSWERS:
        raise UsageError("no run of this project is going on", hint="start one with `yoke run`")
    plan = plan() if callable(plan) else plan
    _check(plan, action, item)
    await _do(project, plan, action, item, by, more)
    return True


async def _live(project: Project) -> Holder | None:
    """The run that is going on; somebody else's request is waited for, since that holds the project too."""
    for _ in range(_TRIES):
        live = holder(project.lock_file)
        if live is None or live.run:
            return live
        await asyncio.sleep(_PAUSE)
    raise ProjectBusyError("another command is busy with this project", hint="try again when it is done")


def _check(plan: Plan, action: str, item: str) -> None:
    if action in _ON_ITEMS and item not in plan.tasks and item not in plan.epic:
        raise UsageError(f"the plan has no item {item}", hint="`yoke plan show` lists them")
    if action == "skip" and item not in plan.tasks:
        raise UsageError(f"{item} is an epic; only tasks can be skipped", hint="name its tasks one by one")
    if action == "land" and item not in plan.epic:
        raise UsageError(
            f"{item} is a task; only epics land", hint=f"try `yoke land {plan.tasks[item].epic}`"
        )


async def _ask(project: Project, live: Holder, data: Mapping[str, str]) -> None:
    project.journal.append(Event("control.requested", run=live.run, data=data))
    try:
        async with project.store():
            # Opening the store drains the journal, and that wakes the run.
            return
    except StoreError:
        if data["action"] != "cancel" or live.host != socket.gethostname():
            raise
        os.kill(live.pid, signal.SIGINT)


async def _do(
    project: Project, plan: Plan, action: Action, item: str, by: str, more: Mapping[str, str]
) -> None:
    recorder = Recorder("", project.journal)
    with hold_project(project.lock_file, ""):
        async with project.store() as (store, project_id):
            ledger, _ = await load_ledger(store, project_id, plan, recorder)
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
            await drain(store, project_id, project.journal)


def _answer(ledger: Ledger, choice: str, by: str, more: Mapping[str, str]) -> None:
    """Answer an approval or a question while nothing runs."""
    entry, text = ledger.waiting.get(more["intervention"]), more.get("text", "")
    if entry is None or refused(entry, choice):
        raise UsageError(refused(entry, choice), hint="`yoke attention` lists what waits for you")
    for task in ledger.answer(entry, choice, by=by, text=text):
        ledger.give_up(task, not_approved(by, text), kind="", blocked=())


class Control:
    """Carries out what people ask of a run while the block runs, also what they asked before it.

    A request that fails is told as a warning, and the run goes on.
    """

    def __init__(
        self,
        project: Project,
        store: Store,
        project_id: UUID,
        workflow: Workflow,
        recorder: Recorder,
        plan: Plan | None = None,
    ) -> None:
        """With a `plan`, requests about what it does not have are refused."""
        self._project = project
        self._store = store
        self._project_id = project_id
        self._workflow = workflow
        self._recorder = recorder
        self._plan = plan
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._listen(), name="control")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            # Waits without raising: how listening ended must not hide how the run did.
            await asyncio.wait({self._task}, timeout=_GIVE_UP)

    async def _listen(self) -> None:
        after = 0
        while True:
            try:
                # Requests name their run, so none is missed and none of another run is taken.
                requests = history.follow(
                    self._store, self._project_id, after, run=self._recorder.run, type="control.requested"
                )
                async with aclosing(requests) as entries:
                    async for entry in entries:
                        after = entry.seq
                        self._try(entry.event.data)
            except (StoreError, *CONNECTION_ERRORS):
                await asyncio.sleep(_AGAIN)

    def _try(self, data: Mapping[str, str]) -> None:
        try:
            self._carry_out(data)
        except DiskFullError:
            # The run meets the same and ends in its own way; there is no room to tell it twice.
            return
        # RuntimeError: the run has just come to its end and takes no more work.
        except (YokeError, RuntimeError, LookupError) as error:
            asked = f"{data.get('action', '')} {data.get('item', '')}".strip()
            reason = error.message if isinstance(error, YokeError) else "the run was at its end"
            with suppress(DiskFullError):
                self._recorder.emit(
                    "warning.raised",
                    reason=f"could not {asked}: {reason}",
                    hint=getattr(error, "hint", "") or "ask again when the run is over",
                )

    def _carry_out(self, data: Mapping[str, str]) -> None:
        action, item, by = data.get("action"), data.get("item", ""), data.get("by", "")
        if self._plan is not None and action is not None:
            _check(self._plan, action, item)
        match action:
            case "cancel":
                self._workflow.stop()
            case "pause":
                self._workflow.pause(by=by)
            case "continue":
                self._workflow.unpause(by=by)
            case "retry" | "land":
                self._workflow.retry(item, by=by)
            case "skip":
                self._workflow.skip(item, by=by)
            case "approve" | "reject" | "answer":
                text, asked = data.get("text", ""), data.get("intervention", "")
                self._workflow.answer(asked, action, by=by, text=text)
