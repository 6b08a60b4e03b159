"""When a finished epic may land: after the epics whose work it has taken in."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING

from yokeflow.model import Strength

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from yokeflow.model import Plan


class LandingOrder:
    """The epics of a plan by what they build on.

    Two epics may need tasks of each other; then neither can be first, and they land one after the other as
    soon as both are finished.
    """

    def __init__(
        self, direct: Mapping[str, Collection[str]], priority: Mapping[str, int] | None = None
    ) -> None:
        """`direct` tells from which epics each one, in plan order, takes in work.

        `priority` is that of epics, 0 the most urgent; 5 where nothing is said.
        """
        self._direct = direct
        self._priority = priority or {}

    def landable(self, finished: Collection[str], landed: Collection[str]) -> list[str]:
        """Finished epics that may land now: by priority, by how many wait for them, then in plan order."""
        found = [
            epic
            for epic in self._direct
            if epic in finished and epic not in landed and not self.waits_for(epic, finished, landed)
        ]
        return sorted(found, key=lambda epic: (self._priority.get(epic, 5), -self._behind[epic]))

    def waits_for(self, epic: str, finished: Collection[str], landed: Collection[str]) -> list[str]:
        """Epics that must land before this one."""
        return sorted(
            other
            for other in self._direct[epic]
            if other not in landed and not (other in finished and epic in self._all[other])
        )

    def builds_on(self, epic: str) -> Collection[str]:
        """Epics whose work an epic may have taken in, through others too."""
        return self._all[epic]

    @cached_property
    def _behind(self) -> Mapping[str, int]:
        """How many epics build on each one."""
        return Counter(below for epics in self._all.values() for below in epics)

    @cached_property
    def _all(self) -> Mapping[str, set[str]]:
        """Epics that each epic builds on, through others too."""
        reach: dict[str, set[str]] = {}
        for start in self._direct:
            seen: set[str] = set()
            stack = list(self._direct[start])
            while stack:
                epic = stack.pop()
                if epic not in seen:
                    seen.add(epic)
                    stack.extend(self._direct[epic])
            reach[start] = seen
        return reach


def landing_order(plan: Plan) -> LandingOrder:
    """The order that the hard dependencies of a plan ask for."""
    priority = {epic.id: min((task.priority for task in epic.tasks), default=5) for epic in plan.epics}
    return LandingOrder(taken_in(plan), priority)


def taken_in(plan: Plan) -> dict[str, set[str]]:
    """By epic, the epics whose work it takes in."""
    found: dict[str, set[str]] = {epic: set() for epic in plan.epic}
    for epic in plan.epics:
        declared = [*epic.depends_on, *(edge for task in epic.tasks for edge in task.depends_on)]
        for dependency in declared:
            if dependency.strength is Strength.HARD:
                name = dependency.predecessor
                found[epic.id].add(plan.tasks[name].epic if name in plan.tasks else name)
        found[epic.id].discard(epic.id)
    return found
