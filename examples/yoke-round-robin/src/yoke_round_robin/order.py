"""Whose turn it is."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from yoke_round_robin.settings import RoundRobin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yokeflow.model import Task


class Round:
    """The turns of one run, in memory: a decision never waits for the database."""

    def __init__(self) -> None:
        self._settings = RoundRobin()
        self._started: Counter[str] = Counter()

    def begin(self, settings: RoundRobin) -> None:
        """Forget the last run."""
        self._settings = settings
        self._started.clear()

    def count(self, epic: str) -> None:
        """A task of the epic has started."""
        self._started[epic] += 1

    def order(self, ready: Sequence[Task]) -> list[str] | None:
        """Ids of the ready tasks by turns; None where turns are switched off."""
        if not self._settings.enabled:
            return None
        before = Counter(self._started)
        turns: dict[str, tuple[int, int]] = {}
        for task in ready:
            turns[task.id] = (before[task.epic] // self._settings.tasks, self._rank(task.epic))
            before[task.epic] += 1
        return sorted(turns, key=turns.__getitem__)

    def _rank(self, epic: str) -> int:
        first = self._settings.first
        return first.index(epic) if epic in first else len(first)
