"""Landings that were taken back on the target, or brought back there: what git says, told as events.

`yoke undo` makes a commit and then records what it means in the same way in which a later command finds out
about a commit that was made and not recorded: a crash in between loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from yokeflow.engine.lanes.lanes import remove_lanes
from yokeflow.engine.recovery.unlanded import mend_found
from yokeflow.engine.sessions.checks import proof_of
from yokeflow.git.evidence import EVIDENCE, attach, outcome
from yokeflow.git.merge import commit_merge, merge_trees
from yokeflow.git.reverts import Reverts, find_reverts, find_reverts_after, inverse, positions
from yokeflow.model import Status
from yokeflow.store import evidence, items, operations, rebuild
from yokeflow.store.drain import drain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from uuid import UUID

    from yokeflow.engine.context import Context
    from yokeflow.engine.recorder import Recorder
    from yokeflow.events import Event
    from yokeflow.git.reverts import Revert
    from yokeflow.model import Plan
    from yokeflow.store.connection import Store
    from yokeflow.store.items import ItemState
    from yokeflow.store.operations import Landed, Operation

#: Who tells what nobody told when it happened.
FOUND_IN_GIT = "git"
#: Events that tell that a landing was undone or brought back.
_TURNED = frozenset({"landing.undone", "landing.landed"})


@dataclass(frozen=True, slots=True)
class View:
    """The target as the store and git see it at one time."""

    target: str
    #: Where the target is.
    tip: str
    #: Its landings, oldest first.
    landings: Sequence[Landed]
    operations: Sequence[Operation]
    states: Mapping[str, ItemState]
    #: Every commit of the target, 0 for the newest.
    places: Mapping[str, int]
    reverts: Reverts

    def stands(self, landing: Landed) -> bool:
        """Its work is on the target, and nobody took it back."""
        return landing.standing and landing.commit in self.places and not self.reverts.of(landing.commit)

    def standing(self) -> list[Landed]:
        """The landings that nobody took back, the newest first."""
        # Those that came by one commit stay in this order.
        found = [landing for landing in reversed(self.landings) if self.stands(landing)]
        return sorted(found, key=lambda landing: self.places[landing.commit])

    def gone(self) -> list[Landed]:
        """The landings that were undone, are still gone, and whose tasks nobody did again since."""
        return [
            landing
            for landing in self.landings
            if not landing.standing
            and landing.latest
            and landing.undone_by in self.places
            and not any(self._done(task) for task in landing.undone_tasks or landing.tasks)
        ]

    def turned(self) -> list[tuple[str, str]]:
        """Epics whose last landing was undone or brought back, as far as is known, with the commit."""
        found = []
        for landing in self.landings:
            commit = landing.commit if landing.brings_back else landing.undone_by
            if landing.latest and landing.standing == bool(landing.brings_back) and commit in self.places:
                found.append((landing.epic, commit))
        return found

    def _done(self, task: str) -> bool:
        state = self.states.get(task)
        return state is not None and state.status is Status.COMPLETED


async def look(context: Context, store: Store, project_id: UUID) -> View:
    """See what landed on the target and what was taken back there."""
    repo, target = context.repo, context.target
    async with store.begin() as connection:
        landings = await operations.landed(connection, project_id)
        done = await operations.operations(connection, project_id)
        states = await items.load_states(connection, project_id)
    landings = [landing for landing in landings if landing.target == target]
    tip = await repo.branch(target) or ""
    if not landings:
        return View(target, tip, (), done, states, {}, Reverts(()))
    places = await positions(repo, tip)
    reverts = await find_reverts_after(repo, tip, [landing.old_commit for landing in landings], places)
    return View(target, tip, landings, done, states, places, reverts)


async def any_new(context: Context, store: Store, project_id: UUID) -> bool:
    """Whether anything may have been taken back on the target since the last run began."""
    repo, target = context.repo, context.target
    async with store.begin() as connection:
        since = await rebuild.last_target_commit(connection, project_id, target)
    tip = await repo.branch(target)
    # Without a run, nothing has landed.
    if tip is None or since is None or tip == since:
        return False
    there = await repo.resolve(since) and await repo.is_ancestor(since, tip)
    return bool(list(await find_reverts(repo, tip, since if there else "")))


async def record_found(context: Context, store: Store, project_id: UUID) -> None:
    """Record what was undone, or brought back, on the target without anybody telling.

    What a person took back by `git revert` is for the run to ask about. A crash may have kept the epics'
    branches from being mended, also where the second copy has told the rest; so that comes first.
    """
    if not await any_new(context, store, project_id):
        return
    view = await look(context, store, project_id)
    events = await unrecorded(context, view, by=FOUND_IN_GIT)
    new = [(event.epic, event.data["commit"]) for event in events if event.type in _TURNED]
    for epic, commit in dict.fromkeys([*view.turned(), *new]):
        await mend_found(context, epic, commit)
        await _prove(context, store, project_id, commit)
    if events:
        context.recorder.record(*events)
        await drain(store, project_id, context.project.journal, must_finish=True)


async def _prove(context: Context, store: Store, project_id: UUID, commit: str) -> None:
    """Let git keep what proved an undo, unless it does or nothing was tested."""
    repo = context.repo
    tree, said = await repo.tree_of(commit), await outcome(repo, commit)
    if said not in {"passed", "flaky"} or await repo.refs(f"{EVIDENCE}{commit}"):
        return
    async with store.begin() as connection:
        passed = await evidence.passed_on(connection, project_id, tree)
    proofs = [
        proof_of(one.command, one.environment, flaky=one.flaky, seconds=one.seconds)
        for one in passed
        if one.command in context.config.landing_checks
    ]
    await attach(repo, commit, tree, proofs)


async def unrecorded(context: Context, view: View, *, by: str) -> list[Event]:
    """What the commits on the target mean that the store does not know yet."""
    events: list[Event] = []
    for landing in view.landings:
        if landing.standing and landing.commit in view.places:
            revert = view.reverts.of(landing.commit)
            if revert is not None and revert.ours:
                events += _as(revert, _undone(context, view, landing, revert.commit, by))
    for landing in view.gone():
        if (revert := view.reverts.of(landing.undone_by)) is not None:
            events += _as(revert, await _brought_back(context, landing, revert.commit, by))
    return events


def _as(revert: Revert, events: Iterable[Event]) -> Iterator[Event]:
    """The events, as those of the undo that made the commit, whoever tells them."""
    return (replace(event, run=revert.operation) for event in events)


def _undone(context: Context, view: View, landing: Landed, commit: str, by: str) -> Iterator[Event]:
    """A landing is undone, and its tasks are to be done again."""
    event, epic = context.recorder.event, landing.epic
    tasks = {task: view.states[task].commit or landing.commit for task in opened(view, context.plan, landing)}
    reason = f"its landing {landing.commit[:12]} was undone"
    yield event(
        "landing.undone",
        epic=epic,
        commit=commit,
        landing=landing.commit,
        target=context.target,
        by=by,
        reason="",
        tasks=tasks,
    )
    for task in tasks:
        yield event("task.reopened", epic=epic, task=task, by=by, reason=reason)


def opened(view: View, plan: Plan, landing: Landed) -> list[str]:
    """The tasks that have to be done again without a landing: those that no other one has."""
    planned = plan.epic[landing.epic].tasks if landing.epic in plan.epic else ()
    names = landing.tasks or [task.id for task in planned]
    others = [each for each in view.standing() if each.epic == landing.epic and each != landing]
    elsewhere = {task for other in others for task in other.tasks}
    return [
        name
        for name in names
        if name not in elsewhere and name in view.states and view.states[name].status is Status.COMPLETED
    ]


async def _brought_back(context: Context, landing: Landed, commit: str, by: str) -> list[Event]:
    """A landing is there again, by another commit, and so are its tasks."""
    repo, epic = context.repo, landing.epic
    recorder: Recorder = context.recorder
    tasks = landing.undone_tasks or dict.fromkeys(landing.tasks, landing.commit)
    done = [
        recorder.event("task.completed", epic=epic, task=task, commit=made, seconds=0.0)
        for task, made in tasks.items()
    ]
    landed = recorder.event(
        "landing.landed",
        epic=epic,
        commit=commit,
        tree=await repo.tree_of(commit),
        old_commit=await repo.resolve(f"{commit}^1"),
        epic_commit=landing.epic_commit,
        target=context.target,
        strategy=landing.strategy,
        seconds=0.0,
        tasks=list(landing.tasks),
        brings_back=landing.undone_by,
        by=by,
    )
    return [*done, recorder.event("landing.queued", epic=epic), landed]


async def offer_again(context: Context, epic: str, revert: str) -> None:
    """Give an epic that a person reverted a branch that can land again.

    Git has seen its commits, so merging them once more would bring nothing: the branch turns the revert
    around.
    """
    repo, branch = context.repo, context.epic_branch(epic)
    await remove_lanes(context, epic)
    again = await inverse(repo, revert, f"Bring back {epic}\n\nThis turns {revert} around.\n")
    tip = await repo.branch(branch)
    if tip is not None:
        merged = await merge_trees(repo, tip, again)
        if merged.tree is None:
            # Its own work that has not landed says something else: landing it tells.
            return
        again = await commit_merge(repo, tip, again, f"Bring back {epic}\n", tree=merged.tree)
    await repo.update_ref(f"refs/heads/{branch}", again, tip, f"yoke: {epic} can land again")
