"""The profile of every task, and what is wrong where there is none to be had."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.document import load_document
from yokeflow.errors import DocumentError, Problem, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from yokeflow.document import Document
    from yokeflow.model import Plan, Profile, Task

_NOBODY = UsageError(
    "no plugin chooses profiles", hint="take yoke_profiles out of plugins.disabled, or remove this key"
)


def roles(plan: Plan, choose: Callable[[Task], Profile | None]) -> dict[str, Profile | None]:
    """Ask for the profile of every task's first attempt; the answers by the task's id.

    Raises DocumentError with the place in the plan of each UsageError that `choose` raises.
    """
    found: dict[str, Profile | None] = {}
    wrong: dict[str, UsageError] = {}
    for task in plan.tasks.values():
        try:
            found[task.id] = choose(task)
        except UsageError as error:
            wrong[task.id] = error
        else:
            if found[task.id] is None and (task.profile or task.needs):
                wrong[task.id] = _NOBODY
    if wrong:
        raise DocumentError(list(_problems(plan, wrong)))
    return found


def _problems(plan: Plan, wrong: Mapping[str, UsageError]) -> Iterator[Problem]:
    document = _document(plan)
    for epic in plan.epics:
        for i, task in enumerate(epic.tasks):
            if error := wrong.get(task.id):
                key = ("epics", epic.position, "tasks", i, "profile" if task.profile else "needs")
                message = f"task {task.id}: {error.message}"
                if document is None:
                    yield Problem(plan.path, 0, "", message, error.hint)
                else:
                    yield document.problem(key, message, error.hint)


def _document(plan: Plan) -> Document | None:
    """The file again, for its lines; None where it is gone by now."""
    try:
        return load_document(plan.path)
    except DocumentError:
        return None
