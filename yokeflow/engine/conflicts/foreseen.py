"""What an agent is told about a conflict that is foreseen, and which tasks had better not meet then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.engine.scheduling.caution import Wishes
from yokeflow.globs import owns

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence

    from yokeflow.model import Plan, Task
    from yokeflow.store.forecasts import ConflictHistory, Forecast

#: Files that one part of a prompt names.
_MOST_FILES = 12
_ADVICE = (
    "Where your task does not need these lines, leave them alone; where it does, keep the change small and "
    "compatible with what is described here, so that both merge."
)


def wishes(
    forecasts: Iterable[Forecast], hot: Collection[ConflictHistory]
) -> Callable[[Task], Wishes] | None:
    """With what each task should rather not run; None when there is nothing to avoid.

    Tasks of two epics that conflict had better not run side by side where both may touch the files in
    conflict. Tasks that may touch a file that often conflicts let others go first.
    """
    between: dict[str, list[Forecast]] = {}
    for forecast in forecasts:
        if forecast.with_epic:
            for epic in forecast.pair:
                between.setdefault(epic, []).append(forecast)
    if not between and not hot:
        return None

    def of(task: Task) -> Wishes:
        near = [each for each in between.get(task.epic, ()) if _may_touch(task, each)]
        minds = frozenset(("file", each.path) for each in hot if _touches(task, each))
        shows: set[Hashable] = {(each.pair, task.epic) for each in near}
        avoids = frozenset((each.pair, _other(each, task.epic)) for each in near)
        return Wishes(minds | shows, avoids, minds)

    return of


def _may_touch(task: Task, forecast: Forecast) -> bool:
    """Whether a task may change a file in conflict; who does not say what it changes may change all."""
    unsure = not task.files or forecast.more
    return bool(unsure) or any(owns(task.files, path) for path in forecast.files)


def _touches(task: Task, history: ConflictHistory) -> bool:
    """Whether a task says that it changes a file, or says nothing and its epic did so before."""
    return owns(task.files, history.path) if task.files else task.epic in history.epics


def touching(plan: Plan, hot: Iterable[ConflictHistory]) -> dict[str, list[str]]:
    """By file that often conflicts, the tasks that may touch it, in plan order."""
    return {each.path: [task.id for task in plan.tasks.values() if _touches(task, each)] for each in hot}


def _other(forecast: Forecast, epic: str) -> str:
    return forecast.with_epic if forecast.epic == epic else forecast.epic


def told(forecast: Forecast, epic: str, plan: Plan, excerpt: str) -> str:
    """A part of a prompt for a task of `epic`: where, with whose work, and what that does there."""
    other = _other(forecast, epic)
    if other:
        known = plan.epic.get(other)
        whose = (
            f"the epic “{known.title if known else other}” (`{other}`), which is worked on at the same time"
        )
        tasks = {other: forecast.tasks.get(other, ())}
    else:
        whose = f"what has landed on `{forecast.target}` meanwhile"
        tasks = {name: ids for name, ids in forecast.tasks.items() if name != epic}
    parts = [
        f"## A conflict ahead: `{other or forecast.target}`",
        f"What your epic has done so far does not merge with {whose}. The files in conflict:",
        _files(forecast.files, forecast.more),
    ]
    if names := _tasks(tasks, plan):
        parts += ["They were changed there by:", names]
    if excerpt:
        parts += ["Where it changed them:", f"```\n{excerpt}\n```"]
    return "\n\n".join([*parts, _ADVICE])


def _files(files: Sequence[str], more: int) -> str:
    lines = [f"- `{' '.join(path.split())}`" for path in files[:_MOST_FILES]]
    left = len(files) - len(lines) + more
    return "\n".join([*lines, f"- and {left} more"] if left else lines)


def _tasks(tasks: Mapping[str, Sequence[str]], plan: Plan) -> str:
    known = [plan.tasks[name] for ids in tasks.values() for name in ids if name in plan.tasks]
    return "\n".join(f"- `{task.id}`: {task.title}" for task in known[:_MOST_FILES])
