"""What waits because a person has not answered."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Statuses in which nothing waits for an item any more.
_OVER = {"completed", "cancelled"}


@dataclass(frozen=True, slots=True)
class Held:
    """What one intervention holds up."""

    #: Ids of unfinished tasks, the one it is about included.
    tasks: tuple[str, ...]
    #: Epics that do not get onto the target branch meanwhile.
    landings: tuple[str, ...]


def consequences(state: Mapping[str, Any], edges: Iterable[tuple[str, str]]) -> dict[str, Held]:
    """By intervention, what waits because of it.

    `state` is the object of `yoke status --json`; `edges` tells of which epics (first) the work of which
    others (second) is taken in.
    """
    return _Graph(state, edges).of_all()


class _Graph:
    def __init__(self, state: Mapping[str, Any], edges: Iterable[tuple[str, str]]) -> None:
        self._asked = state["interventions"]
        self._items = {item["id"]: item for item in state["items"]}
        self._landed = {entry["epic"] for entry in state["landings"] if entry["status"] == "landed"}
        self._tasks_of: dict[str, list[str]] = defaultdict(list)
        self._behind: dict[str, list[str]] = defaultdict(list)
        for item in state["items"]:
            if item["epic"]:
                self._tasks_of[item["epic"]].append(item["id"])
            for before in item["waits_for"]:
                self._behind[before].append(item["id"])
        self._lands_after: dict[str, list[str]] = defaultdict(list)
        for after, before in edges:
            self._lands_after[before].append(after)

    def of_all(self) -> dict[str, Held]:
        return {entry["id"]: self._of(entry["item"]) for entry in self._asked if entry["item"] in self._items}

    def _of(self, item: str) -> Held:
        tasks = self._tasks(item)
        epics = {self._items[name]["epic"] for name in tasks} | ({item} if self._is_epic(item) else set())
        return Held(tuple(sorted(tasks, key=list(self._items).index)), tuple(sorted(self._landings(epics))))

    def _tasks(self, item: str) -> set[str]:
        """Unfinished tasks that cannot go on: those of the item, and whatever waits for one of them."""
        found: set[str] = set()
        todo = [item]
        while todo:
            name = todo.pop()
            own = self._tasks_of[name] if self._is_epic(name) else [name]
            fresh = [task for task in own if task not in found and self._is_open(task)]
            found.update(fresh)
            for task in fresh:
                # Nothing that waits for the whole epic goes on before this task is done.
                todo += [*self._behind[task], *self._behind[self._items[task]["epic"]]]
        return found

    def _landings(self, epics: set[str]) -> set[str]:
        found: set[str] = set()
        todo = list(epics)
        while todo:
            epic = todo.pop()
            if epic not in found and epic not in self._landed and epic in self._items:
                found.add(epic)
                todo += self._lands_after[epic]
        return found

    def _is_epic(self, name: str) -> bool:
        return name in self._items and self._items[name]["kind"] == "epic"

    def _is_open(self, task: str) -> bool:
        return task in self._items and self._items[task]["status"] not in _OVER
