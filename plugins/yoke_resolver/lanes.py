"""Which tasks share a worktree."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from yokeflow.globs import entangled
from yokeflow.model import Strategy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yokeflow.model import Task


def assign(tasks: Mapping[str, Task], strategy: Strategy) -> dict[str, str]:
    """Lane of each task: its epic's id, or its own where it works apart from the rest of its epic."""
    if strategy is Strategy.BY_TASK:
        return {name: name for name in tasks}
    apart = _apart(tasks) if strategy is Strategy.SMART else set()
    return {name: name if name in apart else task.epic for name, task in tasks.items()}


def _apart(tasks: Mapping[str, Task]) -> set[str]:
    """Tasks whose declared files no other task of their epic declares."""
    owned: dict[str, dict[str, tuple[str, ...]]] = defaultdict(dict)
    for name, task in tasks.items():
        if task.files:
            owned[task.epic][name] = task.files
    return {name for files in owned.values() for name in files.keys() - entangled(files)}
