"""`yoke run`: puts the parts of a run together and takes them apart again."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING
from uuid import uuid4

from yokeflow.engine.conflicts.forecast import Forecasts
from yokeflow.engine.decisions.decide import EventHook
from yokeflow.engine.facts.claims import close_tasks, follow_rewritten
from yokeflow.engine.facts.commits import ingest, publish_tasks
from yokeflow.engine.facts.rebuild import catch_up
from yokeflow.engine.ledger.gone import settle_gone
from yokeflow.engine.ledger.interventions import by_person
from yokeflow.engine.ledger.loading import load_ledger
from yokeflow.engine.lock import hold_project
from yokeflow.engine.opening import open_context
from yokeflow.engine.people.control import Control
from yokeflow.engine.people.kept import apply_kept
from yokeflow.engine.people.notices import Notices
from yokeflow.engine.preflight import check_agents, check_places
from yokeflow.engine.recorder import Recorder
from yokeflow.engine.recovery.moved import bring_moved
from yokeflow.engine.recovery.recovery import (
    OPEN,
    compare_with_git,
    find_remains,
    look_again,
    recover,
    tidy_up,
)
from yokeflow.engine.recovery.taken_back import record_found
from yokeflow.engine.report import RunReport
from yokeflow.engine.reports.keeping import keep_status
from yokeflow.engine.scheduling.scheduler import Scheduler
from yokeflow.engine.selection import RunOptions, selected
from yokeflow.engine.workflow import Workflow
from yokeflow.errors import ExitCode, UsageError, YokeError
from yokeflow.git.collection import no_collection
from yokeflow.git.hooks import Hooks
from yokeflow.store import items
from yokeflow.store.drain import Drainer, drain
from yokeflow.store.server import ensure_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from uuid import UUID

    from yokeflow.engine.context import Context
    from yokeflow.engine.ledger.ledger import Ledger
    from yokeflow.engine.project import Project
    from yokeflow.events import Event
    from yokeflow.model import Plan, Resolution
    from yokeflow.store.connection import Store

#: How long the end of a run waits for a database that is away; the journal keeps what it misses.
_LAST_DRAIN = 10.0
#: Items that the event of a changed plan names, of each kind.
_MOST_NAMES = 50


class Run:
    """One run of a plan, from the lock to the report."""

    def __init__(
        self, project: Project, plan: Plan, options: RunOptions, listen: Callable[[Event], None]
    ) -> None:
        self._project = project
        self._plan = plan
        self._options = options
        self._recorder = Recorder(str(uuid4()), project.journal, [listen])
        self._workflow: Workflow | None = None
        self._main: asyncio.Task[RunReport] | None = None
        self._stopped = False
        #: Since the plan was last brought into the store.
        self._changes = items.PlanChanges()
        #: Where the target was when the run began.
        self._began: str | None = None

    @property
    def id(self) -> str:
        """UUID of the run."""
        return self._recorder.run

    async def execute(self) -> RunReport:
        """Work until nothing more can be done.

        Raises ProjectBusyError, StoreError, UsageError or PluginError when it cannot start. What ends it
        later is in the report's state, reason and exit code.
        """
        self._main = asyncio.current_task()
        with hold_project(self._project.lock_file, self.id):
            opened = self._project.store(self._recorder.record)
            repo = self._project.repo
            async with no_collection(repo), repo.reading(), opened as (store, project_id):
                return await self._execute(store, project_id)

    def stop(self) -> None:
        """Let sessions stop cleanly and start nothing new."""
        self._stopped = True
        if self._workflow is not None:
            self._workflow.stop()

    def kill(self) -> None:
        """End everything at once. The next run puts right what is left."""
        self._stopped = True
        if self._main is not None:
            self._main.cancel()

    async def _execute(self, store: Store, project_id: UUID) -> RunReport:
        context = await open_context(
            self._project, self._plan, self._recorder, store, project_id, only_agent=self._options.agent
        )
        resolution, ledger, scheduler = await self._prepare(context, store, project_id)
        forecasts = await Forecasts.open(context, ledger, scheduler, store, project_id)
        self._workflow = Workflow(context, resolution, scheduler, ledger, forecasts)
        started = monotonic()
        async with self._recording(store, project_id):
            await self._announce(context, resolution, ledger)
            control = Control(self._project, store, project_id, self._workflow, self._recorder, self._plan)
            pool = context.worktrees.pool.working(context.config.parallel.pool, context.target)
            async with control, pool, forecasts.working():
                error = await self._work(ledger, control)
            await look_again(context, ledger, self._began)
            await tidy_up(context, ledger.landed)
            report = self._report(context, ledger, scheduler, monotonic() - started, error)
            self._recorder.emit(
                "run.finished", state=report.state, exit_code=int(report.exit_code), reason=report.reason
            )
        await keep_status(self._project, store, project_id)
        return report

    async def _prepare(
        self, context: Context, store: Store, project_id: UUID
    ) -> tuple[Resolution, Ledger, Scheduler]:
        """Put right what the last run left, then find out what there is to do."""
        chosen = selected(self._plan, self._options)
        ledger, durations = await self._put_right(context, store, project_id)
        await context.decide.begin(self._plan)
        resolution = context.decide.resolve(self._plan, ledger.finished, durations)
        todo = [
            task for task in self._plan.tasks.values() if task.id in chosen and not ledger.is_done(task.id)
        ]
        check_agents(context, todo)
        await check_places(context)
        scheduler = self._schedule(context, resolution, ledger, chosen)
        self._land_only(ledger)
        if self._options.take:
            context.takes.update(dict.fromkeys(self._options.land, self._options.take))
        return resolution, ledger, scheduler

    async def _put_right(
        self, context: Context, store: Store, project_id: UUID
    ) -> tuple[Ledger, dict[str, float]]:
        """Make repository and store agree; gives what they agree on, and how long tasks took before.

        Each step needs those before it: what a crash left goes first, since that can be locks and moves that
        stopped halfway; then the store learns what it missed, from people's commits and the second copy; only
        then can it be said whether what people asked for still makes sense, and what they took back.
        """
        async with store.begin() as connection:
            self._changes = await items.sync_plan(connection, project_id, self._plan)
        if Hooks(context.repo).installed:
            publish_tasks(context.repo, self._plan.tasks)
        await context.worktrees.ignore()
        await recover(context, await find_remains(store, project_id))
        await drain(store, project_id, self._project.journal, must_finish=True)
        if await settle_gone(store, project_id, self._plan, self._recorder):
            await drain(store, project_id, self._project.journal, must_finish=True)
        if await close_tasks(self._project, self._plan, store, project_id, self._recorder):
            await drain(store, project_id, self._project.journal, must_finish=True)
        await catch_up(self._project, store, project_id, context.target, self._recorder.record)
        if await follow_rewritten(self._project, self._plan, store, project_id, self._recorder):
            await drain(store, project_id, self._project.journal, must_finish=True)
        await apply_kept(self._project, self._plan, store, project_id, takes=context.takes)
        await record_found(context, store, project_id)
        ledger, durations = await load_ledger(store, project_id, self._plan, self._recorder)
        await bring_moved(context, ledger, store, project_id)
        landings = await compare_with_git(context, ledger, store, project_id, self._options.land)
        ledger.queue_missing({epic for epic, landing in landings.items() if landing.status in OPEN})
        return ledger, durations

    def _schedule(
        self, context: Context, resolution: Resolution, ledger: Ledger, chosen: set[str]
    ) -> Scheduler:
        """The chosen tasks in the order of the resolution, as far as they are done or given up."""
        scheduler = Scheduler(
            self._plan,
            resolution,
            lambda ready: context.decide.order(ready, resolution),
            concurrency=context.config.concurrency,
            agent_limit=context.config.agent_limits,
            agent_of=lambda task: context.role_of(task, ledger.failed_attempts(task.id) + 1)[0],
        )
        scheduler.held(set(self._plan.tasks) - chosen)
        for task in ledger.failed:
            scheduler.failed(task)
        ledger.unblock(ledger.blocked - set(scheduler.blocked))
        return scheduler

    def _land_only(self, ledger: Ledger) -> None:
        if not self._options.land:
            return
        ledger.land_only(self._options.land)
        for epic in self._options.land:
            if reason := ledger.refusal("land", epic):
                raise UsageError(reason, hint="`yoke status` shows where it is")
            ledger.requeue(epic, by=by_person())

    @asynccontextmanager
    async def _recording(self, store: Store, project_id: UUID) -> AsyncIterator[None]:
        """Bring the journal into the store in the background, and show events to plugins."""
        self._recorder.listen(
            EventHook(self._project.plugins, self._recorder, self._project.config.plugins.timeouts)
        )
        drainer = Drainer(
            store,
            project_id,
            self._project.journal,
            on_lost=self._lost,
            on_found=self._found,
            reconnect=lambda: asyncio.to_thread(ensure_server, self._project.config.database),
            first=partial(ingest, self._project, store, project_id),
        )
        self._recorder.listen(lambda _event: drainer.wake())
        try:
            async with Notices(self._project, self._recorder):
                yield
        finally:
            await drainer.aclose(_LAST_DRAIN)

    def _lost(self, reason: str) -> None:
        self._recorder.emit("store.lost", reason=reason)

    def _found(self) -> None:
        self._recorder.emit("store.found")

    async def _announce(self, context: Context, resolution: Resolution, ledger: Ledger) -> None:
        config = context.config
        self._began = await context.repo.branch(context.target)
        self._recorder.emit(
            "run.started",
            target=context.target,
            target_commit=self._began,
            strategy=config.parallel.strategy.value,
            concurrency=config.concurrency,
            budget_usd=config.cost.run_limit_usd,
            pid=os.getpid(),
            host=socket.gethostname(),
            batches=[list(batch) for batch in resolution.batches],
            critical_path=list(resolution.critical_path),
            options={
                "epics": self._options.epics,
                "tasks": self._options.tasks,
                "agent": self._options.agent,
            },
            before=ledger.before(),
        )
        if self._changes:
            changed = asdict(self._changes)
            self._recorder.emit(
                "plan.changed",
                numbers={name: len(names) for name, names in changed.items()},
                **{name: names[:_MOST_NAMES] for name, names in changed.items()},
            )

    async def _work(self, ledger: Ledger, control: Control) -> YokeError | None:
        """Do the work, until no answer of a person is left; the error that ended it early, if one did."""
        assert self._workflow is not None
        if self._stopped:
            return None
        try:
            await self._workflow.work()
            while not self._workflow.stopped and (late := await control.late(ledger.waiting)):
                await self._workflow.work(partial(control.hear, late))
        except YokeError as error:
            return error
        return None

    def _report(
        self, context: Context, ledger: Ledger, scheduler: Scheduler, seconds: float, error: YokeError | None
    ) -> RunReport:
        state, exit_code, reason = self._verdict(ledger, error)
        return RunReport(
            run=self.id,
            state=state,
            exit_code=exit_code,
            reason=reason,
            target=context.target,
            seconds=seconds,
            work_seconds=ledger.work_seconds,
            cost_usd=ledger.cost_usd,
            unknown_costs=ledger.unknown_costs,
            completed=tuple(ledger.completed_now),
            failed=dict(ledger.failed),
            blocked={task: by for task, by in scheduler.waiting.items() if not ledger.is_done(task)},
            landed=tuple(ledger.landed_now),
            waiting=tuple(ledger.waiting.values()),
        )

    def _verdict(self, ledger: Ledger, error: YokeError | None) -> tuple[str, ExitCode, str]:
        if error is not None:
            return (
                "failed",
                error.exit_code,
                f"{error.message}; {error.hint}" if error.hint else error.message,
            )
        if self._stopped or (self._workflow is not None and self._workflow.stopped):
            return "cancelled", ExitCode.INTERRUPTED, "stopped by a person"
        if self._options.land:
            return self._verdict_on_landing(ledger)
        if ledger.waiting:
            return "failed", ExitCode.FAILED, "something waits for a person"
        chosen = selected(self._plan, self._options)
        if any(not ledger.is_done(task) for task in chosen):
            return "failed", ExitCode.FAILED, "some tasks could not start"
        if any(epic not in ledger.landed for epic in ledger.finished_epics):
            return "failed", ExitCode.FAILED, "finished epics wait for others to land first"
        return "completed", ExitCode.OK, ""

    def _verdict_on_landing(self, ledger: Ledger) -> tuple[str, ExitCode, str]:
        """A run that was asked to land some epics is about nothing else."""
        missing = [epic for epic in self._options.land if epic not in ledger.landed]
        if any(entry.item in missing for entry in ledger.waiting.values()):
            return "failed", ExitCode.FAILED, "something waits for a person"
        if missing:
            return "failed", ExitCode.FAILED, f"{', '.join(missing)} waits for others to land first"
        return "completed", ExitCode.OK, ""
