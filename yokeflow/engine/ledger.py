"""What a run knows about its items, and the one place that records how that changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from yokeflow.engine.landing_order import landing_order
from yokeflow.engine.report import Landed, Waiting
from yokeflow.model import LandingStatus, Status
from yokeflow.store import items, learned, unfinished

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from uuid import UUID

    from yokeflow.engine.attempt import Outcome
    from yokeflow.engine.landing_order import LandingOrder
    from yokeflow.engine.recorder import Recorder
    from yokeflow.engine.report import LandingResult
    from yokeflow.events import Event
    from yokeflow.model import Failure, Plan, Task
    from yokeflow.store.connection import Store
    from yokeflow.store.items import ItemState

#: How a person can answer each kind of intervention.
CHOICES = {
    "retry_limit": ("retry", "skip"),
    "budget": ("retry", "skip"),
    "conflict": ("land",),
    "hand_over": ("retry", "skip"),
    "red_check": ("land",),
    "checkout": ("land",),
    "worktree": ("retry", "skip"),
    "taken_back": ("land",),
}


class Ledger:
    """States of the items of one run."""

    def __init__(
        self,
        plan: Plan,
        order: LandingOrder,
        recorder: Recorder,
        states: Mapping[str, ItemState],
        landed: Mapping[str, str] | None = None,
        waiting: Iterable[Waiting] = (),
    ) -> None:
        self._plan = plan
        self._order = order
        self._recorder = recorder
        #: Commit that completed each task.
        self.commits: dict[str, str] = {}
        #: Tasks that were left out by a person.
        self.skipped: set[str] = set()
        #: Reason by task that was given up.
        self.failed: dict[str, str] = {}
        #: Tasks that waited for one that was given up, when the run started.
        self.blocked: set[str] = set()
        #: Open interventions by id.
        self.waiting: dict[str, Waiting] = {entry.intervention: entry for entry in waiting}
        #: Epics on the target branch.
        self.landed: set[str] = set(landed or ())
        #: The commit by which each of them got there.
        self.landing_commits: dict[str, str] = dict(landed or {})
        #: What this run added.
        self.completed_now: list[str] = []
        self.landed_now: list[Landed] = []
        self.work_seconds = 0.0
        self.cost_usd: float | None = None
        self.unknown_costs = 0
        self._failures: dict[str, list[Failure]] = {}
        self._failed_attempts: dict[str, int] = {}
        self._open: dict[str, int] = {epic.id: len(epic.tasks) for epic in plan.epics}
        self._finished: set[str] = set()
        #: Epics whose landing failed and waits for a person.
        self._held: set[str] = {entry.item for entry in self.waiting.values() if entry.item in plan.epic}
        self._load(states)
        # An epic that has got new tasks since it landed has to land again.
        self.landed -= {epic for epic, count in self._open.items() if count}

    def _load(self, states: Mapping[str, ItemState]) -> None:
        for task in self._plan.tasks.values():
            state = states.get(task.id)
            if state is None:
                continue
            self._failures[task.id] = list(state.failures)
            self._failed_attempts[task.id] = state.failed_attempts
            if state.status is Status.COMPLETED:
                self.commits[task.id] = state.commit or ""
                self._close(task.id)
            elif state.status is Status.CANCELLED:
                self.skipped.add(task.id)
                self._close(task.id)
            elif state.status is Status.BLOCKED:
                self.blocked.add(task.id)
            elif state.status is Status.FAILED:
                self.failed[task.id] = state.failures[-1].reason if state.failures else "failed"

    @property
    def finished(self) -> set[str]:
        """Ids of tasks that are completed or skipped."""
        return set(self.commits) | self.skipped

    @property
    def held(self) -> frozenset[str]:
        """Epics whose landing waits for a person."""
        return frozenset(self._held)

    @property
    def finished_epics(self) -> frozenset[str]:
        """Epics whose tasks are all completed or skipped."""
        return frozenset(self._finished)

    def is_done(self, task: str) -> bool:
        return task in self.commits or task in self.skipped

    def failed_attempts(self, task: str) -> int:
        """How many attempts failed since the task was last opened."""
        return self._failed_attempts.get(task, 0)

    def failures(self, task: str) -> Sequence[Failure]:
        """Why the latest of those failed, oldest first."""
        return self._failures.get(task, ())

    def commits_of(self, epic: str) -> dict[str, str]:
        """The completed tasks of an epic, in plan order, with the commits that completed them."""
        tasks = self._plan.epic[epic].tasks
        return {task.id: self.commits[task.id] for task in tasks if task.id in self.commits}

    def commit_of(self, task: str) -> str | None:
        """The commit from which others take a completed task's work: its own, or its epic's landing."""
        epic = self._plan.tasks[task].epic
        if task in self.commits and epic in self.landed:
            return self.landing_commits.get(epic) or self.commits[task]
        return self.commits.get(task)

    def before(self) -> dict[str, Any]:
        """What earlier runs left, for whoever sees the events of this one alone."""
        return {
            "landed": sorted(self.landed),
            "skipped": sorted(self.skipped),
            "failed": dict(self.failed),
            "held": {
                entry.item: {"kind": entry.kind, "reason": entry.reason}
                for entry in self.waiting.values()
                if entry.item in self._plan.epic
            },
        }

    def landable(self, ahead: Collection[str] = ()) -> list[str]:
        """Epics that can be landed now, or once those `ahead` have landed; the first one first."""
        return self._order.landable(self._finished - self._held, self.landed.union(ahead))

    def account(self, outcome: Outcome) -> None:
        """Add up what a session cost, and the time of those whose work counts."""
        self.work_seconds += outcome.seconds if outcome.state == "completed" else 0.0
        if outcome.cost_usd is None:
            self.unknown_costs += 1
        else:
            self.cost_usd = (self.cost_usd or 0.0) + outcome.cost_usd

    def complete(self, task: Task, commit: str) -> None:
        """A session has recorded the task as completed; see what that finishes."""
        self.commits[task.id] = commit
        self.completed_now.append(task.id)
        self._close(task.id, announce=True)

    def fail(self, task: str, failure: Failure) -> None:
        self._failures.setdefault(task, []).append(failure)
        self._failed_attempts[task] = self.failed_attempts(task) + 1

    def give_up(self, task: Task, reason: str, *, kind: str, blocked: Collection[str]) -> None:
        """No attempt is left: record it, ask a person, and tell the successors."""
        self.failed[task.id] = reason
        attempts = self.failed_attempts(task.id)
        event, tasks = self._recorder.event, self._plan.tasks
        self._recorder.record(
            event("task.failed", epic=task.epic, task=task.id, reason=reason, attempts=attempts),
            self._question(kind, reason, epic=task.epic, task=task.id),
            *(event("task.blocked", epic=tasks[name].epic, task=name, by=[task.id]) for name in blocked),
        )

    def refusal(self, action: str, item: str) -> str:
        """Why a person's `retry`, `skip` or `land` of an item makes no sense; empty when it does."""
        if item in self._plan.tasks:
            if self.is_done(item):
                return f"{item} is done"
            return f"{item} has not failed" if action == "retry" and item not in self.failed else ""
        if item in self.landed:
            return f"{item} has landed"
        return "" if item in self._finished else f"{item} has unfinished tasks"

    def ready(self, task: str) -> None:
        """Everything that the task waited for is done."""
        self._recorder.emit("task.ready", epic=self._plan.tasks[task].epic, task=task)

    def unblock(self, tasks: Collection[str]) -> None:
        """What these tasks waited for is no longer given up."""
        for task in sorted(tasks, key=lambda name: self._plan.tasks[name].position):
            epic = self._plan.tasks[task].epic
            self._recorder.emit("task.reopened", epic=epic, task=task, by="system", reason="unblocked")

    def reopen(self, task: str, *, by: str) -> None:
        """A person wants the task tried again."""
        self.failed.pop(task, None)
        self._failures[task] = []
        self._failed_attempts[task] = 0
        epic = self._plan.tasks[task].epic
        reopened = self._recorder.event("task.reopened", epic=epic, task=task, by=by, reason="")
        self._recorder.record(*self._answers(task, "retry", by), reopened)

    def skip(self, task: str, *, by: str) -> None:
        """A person wants the task left out."""
        self.failed.pop(task, None)
        epic = self._plan.tasks[task].epic
        skipped = self._recorder.event("task.skipped", epic=epic, task=task, by=by, reason="")
        self._recorder.record(*self._answers(task, "skip", by), skipped)
        self.skipped.add(task)
        self._close(task, announce=True)

    def requeue(self, epic: str, *, by: str) -> None:
        """A person wants the epic landed after all."""
        self._held.discard(epic)
        events = self._answers(epic, "land", by)
        if epic in self._finished and epic not in self.landed:
            events.append(self._recorder.event("landing.queued", epic=epic))
        self._recorder.record(*events)

    def queue_missing(self, queued: Collection[str]) -> None:
        """Queue finished epics that nobody is asked about and that are not `queued`: a crash came before."""
        for epic in self._plan.epic:
            if epic in self._finished and epic not in self.landed | self._held and epic not in queued:
                self._recorder.emit("landing.queued", epic=epic)

    def lose(self, task: str, reason: str) -> None:
        """A completed task's commit is not in the repository: it is to be done again."""
        del self.commits[task]
        epic = self._plan.tasks[task].epic
        self._open[epic] += 1
        self._finished.discard(epic)
        self.landed.discard(epic)
        self._recorder.emit("task.reopened", epic=epic, task=task, by="system", reason=reason)

    def take_back(self, epic: str, reason: str) -> None:
        """A person took an epic off the target: whether it lands again is for a person to say."""
        self.landed.discard(epic)
        self._held.add(epic)
        self._recorder.record(
            self._recorder.event("landing.queued", epic=epic),
            self._recorder.event("landing.rejected", epic=epic, reason=reason, output=""),
            self._question("taken_back", reason, epic=epic),
        )

    def land_only(self, epics: Collection[str]) -> None:
        """Leave every other landing for another run."""
        self._held |= set(self._plan.epic) - set(epics)

    def landing_ended(self, result: LandingResult) -> None:
        """Take note of how a landing went."""
        if result.status is LandingStatus.LANDED:
            self.landed.add(result.epic)
            self.landing_commits[result.epic] = result.commit
            self.landed_now.append(Landed(result.epic, result.commit, tuple(self.commits_of(result.epic))))
            return
        self._held.add(result.epic)
        self._recorder.record(self._question(result.waits, result.reason, epic=result.epic))

    def _close(self, task: str, *, announce: bool = False) -> None:
        epic = self._plan.tasks[task].epic
        self._open[epic] -= 1
        if self._open[epic] == 0:
            self._finished.add(epic)
            empty = not self.commits_of(epic)
            if empty:
                # Everything was skipped: there is nothing to land, and nobody waits for it.
                self.landed.add(epic)
            if announce:
                self._recorder.emit("epic.completed", epic=epic)
            if announce and not empty:
                self._recorder.emit("landing.queued", epic=epic)

    def _question(self, kind: str, reason: str, *, epic: str, task: str = "") -> Event:
        entry = Waiting(str(uuid4()), kind, task or epic, reason, CHOICES[kind])
        self.waiting[entry.intervention] = entry
        return self._recorder.event(
            "intervention.opened",
            epic=epic,
            task=task,
            intervention=entry.intervention,
            kind=kind,
            reason=reason,
            choices=list(entry.choices),
        )

    def _answers(self, item: str, choice: str, by: str) -> list[Event]:
        """What a person's answer settles; nobody is asked about it any more."""
        settled = [entry.intervention for entry in self.waiting.values() if entry.item == item]
        task = item if item in self._plan.tasks else ""
        epic = self._plan.tasks[task].epic if task else item
        for intervention in settled:
            del self.waiting[intervention]
        return [
            self._recorder.event(
                "intervention.resolved", epic=epic, task=task, intervention=each, choice=choice, by=by
            )
            for each in settled
        ]


async def load_ledger(
    store: Store, project_id: UUID, plan: Plan, recorder: Recorder
) -> tuple[Ledger, dict[str, float]]:
    """The states of a project's items as the store has them, and the seconds that its tasks took before."""
    async with store.begin() as connection:
        states = await items.load_states(connection, project_id)
        landings = await unfinished.latest_landings(connection, project_id)
        waiting = await unfinished.open_interventions(connection, project_id)
        durations = await learned.durations(connection, project_id)
    open_ = [Waiting(entry.id, entry.kind, entry.item, entry.reason, entry.choices) for entry in waiting]
    landed = {
        epic: landing.commit or ""
        for epic, landing in landings.items()
        if landing.status is LandingStatus.LANDED and epic in plan.epic
    }
    ledger = Ledger(plan, landing_order(plan), recorder, states, landed, open_)
    return ledger, durations
