"""Conflicts: an epic that cannot be merged with its target, or take in what its next task builds on.

Plugins decide what is done, and here it is done. A resolution is one merge commit on top of the epic's
branch, or of what a task is to start from. It has passed the checks of both sides before a branch moves to
it, and then lands like any other work; what does not pass is kept, and changes nothing.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from yokeflow.engine.conflicts.agent import let_agent_work
from yokeflow.engine.conflicts.bench import UnresolvedError, bench
from yokeflow.engine.conflicts.facts import describe
from yokeflow.engine.conflicts.prompt import build_prompt, for_a_person, other_side, title
from yokeflow.engine.report import LandingResult
from yokeflow.engine.secrets.redact import redact
from yokeflow.engine.sessions.checks import Subject
from yokeflow.errors import DiskFullError, YokeError
from yokeflow.git.save import is_folder
from yokeflow.git.squashed import with_history
from yokeflow.model import Attempt, ConflictDecision, LandingStatus, Strategy

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from yokeflow.engine.conflicts.bench import Bench
    from yokeflow.engine.context import Context
    from yokeflow.engine.lanes.lanes import HandOverConflictError, Lane, Sides
    from yokeflow.model import Conflict, Task

#: What `--ours` and `--theirs` mean to a merge into the epic's branch: the target is the other side there.
_SIDES = {"ours": "theirs", "theirs": "ours"}


@dataclass(frozen=True, slots=True)
class Resolved:
    """A branch has a new tip, which has all of the other side too and passed the checks of both."""

    tip: str
    #: `agent`, or whose lines were taken: `ours` (the target's) or `theirs` (the epic's).
    how: str


@dataclass(frozen=True, slots=True)
class Left:
    """Nothing has changed."""

    #: For a person.
    reason: str
    #: To be tried again when the target has moved; nobody is asked yet.
    later: bool = False


@dataclass(frozen=True, slots=True)
class _Case:
    """One conflict on its way."""

    conflict: Conflict
    #: What is merged into the epic: the target, with the history of what was squashed there.
    theirs: str
    #: Names whoever resolves it in trailers, transcripts and accounts.
    session: str
    how: str


class Conflicts:
    """Deals with the conflicts of one run."""

    def __init__(self, context: Context) -> None:
        self._context = context
        #: How often agents tried in vain, by epic and tip of its branch.
        self._tries = Counter[tuple[str, str]]()
        #: One agent at a time, beside the sessions.
        self._turn = asyncio.Lock()
        #: With which commit of the target each epic was merged last.
        self._merged: dict[str, str] = {}

    async def resolve(
        self, result: LandingResult, tasks: Collection[str], take: str = ""
    ) -> Resolved | Left | None:
        """Deal with the conflict that ended a landing; None when the run is stopped.

        `tasks` are the epic's completed tasks. `take` is what a person wants for this one landing: the lines
        of the target (`ours`) or of the epic (`theirs`). Nobody lands, and no intervention is opened, here.
        """
        tries = self._tries[result.epic, result.tip]
        try:
            conflict = await describe(self._context, result, tasks, tries)
            if self._merged.get(result.epic) == result.old:
                # Another try would only end the same, and be paid for.
                why = [f"it was merged with {result.old[:12]} before, and git does not take that"]
                return Left(await self._question(conflict, why))
            found = await self._resolve(conflict, take=take)
            if isinstance(found, Resolved):
                self._merged[result.epic] = result.old
        except DiskFullError:
            raise
        except YokeError as error:
            found = Left(f"{result.reason}\n{error.message}")
        return None if self._context.stop.is_set() and not isinstance(found, Resolved) else found

    async def hand_over(
        self, task: Task, lane: Lane, error: HandOverConflictError, between: Sides, done: Collection[str]
    ) -> Resolved | Left | None:
        """Deal with what kept a task from starting in its lane; None when the run is stopped.

        `done` are the completed tasks of its epic. The lane's branch moves to the resolution.
        """
        context, (ours, theirs) = self._context, between.merged
        result = LandingResult(
            task.epic, LandingStatus.CONFLICT, files=error.files, output=error.output, old=theirs, tip=ours
        )
        try:
            found = await describe(context, result, done, self._tries[task.epic, ours])
            other = error.target or context.epic_branch(context.plan.tasks[error.theirs].epic)
            conflict = replace(found, tasks=(*found.tasks, task), target=other, taken=error.theirs)
            settled = await self._resolve(conflict, lane=lane)
        except DiskFullError:
            raise
        except YokeError as wrong:
            settled = Left(f"{error.message}\n{wrong.message}")
        return None if context.stop.is_set() and not isinstance(settled, Resolved) else settled

    async def _resolve(
        self, conflict: Conflict, *, take: str = "", lane: Lane | None = None
    ) -> Resolved | Left | None:
        try:
            if take:
                return await self._take(conflict, take)
            decision = await self._decide(conflict)
            if decision.strategy == "agent":
                async with self._turn:
                    stopped = self._context.stop.is_set()
                    return None if stopped else await self._ask(conflict, decision, lane)
        except DiskFullError:
            raise
        except YokeError as error:
            why = [f"{_who(take)} did not resolve it: {redact(error.message)}", redact(error.hint)]
            return Left(await self._question(conflict, why))
        later = decision.strategy == "retry_later"
        return Left(await self._question(conflict, [decision.reason]), later=later)

    async def _decide(self, conflict: Conflict) -> ConflictDecision:
        about = replace(self._attempt(conflict, str(uuid4())), agent=self._agent(ConflictDecision("agent")))
        decision = await self._context.decide.conflict(conflict, about, self._context.recorder)
        if decision.strategy == "agent" and conflict.tries >= (most := self._most):
            tried = f"an agent has tried it {conflict.tries} times" if most else "landing.conflict_tries is 0"
            return ConflictDecision("manual", reason=tried)
        return decision

    @property
    def _most(self) -> int:
        return self._context.config.landing.conflict_tries

    async def _question(self, conflict: Conflict, why: Sequence[str]) -> str:
        """Why a person is asked, who finds the epic's branch in its worktree where it has one of its own."""
        context, epic = self._context, conflict.epic.id
        landed = conflict.target == context.target
        if context.config.parallel.strategy is not Strategy.BY_EPIC:
            return for_a_person(conflict, why, None, landed=landed)
        path = context.worktrees.path(epic)
        with suppress(YokeError):
            # One that is there may hold what a person has begun.
            if not is_folder(path):
                await context.worktrees.open(epic, conflict.branch, conflict.tip)
        return for_a_person(conflict, why, path if is_folder(path) else None, landed=landed)

    async def _take(self, conflict: Conflict, take: str) -> Resolved | None:
        """Take one side's lines wherever both changed the same."""
        case = await self._case(conflict, take)
        async with bench(self._context, conflict.epic.id, conflict.tip, case.theirs) as place:
            await place.begin(f"--strategy-option={_SIDES[take]}")
            if place.left:
                listed = ", ".join(place.left)
                raise UnresolvedError(
                    f"one side removed, renamed or replaced {listed}: that is no choice of lines"
                )
            return await self._conclude(case, place)

    async def _ask(
        self, conflict: Conflict, decision: ConflictDecision, lane: Lane | None
    ) -> Resolved | None:
        """Let an agent make one of both sides."""
        context, case = self._context, await self._case(conflict, "agent")
        attempt = self._attempt(conflict, case.session, self._agent(decision))
        choice = None if decision.model else context.decide.model(attempt, context.decide.budget(attempt))
        attempt = replace(
            attempt,
            model=decision.model or (choice.model if choice else ""),
            tier=choice.tier if choice else "",
        )
        self._tries[conflict.epic.id, conflict.tip] += 1
        async with bench(context, conflict.epic.id, conflict.tip, case.theirs, lane) as place:
            await place.begin()
            prompt = build_prompt(conflict, self._commands(conflict))
            await let_agent_work(context, attempt, place.path, conflict.tip, prompt)
            return None if context.stop.is_set() else await self._conclude(case, place)

    async def _case(self, conflict: Conflict, how: str) -> _Case:
        context = self._context
        below = context.order.builds_on(conflict.epic.id)
        theirs = await with_history(context.repo, conflict.target_commit, below)
        return _Case(conflict, theirs, str(uuid4()), how)

    def _agent(self, decision: ConflictDecision) -> str:
        """Whoever is to resolve it."""
        context = self._context
        wanted = decision.agent or context.config.landing.conflict_agent or context.only_agent
        return context.config.agent_of(wanted)

    def _attempt(self, conflict: Conflict, session: str, agent: str = "") -> Attempt:
        """What the agent is about: no try at the task that pays for it."""
        task = replace(conflict.tasks[-1], title=title(conflict), prompt="", run="", verify=())
        number, run = conflict.tries + 1, self._context.recorder.run
        return Attempt(task, number, session, run, agent=agent, question=True)

    async def _conclude(self, case: _Case, place: Bench) -> Resolved | None:
        """Commit, check, and only then move the epic's branch.

        Raises UnresolvedError for what does not count; it is kept, and so is what nobody came to accept.
        """
        context, conflict = self._context, case.conflict
        commit = await place.finish(_message(case))
        try:
            strays = await place.strays(commit, conflict.files)
            await place.refuse_dropped(commit, other_side(conflict, context.target))
            await place.put(commit)
            await self._check(case, place, commit)
            if not context.stop.is_set():
                await place.accept(commit)
        finally:
            if not place.accepted:
                await context.repo.keep(f"conflict/{conflict.epic.id}/{case.session}", commit)
        if not place.accepted:
            return None
        self._tell(case, commit, strays)
        return Resolved(commit, case.how)

    def _tell(self, case: _Case, commit: str, strays: Sequence[str]) -> None:
        recorder, conflict = self._context.recorder, case.conflict
        epic = conflict.epic.id
        session = case.session if case.how == "agent" else ""
        task = {"task": conflict.tasks[-1].id, "taken": conflict.taken} if conflict.taken else {}
        recorder.emit(
            "handover.resolved" if conflict.taken else "landing.resolved",
            epic=epic,
            session=session,
            how=case.how,
            files=list(conflict.files),
            with_commit=conflict.target_commit,
            old_commit=conflict.tip,
            commit=commit,
            **task,
        )
        if strays:
            listed = ", ".join(strays)
            reason = f"resolving the conflict of {epic} also changed {listed}, where there was none"
            recorder.emit("warning.raised", epic=epic, reason=reason, hint=f"git show {commit[:12]}")

    def _commands(self, conflict: Conflict) -> list[str]:
        """The landing checks, before a task those of tasks, and what the tasks of both sides promised."""
        config = self._context.config
        checks = config.checks.task if conflict.taken else config.landing_checks
        # What the task that is to start promises is not there yet.
        done = conflict.tasks[:-1] if conflict.taken else conflict.tasks
        promised = [command for task in (*done, *conflict.other_tasks) for command in task.verify]
        return list(dict.fromkeys((*checks, *promised)))

    async def _check(self, case: _Case, place: Bench, commit: str) -> None:
        context = self._context
        verdict = await context.checker.run(
            self._commands(case.conflict),
            await context.repo.tree_of(commit),
            place.path,
            context.project.session_folder(case.session),
            Subject("task", case.conflict.epic.id, "", case.session),
            case.session,
            restore=lambda: place.put(commit),
            stop=context.stop,
        )
        if not verdict.passed:
            raise UnresolvedError(f"{verdict.reason}\n{verdict.output[-1000:]}".strip())


def _who(take: str) -> str:
    return f"taking one side's lines (--{take})" if take else "an agent"


def _message(case: _Case) -> str:
    conflict = case.conflict
    listed = "\n".join(f"- {file}" for file in conflict.files)
    by_agent, epic = case.how == "agent", conflict.epic.id
    task = conflict.tasks[-1].id
    trailers = {
        **({"Yoke-Taken": conflict.taken} if conflict.taken else {"Yoke-Task": task}),
        **({"Yoke-Session": case.session} if by_agent else {"Yoke-Conflicts": case.how}),
        "Yoke-Resolves": conflict.target_commit,
    }
    lines = "\n".join(f"{name}: {value}" for name, value in trailers.items())
    merge, take_in = f"Merge {conflict.target} into {epic}", f"Take in {conflict.taken} for {task}"
    what = take_in if conflict.taken else merge
    return f"{what}\n\nConflicts resolved in\n{listed}\n\n{lines}\n"
