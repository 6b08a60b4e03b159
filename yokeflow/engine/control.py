"""Requests of a person: heard by the run that is going on, carried out at once when there is none."""

from __future__ import annotations

import asyncio
import getpass
import os
import signal
import socket
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Literal, Self

from yokeflow.engine.ledger import load_ledger
from yokeflow.engine.lock import hold_project, holder
from yokeflow.engine.recorder import Recorder
from yokeflow.errors import StoreError, UsageError
from yokeflow.events import Event
from yokeflow.store import history
from yokeflow.store.drain import drain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from uuid import UUID

    from yokeflow.engine.lock import Holder
    from yokeflow.engine.project import Project
    from yokeflow.engine.workflow import Workflow
    from yokeflow.model import Plan
    from yokeflow.store.connection import Store

Action = Literal["pause", "continue", "cancel", "retry", "skip", "land"]

#: Actions that need an item of the plan.
_ON_ITEMS = {"retry", "skip", "land"}
#: How long a run that lost the database waits before it listens again.
_AGAIN = 1.0


async def request(project: Project, plan: Plan, action: Action, item: str = "") -> bool:
    """Ask the run that is going on for something; without one, do it now.

    True when it was done, False when a run was asked and will do it. Raises UsageError for an item that the
    plan does not have, or when the action needs a run and there is none.
    """
    _check(plan, action, item)
    by = f"human:{getpass.getuser()}"
    live = holder(project.lock_file)
    if live is not None:
        await _ask(project, live, action, item, by)
        return False
    if action not in _ON_ITEMS:
        raise UsageError("no run of this project is going on", hint="start one with `yoke run`")
    await _do(project, plan, action, item, by)
    return True


def _check(plan: Plan, action: Action, item: str) -> None:
    if action in _ON_ITEMS and item not in plan.tasks and item not in plan.epic:
        raise UsageError(f"the plan has no item {item}", hint="`yoke plan show` lists them")
    if action == "skip" and item not in plan.tasks:
        raise UsageError(f"{item} is an epic; only tasks can be skipped", hint="name its tasks one by one")
    if action == "land" and item not in plan.epic:
        raise UsageError(
            f"{item} is a task; only epics land", hint=f"try `yoke land {plan.tasks[item].epic}`"
        )


async def _ask(project: Project, live: Holder, action: Action, item: str, by: str) -> None:
    data = {"action": action, "item": item, "by": by}
    project.journal.append(Event("control.requested", data=data))
    try:
        async with project.store():
            # Opening the store drains the journal, and that wakes the run.
            return
    except StoreError:
        if action != "cancel" or live.host != socket.gethostname():
            raise
        os.kill(live.pid, signal.SIGINT)


async def _do(project: Project, plan: Plan, action: Action, item: str, by: str) -> None:
    recorder = Recorder("", project.journal)
    with hold_project(project.lock_file, ""):
        async with project.store() as (store, project_id):
            ledger, _ = await load_ledger(store, project_id, plan, recorder)
            if reason := ledger.refusal(action, item):
                raise UsageError(reason, hint="`yoke status` shows where it is")
            if action == "skip":
                ledger.skip(item, by=by)
            elif item in plan.tasks:
                ledger.reopen(item, by=by)
            else:
                ledger.requeue(item, by=by)
            await drain(store, project_id, project.journal)


class Control:
    """Carries out what people ask of a run while the block runs."""

    def __init__(
        self, project: Project, store: Store, project_id: UUID, workflow: Workflow, recorder: Recorder
    ) -> None:
        self._project = project
        self._store = store
        self._project_id = project_id
        self._workflow = workflow
        self._recorder = recorder
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        async with self._store.begin() as connection:
            newest = await history.log(connection, self._project_id, limit=1)
        after = newest[-1].seq if newest else 0
        self._task = asyncio.create_task(self._listen(after), name="control")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _listen(self, after: int) -> None:
        while True:
            try:
                requests = history.follow(self._store, self._project_id, after, type="control.requested")
                async with aclosing(requests) as entries:
                    async for entry in entries:
                        after = entry.seq
                        self._carry_out(entry.event.data)
            except StoreError:
                await asyncio.sleep(_AGAIN)

    def _carry_out(self, data: Mapping[str, str]) -> None:
        action, item, by = data.get("action"), data.get("item", ""), data.get("by", "")
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
