"""Which tasks should rather not run side by side: wishes, which the scheduler heeds where it can."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from yokeflow.model import Task

    Marks: TypeAlias = frozenset[Hashable]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a running task stands for, and for what others do with which it should rather not run."""

    shows: Marks = frozenset()
    #: Worth to wait for.
    avoids: Marks = frozenset()
    #: Worth to let others go first, but no slot should stay empty for it.
    minds: Marks = frozenset()


NONE = Wishes()


class Caution:
    """Knows what the running tasks show."""

    def __init__(self) -> None:
        self._wishes_of: Callable[[Task], Wishes] | None = None
        #: Asked once for each task.
        self._known: dict[str, Wishes] = {}
        self._running: dict[str, Wishes] = {}
        self._shown: Counter[Hashable] = Counter()

    def heed(self, wishes_of: Callable[[Task], Wishes] | None, running: Iterable[Task]) -> None:
        """These wishes count from here on, instead of those before."""
        self._wishes_of = wishes_of
        self._known, self._running, self._shown = {}, {}, Counter()
        for task in running:
            self.enter(task)

    def enter(self, task: Task) -> None:
        """A task runs."""
        wishes = self._of(task)
        if wishes.shows:
            self._running[task.id] = wishes
            self._shown.update(wishes.shows)

    def leave(self, task: str) -> bool:
        """A task does not run any more; whether that may matter to another."""
        wishes = self._running.pop(task, None)
        if wishes is None:
            return False
        self._shown.subtract(wishes.shows)
        return True

    def should_wait(self, task: Task) -> bool:
        """Whether a running task is worth to wait for."""
        return any(self._shown[mark] > 0 for mark in self._of(task).avoids)

    def should_yield(self, task: Task) -> bool:
        """Whether another task had better go first."""
        return any(self._shown[mark] > 0 for mark in self._of(task).minds)

    def between(self, running: str, task: Task) -> bool:
        """Whether a task should rather not run at the same time as one that does."""
        wishes, shown = self._of(task), self._running.get(running, NONE).shows
        return not shown.isdisjoint(wishes.avoids | wishes.minds)

    def _of(self, task: Task) -> Wishes:
        if self._wishes_of is None:
            return NONE
        known = self._known.get(task.id)
        if known is None:
            known = self._known[task.id] = self._wishes_of(task)
        return known
