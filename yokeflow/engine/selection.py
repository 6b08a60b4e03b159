"""Which part of a plan a run works on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from yokeflow.errors import UsageError

if TYPE_CHECKING:
    from yokeflow.model import Plan


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What the caller of a run asks for beyond the config."""

    #: Only tasks of these epics; empty means all.
    epics: tuple[str, ...] = ()
    #: Only these tasks; empty means all.
    tasks: tuple[str, ...] = ()
    #: Only land these epics, and do no task.
    land: tuple[str, ...] = ()
    #: Whose lines those take where they conflict: the target's (`ours`) or the epic's (`theirs`); empty for
    #: the usual way.
    take: str = ""
    #: One agent for every task.
    agent: str = ""


def selected(plan: Plan, options: RunOptions) -> set[str]:
    """Ids of the tasks to work on.

    Raises UsageError for an id the plan does not have.
    """
    for name in (*options.epics, *options.land):
        if name not in plan.epic:
            raise UsageError(f"the plan has no epic {name}", hint="`yoke plan show` lists them")
    for name in options.tasks:
        if name not in plan.tasks:
            raise UsageError(f"the plan has no task {name}", hint="`yoke plan show` lists them")
    if options.land:
        return set()
    if not options.epics and not options.tasks:
        return set(plan.tasks)
    return {task.id for task in plan.tasks.values() if task.epic in options.epics or task.id in options.tasks}
