"""The course of a run: starts sessions and landings, and reacts to what becomes of them.

Nothing here waits in a loop. Every end of a session or landing calls `_advance`, which starts what became
possible by it; the run is over when nothing runs and nothing can start.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import uuid4

from yokeflow.engine.conflicts.forecast import Forecasts
from yokeflow.engine.conflicts.unsettled import Unsettled
from yokeflow.engine.landing.landings import Landings
from yokeflow.engine.landing.queue import LandingQueue
from yokeflow.engine.lanes.lanes import HandOverConflictError, Lanes
from yokeflow.engine.ledger.interventions import refused
from yokeflow.engine.people.consent import Consent, take_up
from yokeflow.engine.sessions.attempt import Outcome, Session
from yokeflow.engine.shortage import Shortage
from yokeflow.errors import GitError, LimitError, ProjectBusyError, RepositoryError, YokeError, disk_full
from yokeflow.model import Attempt, Failure, LandingStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from yokeflow.engine.context import Context
    from yokeflow.engine.lanes.lanes import Place
    from yokeflow.engine.ledger.ledger import Ledger
    from yokeflow.engine.report import LandingResult
    from yokeflow.engine.scheduling.scheduler import Scheduler
    from yokeflow.model import Resolution, Task


class Workflow:
    """Works on a plan until nothing more can be done."""

    def __init__(
        self,
        context: Context,
        resolution: Resolution,
        scheduler: Scheduler,
        ledger: Ledger,
        forecasts: Forecasts | None = None,
    ) -> None:
        self._context = context
        self._forecasts = forecasts or Forecasts(context, ledger, scheduler)
        self._resolution = resolution
        self._scheduler = scheduler
        self._ledger = ledger
        self._lanes = Lanes(context, resolution)
        self._unsettled = Unsettled(context, ledger, self._go_on, self._end)
        self._queue = LandingQueue(
            Landings(context, self._lanes, ledger.commits_of, ledger.rebased, self._landing_ended),
            self._unsettled.landable,
            parallel=context.config.landing.max_parallel_checks,
            batch=context.config.landing.batch,
            stop=context.stop,
        )
        self._forecasts.connect(lambda: self._advance() if self._stops else None, self._end, self._queue.rest)
        self._consent = Consent(context, ledger, scheduler)
        self._stops: dict[str, asyncio.Event] = {}
        #: Who asked to skip each task that still runs.
        self._skips: dict[str, str] = {}
        self._landing = False
        #: Set when a pause ends; None while nothing is paused.
        self._resumed: asyncio.Event | None = None
        #: A person ended the run.
        self.stopped = False
        #: What ends the run early; sessions that run are stopped.
        self._fatal: YokeError | None = None
        self._learning: set[asyncio.Task[None] | None] = set()
        self._shortage = Shortage(
            context, scheduler, self._stops, lambda: bool(self._learning) or self._unsettled.busy
        )
        self._working = self._over = False

    @property
    def over(self) -> bool:
        """Nothing is done any more."""
        return self._over

    async def work(self, first: Callable[[], None] | None = None) -> None:
        """Do everything that can be done, `first` this.

        Raises the error that ended the run early, after all sessions have stopped.
        """
        held, tasks = self._scheduler.holding, self._context.plan.tasks
        self._lanes.expect(tasks[name] for name in self._resolution.hard if name not in held)
        self._over = False
        async with asyncio.TaskGroup() as self._group:
            self._working = True
            if self._resumed is not None:
                self._group.create_task(self._resumed.wait(), name="paused")
            if first is not None:
                first()
            self._advance()
        self._working, self._over = False, True
        if self._fatal is not None:
            raise self._fatal
        if self._shortage.limit is not None:
            raise self._shortage.limit

    def stop(self) -> None:
        """A person ends the run: let sessions stop cleanly and start nothing new."""
        self.stopped = True
        self._halt()

    def pause(self, *, by: str) -> None:
        """Start no task until `unpause`; what runs goes on, and the run does not end."""
        if self._resumed is None and not (self._over or self._context.stop.is_set() or self._shortage.limit):
            self._resumed = asyncio.Event()
            if self._working:
                self._group.create_task(self._resumed.wait(), name="paused")
            self._context.recorder.emit("run.paused", by=by)

    def unpause(self, *, by: str) -> None:
        """Start tasks again."""
        if self._resumed is not None:
            self._resumed.set()
            self._resumed = None
            self._context.recorder.emit("run.continued", by=by)
            self._advance()

    def retry(self, item: str, *, by: str, take: str = "") -> str:
        """Give a failed task new attempts, or an epic a new landing; gives why not where that makes no sense.

        `take` is whose lines that one landing takes where it conflicts: `ours`, `theirs`.
        """
        if reason := self._refused("retry", item):
            return reason
        if item in self._context.plan.tasks:
            before = self._scheduler.blocked
            self._ledger.reopen(item, by=by)
            self._consent.release(item)
            self._scheduler.reopened(item)
            self._ledger.unblock(set(before) - set(self._scheduler.blocked))
        else:
            self._unsettled.ended(item)
            if take:
                self._context.takes[item] = take
            self._unsettled.again({item})
            self._ledger.requeue(item, by=by)
        self._advance()
        return ""

    def answer(self, intervention: str, choice: str, *, by: str, text: str = "") -> str:
        """Do what a person answers to an approval or a question; gives why not where it makes no sense."""
        entry = self._ledger.waiting.get(intervention)
        if (reason := refused(entry, choice)) or entry is None:
            hint = "`yoke attention` lists what waits for you"
            self._context.recorder.emit("warning.raised", reason=reason, hint=hint)
        else:
            self._consent.answer(entry, choice, by=by, text=text)
            self._advance()
        return reason

    def skip(self, task: str, *, by: str) -> str:
        """Count a task as done without doing it, one that runs after it has stopped; gives why not."""
        if task in self._stops:
            self._skips[task] = by
            self._stops[task].set()
            return ""
        if not (reason := self._refused("skip", task)):
            self._leave_out(task, by)
            self._advance()
        return reason

    def _leave_out(self, task: str, by: str) -> None:
        before = self._scheduler.blocked
        self._ledger.skip(task, by=by)
        self._scheduler.skipped(task)
        self._ledger.unblock(set(before) - set(self._scheduler.blocked))

    def _refused(self, action: str, item: str) -> str:
        """Why a request makes no sense right now; empty when it does."""
        reason = "the run is over" if self._over else self._ledger.refusal(action, item)
        if reason:
            self._context.recorder.emit(
                "warning.raised", reason=reason, hint="`yoke status` shows where it is"
            )
        return reason

    def _halt(self) -> None:
        self._context.stop.set()
        self._queue.wake()
        for stop in self._stops.values():
            stop.set()
        for learning in self._learning:
            if learning is not None:
                learning.cancel()
        if self._resumed is not None:
            self._resumed.set()

    def _advance(self) -> None:
        """Start what is possible now; what people ask before there is work counts when it begins."""
        if not self._working or self._context.stop.is_set() or self._fatal is not None:
            return
        self._start_landing()
        self._start_tasks()
        over = not (self._stops or self._landing or self._learning or self._resumed)
        if over and self._unsettled.waiting and not self._unsettled.busy:
            self._unsettled.last_call(self._group)

    def _start_tasks(self) -> None:
        if self._resumed is not None or self._shortage:
            return
        self._consent.admit(self._scheduler.newly_ready())
        for task in self._scheduler.startable():
            self._scheduler.started(task.id)
            self._stops[task.id] = asyncio.Event()
            self._group.create_task(self._do(task), name=task.id)

    async def _do(self, task: Task) -> None:
        """One attempt at a task and what follows from it."""
        settlements, refused = self._shortage.settlements, False
        try:
            outcome = await self._work_on(task)
        except HandOverConflictError as error:
            self._give_up(task, error.message, kind="hand_over")
        except (GitError, RepositoryError, ProjectBusyError) as error:
            self._give_up(task, error.message, kind="worktree")
        except LimitError as error:
            refused = True
            if self._shortage.refuse(error, task, settlements):
                self._give_up(task, error.message, kind="budget")
                self._shortage.settled()
        except (YokeError, OSError) as error:
            self._scheduler.released(task.id)
            self._end(error)
        else:
            self._settle(task, outcome)
        finally:
            del self._stops[task.id]
        if not refused:
            self._shortage.settled()
        if (by := self._skips.pop(task.id, None)) and not self._ledger.is_done(task.id):
            self._leave_out(task.id, by)
        self._advance()

    async def _work_on(self, task: Task) -> Outcome:
        """A session for a task; none where its finished work has been approved and counts now."""
        place = await self._place(task)
        if place is None:
            return Outcome("interrupted", cost_usd=0.0)
        if approved := self._ledger.interventions.approved_work(task.id):
            return await self._take_up(task, place, approved)
        attempt, stop = await self._attempt(task), self._stops[task.id]
        session = Session(self._context, self._lanes, attempt, place, stop, self._ledger.ask_about)
        async with self._context.worktrees.in_use(place.path):
            outcome = await session.run()
        self._start_learning(session)
        return outcome

    async def _place(self, task: Task) -> Place | None:
        """A lane that holds what the task builds on; None when the run is stopped meanwhile."""
        while True:
            try:
                return await self._lanes.prepare(task, self._ledger.commit_of)
            except HandOverConflictError as error:
                self._forecasts.met(task, error)
                if not await self._unsettled.hand_over(task, self._lanes, error):
                    return None

    async def _take_up(self, task: Task, place: Place, approved: str) -> Outcome:
        """Count work that a person approved; where that cannot be, the task is done again."""
        commit = await take_up(self._context, self._lanes, place, task, approved)
        if isinstance(commit, Failure):
            self._ledger.interventions.withdraw_approval(task.id, commit.reason)
            return Outcome("interrupted", failure=commit, cost_usd=0.0)
        self._context.recorder.emit(
            "task.completed", epic=task.epic, task=task.id, commit=commit, seconds=0.0
        )
        return Outcome("completed", commit, cost_usd=0.0)

    async def _attempt(self, task: Task) -> Attempt:
        number = self._ledger.failed_attempts(task.id) + 1
        agent, profile = self._context.role_of(task, number)
        return Attempt(
            task=task,
            number=number,
            session=str(uuid4()),
            run=self._context.recorder.run,
            failures=tuple(self._ledger.failures(task.id)),
            said=self._ledger.interventions.said(task.id),
            foreseen=await self._forecasts.told(task),
            agent=agent,
            profile=profile,
        )

    def _start_learning(self, session: Session) -> None:
        """Let plugins learn while the run goes on; when it is stopped, they catch up in the next one."""
        if self._context.stop.is_set():
            return
        self._learning.add(self._group.create_task(self._learn(session), name="learning"))

    async def _learn(self, session: Session) -> None:
        try:
            await self._queue.rest()
            await session.learn()
        except (YokeError, OSError) as error:
            self._end(error)
        finally:
            self._learning.discard(asyncio.current_task())
        self._go_on()

    def _go_on(self) -> None:
        """An agent that did something else than a task is done, and had money set aside, too."""
        self._shortage.settled()
        self._advance()

    def _settle(self, task: Task, outcome: Outcome) -> None:
        ledger = self._ledger
        ledger.account(outcome)
        if outcome.waits:
            self._consent.hold(task.id)
            self._scheduler.released(task.id)
        elif outcome.state == "completed":
            ledger.complete(task, outcome.commit)
            self._scheduler.completed(task.id)
        elif outcome.failure is None or outcome.state == "interrupted":
            self._scheduler.released(task.id)
        else:
            ledger.fail(task.id, outcome.failure)
            if (failed := ledger.failed_attempts(task.id)) < self._context.config.agents.max_attempts:
                self._scheduler.released(task.id)
                self._scheduler.reassign(task.id, self._context.role_of(task, failed + 1)[0])
            else:
                self._give_up(task, outcome.failure.reason, kind="retry_limit")

    def _give_up(self, task: Task, reason: str, *, kind: str) -> None:
        """A person is asked, hard successors wait, everything else goes on."""
        blocked = self._scheduler.failed(task.id)
        self._ledger.give_up(task, reason, kind=kind, blocked=sorted(blocked))

    def _end(self, error: YokeError | OSError) -> None:
        """Nothing can go on: stop what runs, and tell why at the end."""
        if isinstance(error, OSError):
            found = disk_full(error)
            error = found if isinstance(found, YokeError) else YokeError(str(error))
        self._fatal = self._fatal or error
        self._halt()

    def _start_landing(self) -> None:
        if self._landing:
            self._queue.wake()
        elif self._unsettled.landable():
            self._landing = True
            self._group.create_task(self._land(), name="landing")

    async def _land(self) -> None:
        """Land finished epics until none is left."""
        try:
            await self._queue.work()
        except (YokeError, OSError) as error:
            self._end(error)
        finally:
            self._landing = False
        self._advance()

    def _landing_ended(self, result: LandingResult) -> None:
        if result.status is LandingStatus.CONFLICT:
            self._unsettled.begin(result, self._group)
        else:
            self._unsettled.ended(result.epic)
            self._ledger.landing_ended(result)
            if result.status is LandingStatus.LANDED:
                self._unsettled.again()
                self._forecasts.look()
        self._advance()
