"""`yoke undo`: take landings back by a new commit, tested like any landing, and open their tasks again.

The target is never rewritten. An undo is a landing of its own: the tree without the work is built beside
every checkout, the landing checks run on exactly that tree, and the target moves to exactly that commit.
Undoing an undo is the same with the undo's commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from yokeflow.engine.lock import hold_project
from yokeflow.engine.opening import open_context
from yokeflow.engine.recorder import Recorder
from yokeflow.engine.recovery.recovery import find_remains, recover, tidy_up
from yokeflow.engine.recovery.taken_back import look, record_found, unrecorded
from yokeflow.engine.recovery.unlanded import brought_up_to_date, mend
from yokeflow.engine.sessions.checks import Subject
from yokeflow.engine.undo.choice import Undoing, choose
from yokeflow.errors import YokeError
from yokeflow.git.commits import commit_tree
from yokeflow.git.evidence import attach
from yokeflow.git.merge import advance
from yokeflow.git.reverts import take_back
from yokeflow.store.drain import drain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from yokeflow.engine.context import Context
    from yokeflow.engine.project import Project
    from yokeflow.engine.recovery.taken_back import View
    from yokeflow.events import Event
    from yokeflow.git.evidence import Proof
    from yokeflow.model import Plan
    from yokeflow.store.connection import Store

#: How often it starts anew because somebody moves the target meanwhile.
_MOST_RACES = 20


@dataclass(frozen=True, slots=True)
class Undone:
    """What an undo did."""

    #: By which it is undone itself.
    operation: str
    undoing: Undoing
    #: The commit on the target.
    commit: str
    #: Tasks that are to be done again, or are done again.
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Built:
    """The commit that would undo it, and what it leads to."""

    commit: str
    tree: str
    #: Where the target is, and where branches of the epics with unlanded work are and go.
    old: str
    branches: Mapping[str, tuple[str, str]]


class Undo:
    """One undo. It holds the project, so that no run goes on meanwhile."""

    def __init__(
        self, project: Project, plan: Plan, *, by: str, listen: Sequence[Callable[[Event], None]] = ()
    ) -> None:
        self._project = project
        self._plan = plan
        self._by = by
        self._recorder = Recorder(str(uuid4()), project.journal, listen)

    async def execute(
        self, wanted: str, agree: Callable[[Undoing], bool], *, with_dependents: bool = False
    ) -> Undone | None:
        """Undo what `wanted` means (see `choose`), if `agree` says yes to it; None when it does not.

        Whatever goes wrong leaves the target as it was. Raises ProjectBusyError while a run goes on,
        UsageError when there is nothing to undo, YokeError when other work or a check is in the way.
        """
        project = self._project
        with hold_project(project.lock_file, ""):
            async with project.repo.reading(), project.store() as (store, project_id):
                context = await open_context(project, self._plan, self._recorder, store, project_id)
                await recover(context, await find_remains(store, project_id))
                await drain(store, project_id, project.journal, must_finish=True)
                await record_found(context, store, project_id)
                return await self._execute(context, store, project_id, wanted, agree, with_dependents)

    async def _execute(
        self,
        context: Context,
        store: Store,
        project_id: UUID,
        wanted: str,
        agree: Callable[[Undoing], bool],
        with_dependents: bool,  # noqa: FBT001 - handed on
    ) -> Undone | None:
        agreed: Undoing | None = None
        for _ in range(_MOST_RACES):
            view = await look(context, store, project_id)
            undoing = choose(view, self._plan, context.order, wanted, with_dependents=with_dependents)
            if agreed is None or undoing.commits != agreed.commits:
                if not agree(undoing):
                    return None
                agreed = undoing
            if await self._try(context, view, undoing):
                # What is on the target is told before anything else can fail or be interrupted.
                done = await self._record(context, store, project_id, undoing)
                await tidy_up(context, ())
                return done
        raise YokeError(f"{context.target} moved {_MOST_RACES} times meanwhile", hint="try again")

    async def _try(self, context: Context, view: View, undoing: Undoing) -> bool:
        """Build, test and move; False when the target moved meanwhile.

        `record_found` repeats what a crash keeps it, or what follows, from doing once the target has moved.
        """
        built, moved = await self._build(context, view, undoing), None
        try:
            proofs = await self._test(context, undoing, built)
            if any(proof.outcome == "flaky" for proof in proofs):
                # The same tree, in a commit that does not call flaky checks passed.
                built = await self._build(context, view, undoing, "flaky")
            moved = await advance(context.repo, context.target, built.commit, built.old)
        finally:
            if moved is None or not moved.moved:
                await tidy_up(context, ())
        if moved.reason == "checkout":
            what = ", ".join(moved.files) or moved.detail
            raise YokeError(
                f"the checkout of {context.target} is in the way: {what}; nothing was changed",
                hint="commit or stash what is there and try again",
            )
        if moved.moved:
            await mend(context, undoing.epics, built.branches)
            await attach(context.repo, built.commit, built.tree, proofs)
        return moved.moved

    async def _build(self, context: Context, view: View, undoing: Undoing, outcome: str = "passed") -> _Built:
        repo, old = context.repo, view.tip
        taken = await take_back(repo, old, undoing.commits)
        if taken.tree is None:
            raise await _in_the_way(context, view, undoing, taken.commit, taken.conflicts)
        message = self._message(context, undoing, taken.tree, outcome)
        commit = await commit_tree(repo, taken.tree, [old], message.encode())
        return _Built(commit, taken.tree, old, await brought_up_to_date(context, undoing.epics, commit))

    def _message(self, context: Context, undoing: Undoing, tree: str, outcome: str) -> str:
        one = undoing.landings[0]
        about = f"{one.epic}: {one.title}" if len(undoing.epics) == 1 else f"{len(undoing.epics)} landings"
        verb = "Bring back" if undoing.back else "Undo"
        body = "\n".join(f"- {each.epic}: {each.title} ({each.commit[:12]})" for each in undoing.landings)
        proof = outcome if context.config.landing_checks else "none"
        trailers = [
            *(f"Yoke-Undoes: {commit}" for commit in undoing.commits),
            *(f"Yoke-Epic: {epic}" for epic in undoing.epics),
            f"Yoke-Run: {self._recorder.run}",
            f"Yoke-Checks: {tree}={proof}",
        ]
        return f"{verb} {about}\n\n{body}\n\n" + "\n".join(trailers) + "\n"

    async def _test(self, context: Context, undoing: Undoing, built: _Built) -> tuple[Proof, ...]:
        """Run the landing checks on exactly the tree that comes onto the target."""
        commands = context.config.landing_checks
        if not commands:
            return ()
        verdict = await context.checker.run(
            commands,
            built.tree,
            await context.worktrees.scratch.open(built.commit),
            context.project.session_folder(f"undo-{self._recorder.run}"),
            Subject("landing", undoing.landings[0].epic),
            self._recorder.run,
            restore=lambda: context.worktrees.scratch.open(built.commit),
        )
        if not verdict.passed:
            raise YokeError(
                f"without it, {verdict.reason}; nothing was changed",
                hint="what lands is tested, and so is what is left; `git revert` asks nobody",
            )
        return verdict.proofs

    async def _record(self, context: Context, store: Store, project_id: UUID, undoing: Undoing) -> Undone:
        view = await look(context, store, project_id)
        events = await unrecorded(context, view, by=self._by)
        self._recorder.record(*events)
        await drain(store, project_id, self._project.journal)
        kind = "task.completed" if undoing.back else "task.reopened"
        commit = next(revert for first in undoing.commits if (revert := view.reverts.of(first))).commit
        tasks = tuple(event.task for event in events if event.type == kind)
        return Undone(self._recorder.run, undoing, commit, tasks)


async def _in_the_way(
    context: Context, view: View, undoing: Undoing, commit: str, conflicts: Sequence[str]
) -> YokeError:
    """Why a commit cannot be taken back, with the landings that changed the same files later."""
    later = []
    for landing in view.standing():
        if view.places[landing.commit] >= view.places[commit] or landing in undoing.landings:
            continue
        if landing.old_commit and landing.old_commit != landing.commit:
            changed = await context.repo.changed_files(landing.old_commit, landing.commit)
            later += [landing.epic] if set(changed) & set(conflicts) else []
    listed = " and ".join(dict.fromkeys(later))
    who = f" of {listed}" if listed else ""
    what = f"later changes{who} are in the way in {', '.join(conflicts)}; nothing was changed"
    first = f"undo {listed} first" if listed else f"take {commit[:12]} back by hand with `git revert -m 1`"
    return YokeError(what, hint=first)
