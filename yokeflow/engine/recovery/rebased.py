"""Finished work whose commits a person has rewritten: what came of them stands for it from then on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.engine.landing.tips import find_astray

if TYPE_CHECKING:
    from collections.abc import Collection

    from yokeflow.engine.context import Context
    from yokeflow.engine.ledger.ledger import Ledger


async def follow_rebased(context: Context, ledger: Ledger, on_target: Collection[str]) -> None:
    """Let completed tasks have the commits that came of theirs on the epic's branch.

    Else others would take in work that the epic does not have any more, and once git has collected what
    nothing leads to, the task would be done again. Where nothing came of a commit, it stays: the landing
    misses it.
    """
    for epic in context.plan.epic:
        done = {task: oid for task, oid in ledger.commits_of(epic).items() if oid not in on_target}
        tip = await context.repo.branch(context.epic_branch(epic)) if done else None
        if tip is None or epic in ledger.landed:
            continue
        for task, commit in (await find_astray(context, epic, done, tip)).items():
            if commit:
                ledger.rebased(task, commit)
