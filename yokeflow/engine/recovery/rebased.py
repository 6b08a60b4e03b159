"""Finished work whose commits a person has rewritten: what came of them stands for it from then on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.git.history import read_history

if TYPE_CHECKING:
    from collections.abc import Collection

    from yokeflow.engine.context import Context
    from yokeflow.engine.ledger.ledger import Ledger


async def follow_rebased(context: Context, ledger: Ledger, on_target: Collection[str]) -> None:
    """Let completed tasks have the commits that came of theirs on the epic's branch, which trailers tell.

    Else others would take in work that the epic does not have any more, and once git has collected what
    nothing leads to, the task would be done again. Where nothing came of a commit, it stays: the landing
    misses it.
    """
    prefix, history = context.config.project.branch_prefix, None
    for epic in context.plan.epic:
        if epic in ledger.landed:
            continue
        done = {task: oid for task, oid in ledger.commits_of(epic).items() if oid not in on_target}
        if not done or not (there := await _beside_target(context, epic)):
            continue
        astray = [task for task, oid in done.items() if oid not in there]
        if astray:
            history = history or await read_history(context.repo, context.target, prefix)
            came = {work.task: work.commit for work in history.work if work.commit in there}
            for task in astray:
                if task in came:
                    ledger.rebased(task, came[task])


async def _beside_target(context: Context, epic: str) -> set[str]:
    """The commits that an epic's branch has and the target has not."""
    tip = await context.repo.branch(context.epic_branch(epic))
    if tip is None:
        return set()
    out = await context.repo.git("rev-list", tip, f"^refs/heads/{context.target}")
    return set(out.text.split())
