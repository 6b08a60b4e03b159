"""Landing: bring a finished epic onto the target branch, exactly as its merged tree was tested."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING
from uuid import uuid4

from yokeflow.engine.checks import Subject
from yokeflow.git.branches import remove_branch
from yokeflow.git.merge import advance, commit_merge, merge_trees
from yokeflow.model import LandingStatus, MergeStrategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yokeflow.engine.context import Context
    from yokeflow.engine.lanes import Lanes
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


class Landings:
    """Lands epics one at a time."""

    def __init__(self, context: Context, lanes: Lanes) -> None:
        self._context = context
        self._lanes = lanes

    async def land(self, epic: Epic, tasks: Sequence[str]) -> LandingResult | None:
        """Land an epic whose `tasks` are completed; None when it was interrupted.

        Whatever goes wrong leaves the epic's branch and the target as they were.
        """
        context = self._context
        tip = await context.repo.branch(context.epic_branch(epic.id))
        if tip is None:
            # Every task was skipped before it started: there is nothing to land.
            return LandingResult(epic.id, LandingStatus.LANDED)
        for _ in range(_MOST_RACES):
            result = await self._try(epic, tip, tasks)
            if result is not None or context.stop.is_set():
                return result
        reason = f"{context.target} moved {_MOST_RACES} times while {epic.id} was being tested"
        return self._rejected(epic, "red_check", reason)

    async def _try(self, epic: Epic, tip: str, tasks: Sequence[str]) -> LandingResult | None:
        """One merge, test and move. None when the target moved meanwhile or the run is stopping."""
        context, started = self._context, monotonic()
        repo, target = context.repo, context.target
        old = await repo.branch(target)
        if old is None:
            return self._rejected(epic, "checkout", f"the target branch {target} is gone")
        if await repo.is_ancestor(tip, old):
            return await self._landed(epic, old, old, await repo.tree_of(old), tip, started, tasks)
        merged = await merge_trees(repo, old, tip)
        if merged.tree is None:
            return self._conflicted(epic, merged.conflicts, old, tip)
        squash = context.config.parallel.merge_strategy is MergeStrategy.SQUASH
        commands = self._commands(epic, tasks)
        message = _message(epic, context.recorder.run, merged.tree, tested=bool(commands), tasks=tasks)
        commit = await commit_merge(repo, old, tip, message, squash=squash, tree=merged.tree)
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
        moved = await advance(repo, target, commit, old)
        if not moved.moved:
            if moved.reason == "raced":
                return None
            return self._rejected(epic, "checkout", _in_the_way(target, moved.files))
        return await self._landed(epic, commit, old, merged.tree, tip, started, tasks)

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
        verdict = await context.checker.run(commands, tree, folder, logs, subject, mark, context.stop)
        if verdict.passed:
            return None
        return self._rejected(epic, "red_check", verdict.reason, verdict.output)

    async def _landed(
        self, epic: Epic, commit: str, old: str, tree: str, tip: str, started: float, tasks: Sequence[str]
    ) -> LandingResult:
        context = self._context
        strategy = context.config.parallel.merge_strategy
        context.recorder.emit(
            "landing.landed",
            epic=epic.id,
            commit=commit,
            tree=tree,
            old_commit=old,
            epic_commit=tip,
            target=context.target,
            strategy=strategy.value,
            seconds=round(monotonic() - started, 3),
            tasks=list(tasks),
        )
        await self.clear(epic.id, tip)
        return LandingResult(epic.id, LandingStatus.LANDED, commit)

    async def clear(self, epic: str, tip: str) -> None:
        """Remove an epic's worktrees and branch once its commits are proved to be safe."""
        context = self._context
        await self._lanes.close(epic)
        branch = context.epic_branch(epic)
        if not await remove_branch(context.repo, branch, context.target):
            # Squashed: the target has the work, but not these commits.
            await context.repo.keep(f"landed/{epic}", tip)
            await remove_branch(context.repo, branch, context.target)

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


def _in_the_way(target: str, files: tuple[str, ...]) -> str:
    listed = ", ".join(files) or "an operation in progress"
    return f"{target} is checked out and landing would overwrite what is not committed there: {listed}"


def _message(epic: Epic, run: str, tree: str, *, tested: bool, tasks: Sequence[str]) -> str:
    titles = [f"- {task.title} ({task.id})" for task in epic.tasks if task.id in tasks]
    body = "\n".join(titles)
    proof = f"{tree}={'passed' if tested else 'none'}"
    trailers = f"Yoke-Epic: {epic.id}\nYoke-Run: {run}\nYoke-Checks: {proof}\n"
    return f"Land {epic.id}: {epic.title}\n\n{body}\n\n{trailers}"
