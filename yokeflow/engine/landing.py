"""Landing: bring a finished epic onto the target branch, exactly as its merged tree was tested."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING
from uuid import uuid4

from yokeflow.engine.checks import Subject
from yokeflow.engine.lanes import remove_lanes, squashed_tips, with_history
from yokeflow.errors import GitError, ProjectBusyError, RepositoryError, YokeError
from yokeflow.git.merge import Advance, advance, commit_merge, merge_trees
from yokeflow.model import LandingStatus, MergeStrategy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from yokeflow.engine.context import Context
    from yokeflow.engine.lanes import Lanes
    from yokeflow.git.repo import Repo
    from yokeflow.model import Epic

#: How often a landing starts anew because somebody else moved the target meanwhile.
_MOST_RACES = 20


@dataclass(frozen=True, slots=True)
class LandingResult:
    """How a landing ended."""

    epic: str
    status: LandingStatus
    #: The landing commit; empty unless landed.
    commit: str = ""
    #: Kind of intervention that is open now: `conflict`, `red_check`, `checkout`; empty when landed.
    waits: str = ""
    reason: str = ""
    #: What the failed check printed last.
    output: str = ""


@dataclass(frozen=True, slots=True)
class _Landing:
    """One try to land."""

    epic: Epic
    #: Its completed tasks.
    tasks: list[str]
    #: Tip of the epic's branch.
    tip: str
    #: Where the target is.
    old: str
    #: Both, merged.
    tree: str
    commands: list[str]
    #: On the monotonic clock.
    started: float


class Landings:
    """Lands epics one at a time."""

    def __init__(self, context: Context, lanes: Lanes) -> None:
        self._context = context
        self._lanes = lanes

    async def land(self, epic: Epic, commits: Mapping[str, str]) -> LandingResult | None:
        """Land an epic; None when it was interrupted.

        `commits` maps its completed tasks to the commits that completed them. Whatever goes wrong leaves the
        epic's branch and the target as they were.
        """
        try:
            return await self._land(epic, commits)
        except (GitError, RepositoryError, ProjectBusyError) as error:
            return self._rejected(epic, "checkout", error.message)

    async def _land(self, epic: Epic, commits: Mapping[str, str]) -> LandingResult | None:
        context, tasks = self._context, list(commits)
        tip = await self._tip(epic, commits)
        if tip is None:
            reason = f"branch {context.epic_branch(epic.id)} lacks commits of its completed tasks"
            return self._rejected(epic, "conflict", reason)
        for _ in range(_MOST_RACES):
            result = await self._try(epic, tip, tasks)
            if result is not None or context.stop.is_set():
                return result
        reason = f"{context.target} moved {_MOST_RACES} times while {epic.id} was being tested"
        return self._rejected(epic, "red_check", reason)

    async def _tip(self, epic: Epic, commits: Mapping[str, str]) -> str | None:
        """The tip of the epic's branch, which holds all its work; made again when somebody removed it.

        None when finished work is missing there. A person may have rebased it: then the trailers tell.
        """
        repo, branch = self._context.repo, self._context.epic_branch(epic.id)
        tip = await repo.branch(branch)
        last = await repo.independent([*([tip] if tip else []), *commits.values()])
        if tip is None:
            if len(last) == 1:
                await repo.update_ref(f"refs/heads/{branch}", last[0], None, f"yoke: find {epic.id} again")
            return last[0] if len(last) == 1 else None
        if last == [tip]:
            return tip
        fresh = await repo.commits(f"refs/heads/{self._context.target}", tip)
        carried = {task for commit in fresh for task in commit.trailers.get("Yoke-Task", ())}
        before = await squashed_tips(repo, {epic.id})
        for task, commit in commits.items():
            # What landed as a squash before the plan grew is in the target, not in the branch.
            if task not in carried and not await _is_in(repo, commit, [tip, *before]):
                return None
        return tip

    async def _try(self, epic: Epic, tip: str, tasks: list[str]) -> LandingResult | None:
        """One merge, test and move. None when the target moved meanwhile or the run is stopping."""
        context, started = self._context, monotonic()
        repo, target = context.repo, context.target
        old = await repo.branch(target)
        if old is None:
            return self._rejected(epic, "checkout", f"the target branch {target} is gone")
        merged = await merge_trees(repo, await with_history(context, old, epic.id), tip)
        if merged.tree is None:
            return self._conflicted(epic, merged.conflicts, old, tip)
        commands = self._commands(epic, tasks)
        landing = _Landing(epic, tasks, tip, old, merged.tree, commands, started)
        commit = await self._commit(landing)
        context.recorder.emit(
            "landing.testing",
            epic=epic.id,
            commit=commit,
            tree=merged.tree,
            old_commit=old,
            epic_commit=tip,
            target=target,
        )
        if commands:
            failed = await self._test(epic, commit, merged.tree, commands)
            if failed is not None or context.stop.is_set():
                return None if context.stop.is_set() else failed
        if commit != old:
            moved = await advance(repo, target, commit, old)
            if not moved.moved:
                if moved.reason == "raced":
                    return None
                return self._rejected(epic, "checkout", _in_the_way(target, moved))
        return await self._landed(landing, commit)

    async def _commit(self, landing: _Landing) -> str:
        """The commit to test; the target itself when somebody has brought all of the epic there already."""
        context = self._context
        unchanged = landing.tree == await context.repo.tree_of(landing.old)
        if unchanged and await context.repo.is_ancestor(landing.tip, landing.old):
            return landing.old
        squash = context.config.parallel.merge_strategy is MergeStrategy.SQUASH
        message = _message(landing, context.recorder.run)
        return await commit_merge(
            context.repo, landing.old, landing.tip, message, squash=squash, tree=landing.tree
        )

    def _commands(self, epic: Epic, tasks: Sequence[str]) -> list[str]:
        """The project's landing checks and what the epic's own tasks promised."""
        promised = [command for task in epic.tasks if task.id in tasks for command in task.verify]
        return list(dict.fromkeys((*self._context.config.landing_checks, *promised)))

    async def _test(
        self, epic: Epic, commit: str, tree: str, commands: Sequence[str]
    ) -> LandingResult | None:
        """Run the checks on exactly the merged tree; None when all pass."""
        context, mark = self._context, str(uuid4())
        folder = await context.worktrees.scratch(commit)
        logs = context.project.session_folder(f"landing-{mark}")
        subject = Subject("landing", epic.id)
        verdict = await context.checker.run(
            commands,
            tree,
            folder,
            logs,
            subject,
            mark,
            restore=lambda: context.worktrees.scratch(commit),
            stop=context.stop,
        )
        if verdict.passed:
            return None
        return self._rejected(epic, "red_check", verdict.reason, verdict.output)

    async def _landed(self, landing: _Landing, commit: str) -> LandingResult:
        context, epic = self._context, landing.epic
        await keep_squashed(context.repo, epic.id, landing.tip, commit)
        strategy = context.config.parallel.merge_strategy
        context.recorder.emit(
            "landing.landed",
            epic=epic.id,
            commit=commit,
            tree=landing.tree,
            old_commit=landing.old,
            epic_commit=landing.tip,
            target=context.target,
            strategy=strategy.value,
            seconds=round(monotonic() - landing.started, 3),
            tasks=landing.tasks,
        )
        await self._clear(epic.id)
        return LandingResult(epic.id, LandingStatus.LANDED, commit)

    async def _clear(self, epic: str) -> None:
        """Remove what landed; a leftover that cannot be removed is no reason to stop."""
        self._lanes.forget(epic)
        try:
            await remove_lanes(self._context, epic)
        except (YokeError, OSError) as error:
            self._context.recorder.emit(
                "warning.raised",
                epic=epic,
                reason=f"something of {epic} is left: {error}",
                hint="yoke worktree clean",
            )

    def _conflicted(self, epic: Epic, files: tuple[str, ...], old: str, tip: str) -> LandingResult:
        listed = ", ".join(files)
        self._context.recorder.emit(
            "landing.conflicted",
            epic=epic.id,
            files=list(files),
            with_commit=old,
            old_commit=old,
            epic_commit=tip,
        )
        reason = f"{epic.id} conflicts with {self._context.target} in {listed}"
        return LandingResult(epic.id, LandingStatus.CONFLICT, waits="conflict", reason=reason)

    def _rejected(self, epic: Epic, waits: str, reason: str, output: str = "") -> LandingResult:
        self._context.recorder.emit("landing.rejected", epic=epic.id, reason=reason, output=output)
        return LandingResult(epic.id, LandingStatus.REJECTED, waits=waits, reason=reason, output=output)


async def _is_in(repo: Repo, commit: str, tips: Sequence[str]) -> bool:
    for tip in tips:
        if await repo.is_ancestor(commit, tip):
            return True
    return False


async def keep_squashed(repo: Repo, epic: str, tip: str, commit: str) -> None:
    """Keep an epic's own commits where its landing `commit` has their work but not them.

    Only once it has landed: what is kept there counts as being on the target.
    """
    if not await repo.is_ancestor(tip, commit):
        await repo.keep(f"landed/{epic}", tip)


def _in_the_way(target: str, moved: Advance) -> str:
    if not moved.files:
        return f"{target} cannot be brought forward: {moved.detail}"
    listed = ", ".join(moved.files)
    return f"{target} is checked out and landing would overwrite what is not committed there: {listed}"


def _message(landing: _Landing, run: str) -> str:
    epic = landing.epic
    body = "\n".join(f"- {task.title} ({task.id})" for task in epic.tasks if task.id in landing.tasks)
    proof = f"{landing.tree}={'passed' if landing.commands else 'none'}"
    trailers = f"Yoke-Epic: {epic.id}\nYoke-Run: {run}\nYoke-Checks: {proof}\n"
    return f"Land {epic.id}: {epic.title}\n\n{body}\n\n{trailers}"
