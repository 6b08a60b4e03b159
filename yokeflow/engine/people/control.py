"""Requests of a person: heard by the run that is going on, carried out at once when there is none."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import aclosing, suppress
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal, Self

from yokeflow.engine.ledger.interventions import by_person, refused
from yokeflow.engine.ledger.loading import load_ledger
from yokeflow.engine.lock import hold_project, holder
from yokeflow.engine.people.consent import ANSWERS
from yokeflow.engine.people.kept import ON_ITEMS, apply_kept, carry_out, check, take_of
from yokeflow.engine.recorder import Recorder
from yokeflow.errors import DiskFullError, ProjectBusyError, StoreError, UsageError, YokeError
from yokeflow.events import Event
from yokeflow.store import history
from yokeflow.store.drain import drain
from yokeflow.store.driver import CONNECTION_ERRORS
from yokeflow.store.requests import kept_requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType
    from uuid import UUID

    from yokeflow.engine.lock import Holder
    from yokeflow.engine.project import Project
    from yokeflow.engine.report import Waiting
    from yokeflow.engine.workflow import Workflow
    from yokeflow.model import Plan
    from yokeflow.store.connection import Store

Action = Literal[
    "pause", "continue", "cancel", "retry", "skip", "land", "approve", "reject", "answer", "dismiss"
]


class Became(IntEnum):
    """What came of a request."""

    #: The run that is going on was asked.
    ASKED = 0
    DONE = 1
    #: The store is away: it is carried out when the store is back.
    KEPT = 2


#: How long a run that lost the database waits before it listens again.
_AGAIN = 1.0
#: Looks at who holds the project while another request does, and seconds between them.
_TRIES = 100
_PAUSE = 0.1
#: Seconds for the end of listening to a server that does not answer.
_GIVE_UP = 5.0


async def request(
    project: Project, plan: Plan | Callable[[], Plan], action: Action, item: str = "", **more: str
) -> Became:
    """Ask the run that is going on for something; without one, do it now; without a store, keep it for later.

    A run that was asked will do it, or say why it makes no sense: only the run knows what its plan is.
    Without one, `plan` (or what it gives) tells. Raises UsageError for an item
    that the plan does not have, or when the action needs a run and there is none. An answer has the
    `intervention` it answers, and maybe a `text`, in `more`; `land` may have `take` there: whose lines that
    landing takes where it conflicts.
    """
    data = {"action": action, "item": item, "by": by_person(), "confirm": True, **more}
    live = await _live(project)
    if live is not None:
        return await _ask(project, live, data)
    if action not in ON_ITEMS | ANSWERS:
        raise UsageError("no run of this project is going on", hint="start one with `yoke run`")
    plan = plan() if callable(plan) else plan
    check(plan, action, item)
    return await _do(project, plan, data)


async def _live(project: Project) -> Holder | None:
    """The run that is going on; somebody else's request is waited for, since that holds the project too."""
    for _ in range(_TRIES):
        live = holder(project.lock_file)
        if live is None or live.run:
            return live
        await asyncio.sleep(_PAUSE)
    raise ProjectBusyError("another command is busy with this project", hint="try again when it is done")


async def _ask(project: Project, live: Holder, data: Mapping[str, Any]) -> Became:
    project.journal.append(Event("control.requested", run=live.run, data=data))
    try:
        async with project.store():
            # Opening the store drains the journal, and that wakes the run.
            return Became.ASKED
    except StoreError:
        if data["action"] == "cancel" and live.host == socket.gethostname():
            os.kill(live.pid, signal.SIGINT)
            return Became.ASKED
        # The run hears it when it finds the store again; if it ends before, the next command carries it out.
        return Became.KEPT


async def _do(project: Project, plan: Plan, data: Mapping[str, Any]) -> Became:
    action, item, by = data["action"], data["item"], data["by"]
    recorder = Recorder("", project.journal)
    if take_of(data):
        # Only a run can land like that.
        project.journal.append(Event("control.requested", data=data))
        return Became.KEPT
    with hold_project(project.lock_file, ""):
        try:
            async with project.store() as (store, project_id):
                await apply_kept(project, plan, store, project_id)
                ledger, _ = await load_ledger(store, project_id, plan, recorder)
                carry_out(ledger, plan, action, item, by, data)
                # What is in the journal is done, whenever it gets into the store.
                with suppress(StoreError):
                    await drain(store, project_id, project.journal)
        except StoreError:
            project.journal.append(Event("control.requested", data=data))
            return Became.KEPT
    return Became.DONE


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

    async def late(self, waiting: Mapping[str, Waiting]) -> list[Event]:
        """Answers to what still waits that came while the last of the work came to its end."""
        if not waiting:
            return []
        try:
            await drain(self._store, self._project_id, self._project.journal)
            async with self._store.begin() as connection:
                kept = await kept_requests(connection, self._project_id)
        except StoreError:
            # The next run finds them.
            return []
        return [
            request
            for request in kept
            if request.run == self._recorder.run
            and not refused(waiting.get(request.data.get("intervention", "")), request.data.get("action", ""))
        ]

    def hear(self, requests: Iterable[Event]) -> None:
        """Carry out requests that were not heard when they came."""
        for request in requests:
            self._answer(request)

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
                        self._answer(entry.event)
            except (StoreError, *CONNECTION_ERRORS):
                await asyncio.sleep(_AGAIN)

    def _answer(self, request: Event) -> None:
        """Carry out a request, and say that it needs nobody else."""
        data = request.data
        if data.get("action") in ANSWERS | ON_ITEMS and self._workflow.over:
            # Whoever looks for late answers finds it, or the next command carries it out.
            return
        reason = self._try(data)
        with suppress(DiskFullError):
            self._recorder.emit(
                "control.applied",
                request=request.id,
                **{name: data.get(name, "") for name in ("action", "item", "by")},
                outcome="refused" if reason else "done",
                reason=reason,
            )

    def _try(self, data: Mapping[str, str]) -> str:
        """Why a request could not be carried out; empty when it was."""
        try:
            return self._carry_out(data)
        except DiskFullError as error:
            # The run meets the same and ends in its own way; there is no room to tell it twice.
            return error.message
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
            return reason

    def _carry_out(self, data: Mapping[str, str]) -> str:
        """Do what is asked; gives why the workflow refused, which it has told."""
        action, item, by = data.get("action"), data.get("item", ""), data.get("by", "")
        if self._plan is not None and action is not None:
            check(self._plan, action, item)
        match action:
            case "cancel":
                self._workflow.stop()
            case "pause":
                self._workflow.pause(by=by)
            case "continue":
                self._workflow.unpause(by=by)
            case "retry":
                return self._workflow.retry(item, by=by)
            case "land":
                return self._workflow.retry(item, by=by, take=take_of(data))
            case "skip":
                return self._workflow.skip(item, by=by)
            case "approve" | "reject" | "answer" | "dismiss":
                text, asked = data.get("text", ""), data.get("intervention", "")
                return self._workflow.answer(asked, action, by=by, text=text)
        return ""
