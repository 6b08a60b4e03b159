"""Ready tasks in the order that the `order_ready` hook wants, asked for in small portions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final, TypeAlias

from yokeflow.errors import PluginError
from yokeflow.model import Task

#: Ids of the given tasks, the one to start first at the front.
Order: TypeAlias = Callable[[Sequence[Task]], Sequence[str]]

#: Tasks kept in order. The hook sees these and the newcomers, and all that are ready once these are used up,
#: so a large backlog is not sorted anew at every event.
_FRONT: Final = 256


class ReadyQueue:
    """Gives out the first task first; whoever comes later finds its place among the others."""

    def __init__(
        self, order: Order, tasks: Mapping[str, Task], soft: Mapping[str, frozenset[str]] | None = None
    ) -> None:
        self._order = order
        self._tasks = tasks
        self._soft = soft or {}
        #: In order, the first at the end.
        self._front: list[str] = []
        #: Not before any of the front.
        self._rest: dict[str, None] = {}
        #: Not yet compared with the others.
        self._fresh: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._front) + len(self._rest) + len(self._fresh)

    def __iter__(self) -> Iterator[str]:
        """The tasks, in no order that matters."""
        return chain(self._front, self._fresh, self._rest)

    def add(self, task: str) -> None:
        self._fresh[task] = None

    def discard(self, task: str) -> None:
        """Take a task out, wherever it stands."""
        for part in (self._fresh, self._rest):
            part.pop(task, None)
        if task in self._front:
            self._front.remove(task)

    def pop(self) -> str | None:
        """Take out the first task; None when there is none."""
        if self._fresh or not self._front:
            self._arrange()
        return self._front.pop() if self._front else None

    def clear(self) -> list[str]:
        """Take out all tasks, in no order that matters."""
        everyone = [*reversed(self._front), *self._fresh, *self._rest]
        self._front, self._fresh, self._rest = [], {}, {}
        return everyone

    def _arrange(self) -> None:
        last = self._front[0] if self._front else None
        if last is None:
            self._fresh |= self._rest
            self._rest = {}
        elif self._rest:
            # A soft predecessor must be seen together with its successor to go first.
            wanted = {name for task in self._fresh for name in self._soft.get(task, ()) if name in self._rest}
            for name in sorted(wanted):
                del self._rest[name]
                self._fresh[name] = None
        ordered = self._ask([*reversed(self._front), *self._fresh])
        # Behind the last of the old front, a newcomer may also be behind some of the rest.
        size = min(_FRONT, ordered.index(last) + 1) if last is not None and self._rest else _FRONT
        self._front = ordered[:size][::-1]
        self._rest |= dict.fromkeys(ordered[size:])
        self._fresh = {}

    def _ask(self, names: list[str]) -> list[str]:
        if len(names) < 2:
            return names
        ordered = list(self._order([self._tasks[name] for name in names]))
        if len(ordered) != len(names) or set(ordered) != set(names):
            raise PluginError(
                "order_ready",
                "did not answer with every ready task exactly once",
                hint="correct or disable the plugin that orders ready tasks",
            )
        return ordered
