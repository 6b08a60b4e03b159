"""Conflicts between epics, found out in the background while they are worked on.

Whenever work is committed or lands, the epics that moved are merged with all others on trial. What comes of
it is recorded, told to agents, and heeded by the scheduler. Nothing waits for it.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import combinations
from time import monotonic
from typing import TYPE_CHECKING, Self

from yokeflow.engine.conflicts.foreseen import told, wishes
from yokeflow.errors import DiskFullError, GitError, RepositoryError, YokeError
from yokeflow.git.forecast import Trial, excerpt, trials
from yokeflow.git.squashed import squashed
from yokeflow.store.forecasts import OFTEN, ConflictHistory, Forecast, conflict_files, open_forecasts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
    from uuid import UUID

    from yokeflow.engine.context import Context
    from yokeflow.engine.lanes.lanes import HandOverConflictError
    from yokeflow.engine.ledger.ledger import Ledger
    from yokeflow.engine.scheduling.scheduler import Scheduler
    from yokeflow.events import Event
    from yokeflow.git.forecast import Trials
    from yokeflow.model import Task
    from yokeflow.store.connection import Store

#: The target, among the names of epics.
_TARGET = ""
#: What may have moved an epic; whoever notes a landing calls `look`.
_MOVES = frozenset({"task.completed", "session.finished"})
#: Conflicts that were met.
_MET = frozenset({"landing.conflicted", "handover.conflicted"})
#: Between two forecasts there is a rest, so many times as long as the first took; within it, news add up.
_REST, _LONGEST_REST = 9.0, 5.0
#: Files that often conflict and are heeded, and conflicts that one agent is told.
_MOST_HOT, _MOST_TOLD = 20, 4


class Forecasts:
    """The known conflicts of one run."""

    def __init__(
        self,
        context: Context,
        ledger: Ledger,
        scheduler: Scheduler,
        known: Iterable[Forecast] = (),
        history: Iterable[ConflictHistory] = (),
    ) -> None:
        self._context = context
        self._ledger = ledger
        self._scheduler = scheduler
        self._open = {forecast.pair: forecast for forecast in known}
        self._history = {each.path: each for each in history}
        #: Where every epic and the target were at the last forecast.
        self._seen: dict[str, str] = {}
        #: Commits of these that have the history of squashed landings, too.
        self._views: dict[str, str] = {}
        #: The squashed landings that these know of, each with what it squashed.
        self._landed: list[tuple[str, str]] = []
        self._trials: Trials | None = None
        self._task: asyncio.Task[None] | None = None
        self._due = False
        self._hurry = asyncio.Event()
        self._warned = False
        self._changed: Callable[[], None] = lambda: None
        self._fail: Callable[[YokeError | OSError], None] = lambda _error: None
        self._give_way: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)
        self._heed()

    @classmethod
    async def open(
        cls, context: Context, ledger: Ledger, scheduler: Scheduler, store: Store, project_id: UUID
    ) -> Self:
        """With what the store knows from before."""
        async with store.begin() as connection:
            known = await open_forecasts(connection, project_id)
            history = await conflict_files(connection, project_id)
        return cls(context, ledger, scheduler, known, history)

    def connect(
        self,
        changed: Callable[[], None],
        fail: Callable[[YokeError | OSError], None],
        give_way: Callable[[], Awaitable[None]],
    ) -> None:
        """Call `changed` when other tasks may start, `fail` when the run cannot go on.

        `give_way` waits for what comes before forecasts.
        """
        self._changed, self._fail, self._give_way = changed, fail, give_way

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Forecast while the block runs; what is due at its end is done, unless the run is stopped."""
        async with trials(self._context.repo, self._context.repo.state_dir / "forecast") as on_trial:
            self._trials = on_trial
            self._context.recorder.listen(self._hear)
            if self._open or len(await self._tips()) > 2:
                self.look()
            try:
                yield
                await self._finish()
            finally:
                self._due, task, self._trials = False, self._task, None
                if task is not None:
                    task.cancel()
                    await asyncio.wait({task})

    def met(self, task: Task, error: HandOverConflictError) -> None:
        """Work of another epic, or what is on the target, could not be taken in."""
        other = None if error.target else self._context.plan.tasks.get(error.theirs)
        self._context.recorder.emit(
            "handover.conflicted",
            epic=task.epic,
            task=task.id,
            with_epic=other.epic if other and other.epic != task.epic else "",
            target=error.target,
            files=list(error.files),
        )

    async def told(self, task: Task) -> tuple[str, ...]:
        """What the agent of a task should know, as parts of its prompt."""
        mine = [forecast for forecast in self._open.values() if task.epic in forecast.pair]
        return tuple([await self._told(forecast, task) for forecast in mine[:_MOST_TOLD]])

    async def _told(self, forecast: Forecast, task: Task) -> str:
        other = forecast.with_epic if forecast.epic == task.epic else forecast.epic
        repo = self._context.repo
        ours = await repo.branch(self._branch(task.epic))
        # An epic that has landed a moment ago is on the target.
        theirs = await repo.branch(self._branch(other)) or await repo.branch(self._context.target)
        changed = await excerpt(repo, theirs, ours, forecast.files) if ours and theirs else ""
        return told(forecast, task.epic, self._context.plan, changed)

    def _branch(self, name: str) -> str:
        return self._context.target if name == _TARGET else self._context.epic_branch(name)

    def _hear(self, event: Event) -> None:
        if event.type in _MOVES:
            self.look()
        elif event.type in _MET:
            with_epic = event.data.get("with_epic") or ""
            self._count(event.data.get("files") or (), [name for name in (event.epic, with_epic) if name])
            self._heed()

    def look(self) -> None:
        """Something moved: forecast soon, once for all that moves until then."""
        if self._trials is None or self._context.stop.is_set():
            return
        self._due = True
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name="forecast")

    async def _finish(self) -> None:
        self._hurry.set()
        if self._task is not None and not self._context.stop.is_set():
            await asyncio.wait({self._task})
        self._hurry.clear()

    async def _work(self) -> None:
        try:
            while self._due:
                if not self._hurry.is_set():
                    await self._give_way()
                self._due = False
                began = monotonic()
                await self._forecast()
                if self._due:
                    await self._pause(min(_REST * (monotonic() - began), _LONGEST_REST))
        except DiskFullError as error:
            self._fail(error)
        except (GitError, RepositoryError, OSError) as error:
            self._warn(error)
        except YokeError as error:
            self._fail(error)
        finally:
            self._task = None

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            reason = f"conflicts cannot be foreseen: {error}"
            self._context.recorder.emit("warning.raised", reason=reason, hint="yoke doctor")

    async def _tips(self) -> dict[str, str]:
        """Where the epics in flight are, in plan order, and the target."""
        repo, plan = self._context.repo, self._context.plan
        target = await repo.branch(self._context.target)
        if target is None:
            return {}
        prefix = f"refs/heads/{self._context.config.project.branch_prefix}"
        found = {name.removeprefix(prefix): oid for name, oid in (await repo.refs(prefix)).items()}
        flying = [epic for epic in found if epic in plan.epic and epic not in self._ledger.landed]
        flying.sort(key=lambda epic: plan.epic[epic].position)
        return {**{epic: found[epic] for epic in flying}, _TARGET: target}

    async def _forecast(self) -> None:
        """Merge what moved since the last time with everything else."""
        assert self._trials is not None
        tips, before = await self._tips(), self._open_now()
        if await self._trials.freshen():
            self._views.clear()
        moved = {name for name, tip in tips.items() if self._seen.get(name) != tip}
        if _TARGET in moved and not await self._is_noted(tips[_TARGET]):
            # What has just landed counts once its landing is noted; `look` comes then.
            moved.remove(_TARGET)
            tips[_TARGET] = self._seen.get(_TARGET, "")
        pairs = [
            pair for pair in combinations(tips, 2) if moved.intersection(pair) and all(map(tips.get, pair))
        ]
        views = await self._with_history(tips)
        merges = [(views[ours], views[theirs]) for ours, theirs in pairs]
        found = await self._trials.merge(merges, views.get(_TARGET, ""))
        for pair in [pair for pair in self._open if pair[0] not in tips or pair[1] not in tips]:
            self._clear(pair)
        for pair, trial in zip(pairs, found, strict=True):
            contained = trial and not trial.clean and views != tips and await self._is_contained(pair, tips)
            await self._note(pair, Trial() if contained else trial, views)
        self._seen = tips
        if self._open_now() != before:
            self._heed()
            self._changed()

    async def _is_contained(self, pair: tuple[str, str], tips: dict[str, str]) -> bool:
        """Whether one has taken in the other already, so that only histories of squashes cross."""
        ours, theirs = tips[pair[0]], tips[pair[1]]
        repo = self._context.repo
        return await repo.is_ancestor(ours, theirs) or await repo.is_ancestor(theirs, ours)

    async def _is_noted(self, target: str) -> bool:
        """Whether the ledger knows everything that has landed."""
        if target in self._ledger.landing_commits.values():
            return True
        form = "--format=%(trailers:key=Yoke-Epic,valueonly)"
        epic = (
            await self._context.repo.git("log", "-1", form, "--end-of-options", target, "--")
        ).text.strip()
        return epic not in self._context.plan.epic or epic in self._ledger.landed

    def _open_now(self) -> list[tuple[tuple[str, str], tuple[str, ...]]]:
        return [(pair, forecast.files) for pair, forecast in self._open.items()]

    async def _with_history(self, tips: dict[str, str]) -> dict[str, str]:
        """Commits with the files of the tips, from which git finds what squashed landings contain."""
        assert self._trials is not None
        landed = await squashed(self._context.repo, self._context.plan.epic)
        if not landed:
            return tips
        if landed != self._landed:
            self._landed, self._views = landed, {}
        for tip in filter(None, tips.values()):
            if tip not in self._views:
                missing = await self._missing(tip)
                histories = [history for landing, history in landed if landing not in missing]
                self._views[tip] = await self._trials.with_parents(tip, histories)
        self._views = {tip: view for tip, view in self._views.items() if tip in tips.values()}
        return {name: self._views.get(tip, tip) for name, tip in tips.items()}

    async def _missing(self, tip: str) -> set[str]:
        """The squashed landings that a commit does not contain, among other commits."""
        lines = "".join(f"{landing}\n" for landing, _ in self._landed)
        out = await self._context.repo.git("rev-list", "--stdin", stdin=f"{lines}^{tip}\n".encode())
        return set(out.text.split())

    async def _note(self, pair: tuple[str, str], trial: Trial | None, views: dict[str, str]) -> None:
        """Record what is new about a pair."""
        if trial is None:
            return
        if trial.clean:
            self._clear(pair)
            return
        tasks = await self._tasks(pair, trial.files, views)
        fresh = Forecast(*pair, self._context.target, trial.files, trial.more, tasks)
        known = self._open.get(pair)
        if known == fresh:
            return
        new = [path for path in fresh.files if known is None or path not in known.files]
        self._open[pair] = fresh
        self._context.recorder.emit(
            "forecast.conflicted",
            epic=fresh.epic,
            with_epic=fresh.with_epic,
            target=fresh.target,
            files=list(fresh.files),
            more=fresh.more,
            new=new,
            tasks={epic: list(ids) for epic, ids in tasks.items()},
        )
        if fresh.with_epic:
            self._count(new, pair)

    def _clear(self, pair: tuple[str, str]) -> None:
        gone = self._open.pop(pair, None)
        if gone is not None:
            self._context.recorder.emit(
                "forecast.cleared",
                epic=gone.epic,
                with_epic=gone.with_epic,
                target=gone.target,
                files=list(gone.files),
            )

    async def _tasks(
        self, pair: tuple[str, str], files: Sequence[str], views: dict[str, str]
    ) -> dict[str, tuple[str, ...]]:
        """The tasks on each side whose commits changed these files, by epic."""
        assert self._trials is not None
        plan, found = self._context.plan, dict[str, list[str]]()
        for name, other in (pair, pair[::-1]):
            carried = await self._trials.authors(views[name], views[other], files, "Yoke-Task")
            for task in (plan.tasks[id_] for id_ in carried if id_ in plan.tasks):
                if name == task.epic or (name == _TARGET and other != task.epic):
                    found.setdefault(task.epic, []).append(task.id)
        return {
            epic: tuple(sorted(ids, key=lambda id_: plan.tasks[id_].position)) for epic, ids in found.items()
        }

    def _count(self, files: Iterable[str], epics: Iterable[str]) -> None:
        for path in files:
            known = self._history.get(path, ConflictHistory(path, 0, frozenset()))
            self._history[path] = replace(
                known, conflicts=known.conflicts + 1, epics=known.epics.union(epics)
            )

    def _heed(self) -> None:
        often = [each for each in self._history.values() if each.conflicts >= OFTEN]
        often.sort(key=lambda each: (-each.conflicts, each.path))
        self._scheduler.heed(wishes(self._open.values(), often[:_MOST_HOT]))
