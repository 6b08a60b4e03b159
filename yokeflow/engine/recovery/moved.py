"""Tasks that the plan puts into another epic once they are done: their work goes there with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from yokeflow.errors import UsageError
from yokeflow.git.merge import advance, commit_merge, merge_trees
from yokeflow.git.pick import pick
from yokeflow.git.repo import RefMovedError
from yokeflow.git.squashed import squashed
from yokeflow.store.moved import done_in

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from yokeflow.engine.context import Context
    from yokeflow.engine.ledger.ledger import Ledger
    from yokeflow.git.commits import Commit
    from yokeflow.model import Task
    from yokeflow.store.connection import Store


@dataclass(frozen=True, slots=True)
class _Moved:
    """A done task whose work is not in its epic."""

    task: Task
    commit: str
    #: The epic in which it was done.
    old: str
    #: Tip of its epic's branch, or where that would start.
    onto: str
    #: Whether there is such a branch.
    begun: bool


async def bring_moved(context: Context, ledger: Ledger, store: Store, project_id: UUID) -> None:
    """Give epics the work of done tasks that came to them by a change of the plan.

    Else their next tasks would start without it, and they could never land. The epic in which it was done
    keeps it too. Raises UsageError where that cannot be done: nothing may be built on an epic that lacks it.
    """
    async with store.begin() as connection:
        before = await done_in(connection, project_id)
    for task in context.plan.tasks.values():
        commit, old = ledger.commits.get(task.id), before.get(task.id, task.epic)
        if commit is None or old == task.epic or task.epic in ledger.landed:
            continue
        moved = await _find(context, task, commit, old)
        if moved is not None:
            new = await _bring(context, moved)
            if new != commit:
                ledger.rebased(task.id, new)


async def _find(context: Context, task: Task, commit: str, old: str) -> _Moved | None:
    """What is to be brought; None where the epic has it, or nobody has."""
    repo, target = context.repo, await context.repo.branch(context.target)
    tip = await repo.branch(context.epic_branch(task.epic))
    onto = tip or target
    if onto is None or target is None or await repo.resolve(commit) is None:
        return None
    if await repo.is_ancestor(commit, onto):
        return None
    if tip and any(_does(one, task.id) for one in await repo.commits(target, tip)):
        return None
    return _Moved(task, commit, old, onto, tip is not None) if await _is_kept(context, old, commit) else None


async def _is_kept(context: Context, old: str, commit: str) -> bool:
    """Whether the epic in which it was done has it still, or has landed with it."""
    repo = context.repo
    tips = [await repo.branch(name) for name in (context.epic_branch(old), context.target)]
    tips += [tip for _, tip in await squashed(repo, {old})]
    return any([tip and await repo.is_ancestor(commit, tip) for tip in tips])


async def _bring(context: Context, moved: _Moved) -> str:
    """Bring it onto the epic's branch; gives the commit that has the task's work there.

    Where nothing but what the epic builds on anyway would come along, the commit itself is merged. Else the
    epic would land what it has nothing to do with, maybe before somebody approved it, and only what the task
    did is done again.
    """
    repo = context.repo
    target = await repo.branch(context.target) or moved.onto
    along = [one for one in await repo.commits(target, moved.commit) if len(one.parents) < 2]
    own = [one for one in along if _does(one, moved.task.id)]
    if all(_belongs(context, moved.task, one) for one in along):
        new = await _merge(context, moved)
        work = moved.commit
    else:
        new = work = await _pick(context, moved, own)
    await _move(context, moved, new)
    return work


def _does(commit: Commit, task: str) -> bool:
    return task in commit.trailers.get("Yoke-Task", ())


def _belongs(context: Context, task: Task, commit: Commit) -> bool:
    """Whether a commit is work of the task's epic or of one that lands before it."""
    epics = {task.epic, *context.order.builds_on(task.epic)}
    tasks = context.plan.tasks
    names = commit.trailers.get("Yoke-Task", ())
    return bool(names) and all(name in tasks and tasks[name].epic in epics for name in names)


async def _merge(context: Context, moved: _Moved) -> str:
    repo = context.repo
    if await repo.is_ancestor(moved.onto, moved.commit):
        return moved.commit
    merged = await merge_trees(repo, moved.onto, moved.commit)
    if merged.tree is None:
        raise _refusal(context, moved, f"conflicts in {', '.join(merged.conflicts)}")
    message = f"Take in {moved.task.id} from {moved.old}\n\nYoke-Taken: {moved.task.id}\n"
    return await commit_merge(repo, moved.onto, moved.commit, message, tree=merged.tree)


async def _pick(context: Context, moved: _Moved, own: Sequence[Commit]) -> str:
    if not own:
        raise _refusal(context, moved, f"no commit of its own is on {context.epic_branch(moved.old)}")
    onto = moved.onto
    for commit in own:
        picked, merged = await pick(context.repo, onto, commit.oid)
        if picked is None:
            raise _refusal(context, moved, f"conflicts in {', '.join(merged.conflicts)}")
        onto = picked
    return onto


async def _move(context: Context, moved: _Moved, new: str) -> None:
    repo, branch = context.repo, context.epic_branch(moved.task.epic)
    if moved.begun:
        done = await advance(repo, branch, new, moved.onto)
        if not done.moved:
            raise _refusal(context, moved, done.detail or ", ".join(done.files) or f"{branch} moved")
        return
    try:
        await repo.update_ref(f"refs/heads/{branch}", new, None, f"yoke: start {moved.task.epic}")
    except RefMovedError as error:
        raise _refusal(context, moved, f"{branch} moved") from error


def _refusal(context: Context, moved: _Moved, why: str) -> UsageError:
    task, branch = moved.task, context.epic_branch(moved.task.epic)
    start = "" if moved.begun else f"`git branch {branch} {context.target}`, "
    return UsageError(
        f"the plan moved {task.id}, which is done, from {moved.old} to {task.epic}, "
        f"and its work could not be brought to {branch}: {why}",
        hint=f"{start}merge {moved.commit[:12]} by hand there, or move {task.id} back to {moved.old}",
    )
