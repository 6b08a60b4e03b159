"""What a run knows about its items, and the one place that records how that changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yokeflow.engine.ledger.firsts import first_of
from yokeflow.engine.ledger.interventions import SYSTEM, Interventions
from yokeflow.engine.report import Landed, Waiting
from yokeflow.model import LandingStatus, Status

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from yokeflow.engine.landing.order import LandingOrder
    from yokeflow.engine.recorder import Recorder
    from yokeflow.engine.report import LandingResult
    from yokeflow.engine.sessions.attempt import Outcome
    from yokeflow.events import Event
    from yokeflow.model import Epic, Failure, Plan, Task
    from yokeflow.store.items import ItemState

#: Where this keeps a finished epic from landing, a person may have one of its tasks done again.
_DO_AGAIN = ("conflict", "red_check")


class Ledger:
    """States of the items of one run."""

    def __init__(
        self,
        plan: Plan,
        order: LandingOrder,
        recorder: Recorder,
        states: Mapping[str, ItemState],
        landed: Mapping[str, str] | None = None,
        interventions: Interventions | None = None,
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
        #: What people are asked, and what they said.
        self.interventions = interventions or Interventions(plan, recorder, (), ())
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
        self._held: set[str] = self.interventions.held
        #: Epics whose landing is queued or tested.
        self._queued: set[str] = set()
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
                self.failed[task.id] = state.reason or "failed"

    @property
    def waiting(self) -> Mapping[str, Waiting]:
        """Open interventions by id."""
        return self.interventions.open

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
                if entry.item in self._held
            },
        }

    def landable(self, ahead: Collection[str] = ()) -> list[str]:
        """Epics that can be landed now, or once those `ahead` have landed; the first one first."""
        unapproved = {epic for epic in self._finished if self._needs_approval(epic)}
        return self._order.landable(self._finished - self._held - unapproved, self.landed.union(ahead))

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
        self.interventions.forget(task.id)
        self._close(task.id, announce=True)

    def fail(self, task: str, failure: Failure) -> None:
        self._failures.setdefault(task, []).append(failure)
        self._failed_attempts[task] = self.failed_attempts(task) + 1

    def give_up(self, task: Task, reason: str, *, kind: str, blocked: Collection[str]) -> None:
        """No attempt is left: record it, ask a person (not without a `kind`), and tell the successors."""
        self.failed[task.id] = reason
        attempts = self.failed_attempts(task.id)
        event, tasks = self._recorder.event, self._plan.tasks
        self._recorder.record(
            event("task.failed", epic=task.epic, task=task.id, reason=reason, attempts=attempts),
            *([self.interventions.ask(kind, reason, epic=task.epic, task=task.id)] if kind else ()),
            *(event("task.blocked", epic=tasks[name].epic, task=name, by=[task.id]) for name in blocked),
        )

    def refusal(self, action: str, item: str) -> str:
        """Why a person's `retry`, `skip` or `land` of an item makes no sense; empty when it does."""
        if item in self._plan.tasks:
            epic = self._plan.tasks[item].epic
            if action == "retry" and item in self.commits and self.interventions.about(epic, *_DO_AGAIN):
                return ""
            if self.is_done(item):
                return f"{item} is done"
            again = item in self.failed or self.interventions.about(item, "question")
            return f"{item} has not failed" if action == "retry" and not again else ""
        if item in self.landed:
            return f"{item} has landed"
        return "" if item in self._finished else f"{item} has unfinished tasks"

    def may_start(self, task: Task) -> bool:
        """Whether nobody's word is needed first; where it is, it is asked for."""
        if self.interventions.wants_word(task.id):
            return False
        for item in (self._plan.epic[task.epic], task):
            if self.interventions.needs(item, "before"):
                what = "nothing of it starts" if item is not task else "it does not start"
                self._ask_approval(item, "before", f"{what} before you approve: {item.title}")
                return False
        return True

    def ask_about(self, task: Task, outcome: Outcome, kept: str) -> Event:
        """The question with which a session ends: the agent's own, or whether its work may count."""
        if outcome.question:
            return self.interventions.ask(
                "question", outcome.question, epic=task.epic, task=task.id, kept_ref=kept
            )
        reason = f"it is done and its checks passed; it counts once you approve: {task.title}"
        about = {"stage": "after", "commits": [outcome.commit], "kept_ref": kept}
        return self.interventions.ask("approval", reason, epic=task.epic, task=task.id, **about)

    def answer(self, entry: Waiting, choice: str, *, by: str, text: str = "") -> list[Task]:
        """Record a person's answer to an approval or a question; gives the tasks that it rules out."""
        epic, events = entry.item, self.interventions.settle(entry.item, choice, by, text)
        stage = entry.more.get("stage")
        if stage == "after" and epic in self._finished and epic not in self.landed:
            if choice == "reject":
                events += self._send_back(epic, by, text)
            elif entry.more.get("rejected"):
                events += self._queue(epic)
        self._recorder.record(*events)
        over = self.finished | set(self.failed)
        return first_of(self._plan, entry.item, over) if (stage, choice) == ("before", "reject") else []

    def _send_back(self, epic: str, by: str, text: str) -> list[Event]:
        """An epic that a person does not want to land as it is stays where it is until somebody approves."""
        self._queued.discard(epic)
        why = f"{by} rejected it" + (f": {text}" if text else "")
        commits = self._to_approve(epic)
        return [
            self._recorder.event("landing.rejected", epic=epic, reason=why, output=""),
            *self.interventions.ask_approval(self._plan.epic[epic], "after", why, commits, rejected=True),
        ]

    def _needs_approval(self, epic: str) -> bool:
        """Whether a finished epic may not land as it is."""
        item = self._plan.epic[epic]
        return item.approve == "after" and self.interventions.needs(item, "after", self._to_approve(epic))

    def _to_approve(self, epic: str) -> list[str]:
        """What a person approves when an epic may land: the tasks' commits, and how an agent merged them."""
        return [*self.commits_of(epic).values(), *filter(None, [self.interventions.resolved.get(epic)])]

    def _ask_to_land(self, epic: str) -> None:
        if self._needs_approval(epic):
            item, resolved = self._plan.epic[epic], self.interventions.resolved.get(epic)
            done = (
                f"its conflict was resolved by an agent ({resolved[:12]})" if resolved else "it is finished"
            )
            reason = f"{done} and lands once you approve: {item.title}"
            self._ask_approval(item, "after", reason, self._to_approve(epic))

    def _ask_approval(
        self, item: Task | Epic, stage: str, reason: str, commits: Collection[str] = ()
    ) -> None:
        if events := self.interventions.ask_approval(item, stage, reason, commits):
            self._recorder.record(*events)

    def ready(self, task: str) -> None:
        """Everything that the task waited for is done."""
        self._recorder.emit("task.ready", epic=self._plan.tasks[task].epic, task=task)

    def unblock(self, tasks: Collection[str]) -> None:
        """What these tasks waited for is no longer given up."""
        for task in sorted(tasks, key=lambda name: self._plan.tasks[name].position):
            epic = self._plan.tasks[task].epic
            self._recorder.emit("task.reopened", epic=epic, task=task, by="system", reason="unblocked")

    def reopen(self, task: str, *, by: str) -> None:
        """A person wants the task tried again, or done again where its epic cannot land as it is."""
        self.failed.pop(task, None)
        self._failures[task] = []
        self._failed_attempts[task] = 0
        epic = self._plan.tasks[task].epic
        events = self.interventions.settle(task, "retry", by)
        if task in self.commits:
            self._open_again(task)
            self._held.discard(epic)
            events += self.interventions.settle_all(epic, "retry", by)
        reopened = self._recorder.event("task.reopened", epic=epic, task=task, by=by, reason="")
        self._recorder.record(*events, reopened)

    def skip(self, task: str, *, by: str) -> None:
        """A person wants the task left out."""
        self.failed.pop(task, None)
        epic = self._plan.tasks[task].epic
        skipped = self._recorder.event("task.skipped", epic=epic, task=task, by=by, reason="")
        self._recorder.record(*self.interventions.settle(task, "skip", by), skipped)
        self.skipped.add(task)
        self._close(task, announce=True)

    def requeue(self, epic: str, *, by: str) -> None:
        """A person wants the epic landed after all, or what was in its way is gone."""
        self._held.discard(epic)
        if by == SYSTEM:
            # It left the queue.
            self._queued.discard(epic)
        events = self.interventions.settle(epic, "land", by)
        if by != SYSTEM:
            self.interventions.approve(epic, "after", self._to_approve(epic))
        if epic in self._finished and epic not in self.landed:
            events += self._queue(epic)
        self._recorder.record(*events)

    def _queue(self, epic: str) -> list[Event]:
        """Queue a landing, unless it is."""
        if epic in self._queued:
            return []
        self._queued.add(epic)
        return [self._recorder.event("landing.queued", epic=epic)]

    def resolved(self, epic: str, commit: str = "") -> None:
        """A conflict is resolved: land again. What an agent made, in `commit`, nobody has approved."""
        if commit:
            self.interventions.resolved[epic] = commit
        self.requeue(epic, by=SYSTEM)
        self._ask_to_land(epic)

    def queue_missing(self, queued: Collection[str]) -> None:
        """Queue finished epics that nobody is asked about and that are not `queued`: a crash came before."""
        self._queued.update(queued)
        for epic in self._plan.epic:
            known = self.interventions.about(epic, "approval") is not None
            if epic in self._finished and epic not in self.landed | self._held and not known:
                self._recorder.record(*self._queue(epic))
            if epic in self._finished and epic not in self.landed | self._held:
                self._ask_to_land(epic)

    def rebased(self, task: str, commit: str) -> None:
        """A person has rewritten a completed task's commit: what came of it is to be approved."""
        was, self.commits[task] = self.commits[task], commit
        epic = self._plan.tasks[task].epic
        self._recorder.emit("task.rebased", epic=epic, task=task, commit=commit, was=was)
        if epic in self._finished:
            self._ask_to_land(epic)

    def lose(self, task: str, reason: str) -> None:
        """A completed task's commit is not in the repository: it is to be done again."""
        self._open_again(task)
        epic = self._plan.tasks[task].epic
        self._recorder.emit("task.reopened", epic=epic, task=task, by="system", reason=reason)

    def _open_again(self, task: str) -> None:
        epic, _ = self._plan.tasks[task].epic, self.commits.pop(task)
        self._open[epic] += 1
        for epics in (self._finished, self._queued, self.landed):
            epics.discard(epic)
        if task in self.completed_now:
            self.completed_now.remove(task)

    def take_back(self, epic: str, reason: str) -> None:
        """A person took an epic off the target: whether it lands again is for a person to say."""
        self.landed.discard(epic)
        self.landed_now = [entry for entry in self.landed_now if entry.epic != epic]
        self._held.add(epic)
        self._queued.discard(epic)
        self._recorder.record(
            self._recorder.event("landing.queued", epic=epic),
            self._recorder.event("landing.rejected", epic=epic, reason=reason, output=""),
            self.interventions.ask("taken_back", reason, epic=epic),
        )

    def land_only(self, epics: Collection[str]) -> None:
        """Leave every other landing for another run."""
        self._held |= set(self._plan.epic) - set(epics)

    def landing_ended(self, result: LandingResult) -> None:
        """Take note of how a landing went."""
        self._queued.discard(result.epic)
        if result.status is LandingStatus.LANDED:
            self.landed.add(result.epic)
            self.interventions.forget(result.epic)
            self.landing_commits[result.epic] = result.commit
            self.work_seconds += result.seconds
            self.landed_now.append(Landed(result.epic, result.commit, tuple(self.commits_of(result.epic))))
            return
        self._held.add(result.epic)
        self._recorder.record(self.interventions.ask(result.waits, result.reason, epic=result.epic))

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
                self._recorder.record(*self._queue(epic))
                self._ask_to_land(epic)
