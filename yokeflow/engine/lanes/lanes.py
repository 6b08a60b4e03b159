"""Lanes: the worktrees tasks run in, and the hand-over of work between them.

A lane of its own epic (`by_epic`) works directly on the epic's branch. Any other lane has a private branch
that starts at the epic's tip and is joined into it after each task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from yokeflow.engine.lanes.guard import guard_running
from yokeflow.engine.lanes.guests import name_checkout, refuse_in_lane
from yokeflow.errors import GitError, RepositoryError, YokeError
from yokeflow.git.advance import holders
from yokeflow.git.branches import remove_branch
from yokeflow.git.merge import commit_merge, merge_trees
from yokeflow.git.repo import KEEP, RefMovedError
from yokeflow.git.squashed import with_history
from yokeflow.model import LANE_PREFIX, Strategy, Strength

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from yokeflow.engine.context import Context
    from yokeflow.model import Plan, Resolution, Task


class HandOverConflictError(YokeError):
    """Work of two epics does not fit together."""

    def __init__(
        self,
        ours: str,
        theirs: str,
        files: tuple[str, ...],
        *,
        target: str = "",
        between: Sides | None = None,
        output: str = "",
    ) -> None:
        listed = ", ".join(files) or "unknown files"
        other = f"what is on {target}" if target else f"the work of {theirs}"
        mine = f"the work of {ours}" if target else f"that of {ours}"
        super().__init__(
            f"{other} conflicts with {mine} in {listed}",
            hint=f"merge {target or 'it'} by hand on the branch of {ours}, then `yoke retry`",
        )
        #: Task or lane whose work could not be taken in.
        self.theirs = theirs
        self.files = files
        #: The target, where it has that work already, among that of others; else empty.
        self.target = target
        #: What does not merge, where it comes before a task starts, and what git says about it.
        self.between = between
        self.output = output


@dataclass(frozen=True, slots=True)
class Sides:
    """Two commits that are to be one."""

    ours: str
    theirs: str
    #: The same with the history of what was squashed, by which git merges them.
    merged: tuple[str, str]

    @property
    def names(self) -> tuple[str, str]:
        return self.ours, self.theirs


@dataclass(frozen=True, slots=True)
class Lane:
    """Where the tasks of one lane run."""

    id: str
    epic: str
    branch: str
    epic_branch: str

    @property
    def direct(self) -> bool:
        """It works on the epic's branch itself."""
        return self.branch == self.epic_branch


@dataclass(frozen=True, slots=True)
class Place:
    """A worktree that is ready for a task."""

    lane: Lane
    path: Path
    #: Commit the task starts from.
    base: str


class Lanes:
    """Prepares lanes, joins their work into the epic, and takes them down."""

    def __init__(self, context: Context, resolution: Resolution) -> None:
        self._context = context
        self._resolution = resolution
        #: Lanes whose worktree this run has opened and left clean.
        self._open: dict[str, Lane] = {}
        #: Merges that git could not make and somebody did, by both sides.
        self._made: dict[tuple[str, str], str] = {}
        #: Lanes whose worktree is still to be opened.
        self._coming: set[str] = set()

    def expect(self, tasks: Iterable[Task]) -> None:
        """These tasks will want their lanes."""
        self._coming = {self.lane(task).id for task in tasks}
        self._context.worktrees.pool.expect(len(self._coming))

    def lane(self, task: Task) -> Lane:
        """The lane of a task."""
        context = self._context
        epic_branch = context.epic_branch(task.epic)
        if context.config.parallel.strategy is Strategy.BY_EPIC:
            return Lane(task.epic, task.epic, epic_branch, epic_branch)
        name = self._resolution.lanes[task.id]
        return Lane(name, task.epic, f"{LANE_PREFIX}{name}", epic_branch)

    async def prepare(self, task: Task, commit_of: Callable[[str], str | None]) -> Place:
        """A clean worktree that holds the work of every hard predecessor.

        `commit_of` gives the commit that has a completed task's work. Raises HandOverConflictError.
        """
        lane = self.lane(task)
        if lane.id not in self._open:
            await refuse_in_lane(self._context, lane.id, lane.branch, task.id)
        path, tip = await self._open_lane(lane)
        base = await self._hand_over(task, tip, commit_of)
        if base != tip:
            await self._context.worktrees.reset(path, lane.branch, base)
        return Place(lane, path, base)

    async def _open_lane(self, lane: Lane) -> tuple[Path, str]:
        worktrees = self._context.worktrees
        tip = await self._epic_tip(lane)
        path = worktrees.path(lane.id)
        if not lane.direct:
            await self._must_be_free(lane)
        if lane.id not in self._open:
            await self._begin(lane, path, tip)
        elif not lane.direct:
            await worktrees.reset(path, lane.branch, tip)
        return path, tip

    async def _begin(self, lane: Lane, path: Path, tip: str) -> None:
        """Open a lane for the first time in this run; what somebody left there is put away, and told."""
        repo, recorder = self._context.repo, self._context.recorder
        below = f"{KEEP}lane/{lane.id}/"
        before = await repo.refs(below)
        await self._context.worktrees.reset(path, lane.branch, tip)
        for ref in sorted(set(await repo.refs(below)) - set(before)):
            recorder.emit(
                "warning.raised",
                epic=lane.epic,
                reason=f"what somebody left in {name_checkout(self._context, path)} is kept as {ref}",
                hint=f"`git show {ref}` shows it, `git cherry-pick --no-commit {ref}` brings it back",
            )
        self._coming.discard(lane.id)
        self._context.worktrees.pool.expect(len(self._coming))
        recorder.emit(
            "worktree.created",
            epic=lane.epic,
            lane=lane.id,
            path=str(path),
            branch=lane.branch,
            base_commit=tip,
        )
        self._open[lane.id] = lane

    async def _must_be_free(self, lane: Lane) -> None:
        """Raises RepositoryError where somebody is on the epic's branch: it would move below them."""
        for checkout in await holders(self._context.repo, lane.epic_branch):
            raise RepositoryError(
                f"{lane.epic_branch} is to take in work and is checked out at {checkout.path}",
                hint="switch that checkout to another branch, then `yoke retry`",
            )

    async def _epic_tip(self, lane: Lane) -> str:
        """The tip of the epic's branch; a branch that does not exist starts at the target's tip."""
        repo = self._context.repo
        tip = await repo.branch(lane.epic_branch)
        if tip is not None:
            return tip
        # What an agent has put there and nobody tested must not become a part of another's work.
        await guard_running(self._context)
        target = await repo.branch(self._context.target)
        if target is None:
            raise YokeError(
                f"branch {self._context.target} is gone", hint="set project.target in .yokeflow.yaml"
            )
        if lane.direct:
            return target
        try:
            await repo.update_ref(f"refs/heads/{lane.epic_branch}", target, None, f"yoke: start {lane.epic}")
        except RefMovedError as error:
            if error.actual is None:
                raise
            # Another lane of the epic has just made it.
            return await self._epic_tip(lane)
        return target

    async def _hand_over(self, task: Task, base: str, commit_of: Callable[[str], str | None]) -> str:
        """Merge what hard predecessors in other epics did into the lane's start; gives the result."""
        taken = _taken(self._context.plan, task, commit_of)
        if not taken:
            return base
        repo = self._context.repo
        missing = await repo.independent([base, *taken])
        if base not in missing:
            # One of them was built on the lane's start: go on from there.
            base = missing.pop(0)
        for commit in missing:
            if commit != base:
                base = await self._take_in(task, base, commit, taken[commit])
        return base

    async def _take_in(self, task: Task, base: str, commit: str, predecessor: str) -> str:
        """Merge one predecessor's work."""
        repo, below = self._context.repo, self._context.order.builds_on(task.epic)
        if made := self._made.get((base, commit)):
            return made
        between = (await with_history(repo, base, below), await with_history(repo, commit, below))
        merged = await merge_trees(repo, *between)
        if merged.tree is None:
            raise HandOverConflictError(
                task.epic,
                predecessor,
                merged.conflicts,
                target=await self._target_with(commit, predecessor),
                between=Sides(base, commit, between),
                output=merged.output,
            )
        message = f"Take in {predecessor} for {task.id}\n\nYoke-Taken: {predecessor}\n"
        return await commit_merge(repo, *between, message, tree=merged.tree)

    async def _target_with(self, commit: str, predecessor: str) -> str:
        """The target where it has a predecessor's commit, maybe squashed; empty where it has not."""
        repo, target = self._context.repo, self._context.target
        tip = await repo.branch(target)
        if tip is None:
            return ""
        known = await with_history(repo, tip, {self._context.plan.tasks[predecessor].epic})
        return target if await repo.is_ancestor(commit, known) else ""

    def made(self, between: Sides, commit: str) -> None:
        """Somebody has merged what git could not: start from `commit` where both are needed."""
        self._made[between.names] = commit

    def has_made(self, between: Sides) -> bool:
        """Whether that was done meanwhile."""
        return between.names in self._made

    async def join(self, place: Place, head: str) -> str:
        """Bring a finished task's commits into its epic's branch; the commit that now holds them.

        Raises HandOverConflictError when another lane of the epic changed the same lines meanwhile,
        RepositoryError when somebody has checked the epic's branch out.
        """
        lane, repo = place.lane, self._context.repo
        if lane.direct:
            return head
        while True:
            tip = await self._epic_tip(lane)
            joined = head if await repo.is_ancestor(tip, head) else await self._merge_lane(lane, tip, head)
            await self._must_be_free(lane)
            if await self._move_epic(lane, joined, tip):
                if joined != head:
                    # What a collection took before a ref led to it, the same merge writes again.
                    await merge_trees(repo, tip, head)
                return joined

    async def _merge_lane(self, lane: Lane, tip: str, head: str) -> str:
        merged = await merge_trees(self._context.repo, tip, head)
        if merged.tree is None:
            raise HandOverConflictError(lane.epic, lane.id, merged.conflicts)
        message = f"Join {lane.id} into {lane.epic}\n"
        return await commit_merge(self._context.repo, tip, head, message, tree=merged.tree)

    async def _move_epic(self, lane: Lane, new: str, old: str) -> bool:
        """Whether the epic's branch is at `new`; else it moved, or git collected what nothing led to yet."""
        repo = self._context.repo
        try:
            await repo.update_ref(f"refs/heads/{lane.epic_branch}", new, old, f"yoke: join {lane.id}")
        except RefMovedError as error:
            if error.actual == old:
                # It is locked.
                raise
            return False
        except GitError:
            # It may have been killed once all was done.
            if await repo.branch(lane.epic_branch) != new and await repo.resolve(new):
                raise
        return await repo.branch(lane.epic_branch) == new

    async def take_up(self, place: Place, task: Task, commit: str) -> str:
        """Bring finished work that was kept aside back into a prepared lane, and join it.

        Raises HandOverConflictError when others changed the same lines meanwhile.
        """
        repo, head = self._context.repo, commit
        if await repo.is_ancestor(commit, place.base):
            head = place.base
        elif not await repo.is_ancestor(place.base, commit):
            merged = await merge_trees(repo, place.base, commit)
            if merged.tree is None:
                raise HandOverConflictError(place.lane.epic, task.id, merged.conflicts)
            message = f"Take up {task.id}\n\nYoke-Task: {task.id}\n"
            head = await commit_merge(repo, place.base, commit, message, tree=merged.tree)
        await self.restore(place, head)
        return await self.join(place, head)

    async def restore(self, place: Place, commit: str | None = None) -> None:
        """Put the lane back to where its task started, or to `commit`, whatever the agent left there."""
        await self._context.worktrees.reset(place.path, place.lane.branch, commit or place.base)

    def forget(self, epic: str) -> None:
        """The lanes of an epic are gone."""
        self._open = {name: lane for name, lane in self._open.items() if lane.epic != epic}


def _taken(plan: Plan, task: Task, commit_of: Callable[[str], str | None]) -> dict[str, str]:
    """Commits of other epics that a task starts from, each with the task or epic that it stands for.

    Work of earlier runs counts too, so the plan tells, not what is left to do. Where one was skipped,
    its own predecessors stand in for it.
    """
    taken: dict[str, str] = {}
    seen = {task.id}
    stack = [task]
    while stack:
        one = stack.pop()
        for dependency in (*one.depends_on, *plan.epic[one.epic].depends_on):
            if dependency.strength is not Strength.HARD:
                continue
            name = dependency.predecessor
            found = [plan.tasks[name]] if name in plan.tasks else plan.epic[name].tasks
            for predecessor in found:
                commit = commit_of(predecessor.id)
                if commit and predecessor.epic != task.epic:
                    taken.setdefault(commit, predecessor.id)
                elif not commit and predecessor.id not in seen:
                    seen.add(predecessor.id)
                    stack.append(predecessor)
    return taken


async def remove_lanes(context: Context, epic: str) -> None:
    """Remove an epic's worktrees and branches; what is not proved to be on the target, or kept, stays."""
    names = [epic, *(task.id for task in context.plan.epic[epic].tasks)]
    for lane in names:
        if context.worktrees.path(lane).exists():
            await context.worktrees.retire(lane)
            context.recorder.emit("worktree.removed", epic=epic, lane=lane)
    present = await context.repo.branches()
    for branch in (context.epic_branch(epic), *(f"{LANE_PREFIX}{lane}" for lane in names)):
        if branch in present:
            ours = branch.startswith(LANE_PREFIX)
            await remove_branch(context.repo, branch, context.target, ours=ours)
