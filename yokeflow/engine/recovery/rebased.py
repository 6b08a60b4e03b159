"""Finished work whose commits a person has rewritten: what came of them stands for it from then on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.git.history import read_history

if TYPE_CHECKING:
    from collections.abc import Collection

    from yokeflow.engine.context import Context
    from yokeflow.engine.ledger.ledger import Ledger


async def follow_rebased(context: Context, ledger: Ledger, landed: Collection[str]) -> None:
    """Let completed tasks have the commits that came of theirs on the epic's branch, which trailers tell.

    Else others would take in work that the epic does not have any more, and once git has collected what
    nothing leads to, the task would be done again. `landed` is what the target has. Where nothing came of a
    commit, it stays.
    """
    astray = {
        task
        for epic in context.plan.epic
        if epic not in ledger.landed
        for task in await _astray(context, ledger, epic, landed)
    }
    if not astray:
        return
    history = await read_history(context.repo, context.target, context.config.project.branch_prefix)
    found = {work.task: work.commit for work in history.work if work.counts}
    for task in sorted(astray & found.keys()):
        if found[task] != ledger.commits[task]:
            ledger.rebased(task, found[task])


async def _astray(context: Context, ledger: Ledger, epic: str, landed: Collection[str]) -> list[str]:
    """The completed tasks of an epic whose commits its branch does not have."""
    commits = {task: oid for task, oid in ledger.commits_of(epic).items() if oid not in landed}
    if not commits or (tip := await context.repo.branch(context.epic_branch(epic))) is None:
        return []
    out = await context.repo.git("rev-list", tip, f"^refs/heads/{context.target}")
    there = set(out.text.split())
    return [task for task, oid in commits.items() if oid not in there]
