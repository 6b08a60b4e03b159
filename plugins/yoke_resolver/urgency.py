"""Which of the ready tasks starts first."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yokeflow.model import Resolution, Task


def by_urgency(ready: Sequence[Task], resolution: Resolution) -> list[str]:
    """Longest remaining path first, then priority, then plan order.

    A soft predecessor that is ready as well comes right before the task that would like to follow it.
    """
    remaining, soft = resolution.remaining, resolution.soft
    ranked = sorted(ready, key=lambda task: (-remaining[task.id], task.priority, task.position))
    among = {task.id: place for place, task in enumerate(ranked)}
    if not any(soft.get(task) for task in among):
        return list(among)
    order: dict[str, None] = {}
    for task in among:
        _place(task, among, resolution, order)
    return list(order)


def _place(task: str, among: dict[str, int], resolution: Resolution, order: dict[str, None]) -> None:
    """Append a task behind those of its soft predecessors that are ready as well."""
    path = [(task, False)]
    while path:
        current, served = path.pop()
        if current in order:
            continue
        if served:
            order[current] = None
            continue
        path.append((current, True))
        first = (name for name in resolution.soft.get(current, ()) if name in among)
        path += [(name, False) for name in sorted(first, key=among.__getitem__, reverse=True)]
