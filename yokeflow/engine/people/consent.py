"""Tasks that wait for a person's word in a run, and what the word sets in motion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.engine.lanes.lanes import HandOverConflictError
from yokeflow.model import Failure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from yokeflow.engine.context import Context
    from yokeflow.engine.lanes.lanes import Lanes, Place
    from yokeflow.engine.ledger.ledger import Ledger
    from yokeflow.engine.report import Waiting
    from yokeflow.engine.scheduling.scheduler import Scheduler
    from yokeflow.model import Task

#: What a person can answer to an approval or a question; everything else is a request of its own.
ANSWERS = frozenset({"approve", "reject", "answer", "dismiss"})


class Consent:
    """Holds tasks in the scheduler until somebody has answered."""

    def __init__(self, context: Context, ledger: Ledger, scheduler: Scheduler) -> None:
        self._context = context
        self._ledger = ledger
        self._scheduler = scheduler
        self._held: set[str] = set()

    def admit(self, ready: Iterable[str]) -> None:
        """Let tasks that have become ready start, but for those that need a person's word."""
        for name in ready:
            if self._ledger.may_start(self._context.plan.tasks[name]):
                self._ledger.ready(name)
            else:
                self.hold(name)

    def hold(self, task: str) -> None:
        """A person is asked about a task."""
        self._held.add(task)
        self._scheduler.held(self._scheduler.holding | {task})

    def release(self, item: str) -> None:
        """Somebody has said what there was to say about a task, or an epic and with it its tasks."""
        tasks = self._context.plan.tasks
        free = sorted(name for name in self._held if item in {name, tasks[name].epic})
        self._held.difference_update(free)
        self._scheduler.held(self._scheduler.holding.difference(free))
        self.admit(free)

    def answer(self, entry: Waiting, choice: str, *, by: str, text: str) -> None:
        """Do what a person's answer asks for."""
        for task in self._ledger.answer(entry, choice, by=by, text=text):
            self._held.discard(task.id)
            self._scheduler.held(self._scheduler.holding - {task.id})
            blocked = self._scheduler.failed(task.id)
            self._ledger.give_up(task, not_approved(by, text), kind="", blocked=blocked)
        self.release(entry.item)


def not_approved(by: str, text: str) -> str:
    """Why a task is given up that a person did not want to start."""
    return f"{by} did not approve it" + (f": {text}" if text else "")


async def take_up(context: Context, lanes: Lanes, place: Place, task: Task, commit: str) -> str | Failure:
    """Bring finished work that a person has approved into its epic; the commit that holds it then.

    A Failure tells why it cannot be used, and the task is to be done again.
    """
    try:
        if await context.repo.resolve(commit) is None:
            return Failure(f"the approved work {commit[:12]} is not in this repository")
        return await lanes.take_up(place, task, commit)
    except HandOverConflictError as error:
        await lanes.restore(place)
        return Failure(f"the approved work does not fit any more: {error.message}")
