"""What an epic lands with: the tip of its branch, and whether all that was done is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from yokeflow.git.made import came, named_tasks
from yokeflow.git.squashed import squashed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from yokeflow.engine.context import Context
    from yokeflow.git.made import Made
    from yokeflow.git.repo import Repo


@dataclass(frozen=True, slots=True)
class Tip:
    """The tip of an epic's branch; empty when that is gone."""

    commit: str
    #: Completed tasks whose work it does not have.
    missing: tuple[str, ...] = ()


async def find_tip(
    context: Context, epic: str, commits: Mapping[str, str], rebased: Callable[[str, str], None]
) -> Tip:
    """The tip of an epic's branch, which is made again when somebody removed it.

    `commits` are those of its completed tasks. Where a person has rewritten some, `rebased` is told of each
    such task and the commit that came of its own.
    """
    repo, branch = context.repo, context.epic_branch(epic)
    known = [oid for oid in commits.values() if await repo.resolve(oid)]
    tip = await repo.branch(branch)
    last = await repo.independent([*([tip] if tip else []), *known])
    if tip is None:
        if len(last) != 1 or len(known) < len(commits):
            return Tip("", tuple(commits))
        await repo.update_ref(f"refs/heads/{branch}", last[0], None, f"yoke: find {epic} again")
        return Tip(last[0])
    if last == [tip] and len(known) == len(commits):
        return Tip(tip)
    astray = await find_astray(context, epic, commits, tip)
    for task, commit in astray.items():
        if commit:
            rebased(task, commit)
    return Tip(tip, tuple(task for task, commit in astray.items() if not commit))


async def find_astray(context: Context, epic: str, commits: Mapping[str, str], tip: str) -> dict[str, str]:
    """The completed tasks whose commits are not in `tip`, each with what came of it there; empty for nothing.

    A rebase keeps the trailers that tell, and so does a commit that was made of several. A task that changed
    nothing has the commit of another one. What landed as a squash before the plan grew is in the target, not
    in the branch.
    """
    repo = context.repo
    made = await came(repo, {"": await repo.branch(context.target) or ""}, {"": tip}, {}, ())
    beside = {each.oid for each in made}
    before = [kept for _, kept in await squashed(repo, {epic})]
    astray = [
        task
        for task, oid in commits.items()
        if oid not in beside and not await _is_in(repo, oid, [tip, *before])
    ]
    work = _work_in(made)
    instead = {commits[task]: work[task] for task in astray if task in work}
    return {task: work.get(task) or instead.get(commits[task], "") for task in astray}


def _work_in(commits: Sequence[Made]) -> dict[str, str]:
    """The newest of some commits, oldest first, that has the work of each task."""
    joins = {made.parents[1]: made.oid for made in commits if made.message.startswith("Join ")}
    return {
        task: joins.get(made.oid, made.oid)
        for made in commits
        # Whoever resolved a conflict did not do the task that paid for it.
        if "\nYoke-Resolves:" not in made.message
        for task in named_tasks(made.message)
    }


async def _is_in(repo: Repo, commit: str, tips: Sequence[str]) -> bool:
    if await repo.resolve(commit) is None:
        return False
    for tip in tips:
        if await repo.is_ancestor(commit, tip):
            return True
    return False
