"""Where the work on an item begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.model import Strength

if TYPE_CHECKING:
    from collections.abc import Collection

    from yokeflow.model import Plan, Task


def first_of(plan: Plan, item: str, over: Collection[str]) -> list[Task]:
    """A task, or the tasks of an epic that are not `over` and wait for no other one of it."""
    if item in plan.tasks:
        return [plan.tasks[item]]
    if item not in plan.epic:
        # It is gone from the plan.
        return []
    left = {task.id: task for task in plan.epic[item].tasks if task.id not in over}
    behind = {
        task.id
        for task in left.values()
        for edge in task.depends_on
        if edge.strength is Strength.HARD and edge.predecessor in left
    }
    return [task for name, task in left.items() if name not in behind]
