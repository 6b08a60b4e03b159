"""Which tasks may go because everything they wait for is done, kept up to date event by event."""

from __future__ import annotations

from collections import defaultdict
from heapq import nsmallest
from itertools import chain
from typing import TYPE_CHECKING

from yokeflow.predecessors import Predecessors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping


class Gates:
    """Counts the open predecessors of each task. A group of predecessors counts as one."""

    def __init__(self, hard: Mapping[str, frozenset[str]]) -> None:
        self._hard = Predecessors.of(hard)
        self._done: set[str] = set()
        self._followers: dict[str, list[str]] = defaultdict(list)
        self._open: dict[str, int] = {}
        for task, before in self._hard.single.items():
            known = [name for name in before if name in self._hard]
            groups = self._hard.grouped.get(task, ())
            self._open[task] = len(known) + len(groups)
            for name in known:
                self._followers[name].append(task)
            for group in groups:
                self._followers[_key(group)].append(task)
        self._member_of: dict[str, list[str]] = defaultdict(list)
        self._left: dict[str, int] = {}
        for group, members in self._hard.groups.items():
            self._left[group] = len(members)
            for name in members:
                self._member_of[name].append(group)
        for group in [group for group, left in self._left.items() if not left]:
            self._shift(self._followers.get(_key(group), ()), -1)

    def is_open(self, task: str) -> bool:
        """Whether everything that a task waits for is done."""
        return not self._open[task]

    def waits_for(self, task: str) -> list[str]:
        """Its predecessors that are not done, in no order that matters."""
        return [name for name in self._hard[task] if name in self._hard and name not in self._done]

    def first_of(
        self, tasks: Iterable[str], limit: int, key: Callable[[str], int]
    ) -> Iterator[tuple[str, list[str]]]:
        """For each of these tasks the first few, by `key`, of what it waits for.

        Groups are looked through once and not for each task.
        """

        def first(names: Iterable[str]) -> list[str]:
            open_ = {name for name in names if name in self._hard and name not in self._done}
            return nsmallest(limit, open_, key=key)

        of_group = {group: first(members) for group, members in self._hard.groups.items()}
        for task in tasks:
            groups = self._hard.grouped.get(task, ())
            yield task, first(chain(self._hard.single[task], *(of_group[name] for name in groups)))

    def behind(self, tasks: Iterable[str]) -> Iterator[str]:
        """Every task that waits for one of these, directly or not; each once, these not."""
        todo = list(tasks)
        seen = set(todo)
        while todo:
            task = todo.pop()
            keys = [task, *map(_key, self._member_of.get(task, ()))]
            for key in keys:
                if key != task and key in seen:
                    continue
                seen.add(key)
                for name in self._followers.get(key, ()):
                    if name not in seen:
                        seen.add(name)
                        todo.append(name)
                        yield name

    def complete(self, task: str) -> list[str]:
        """Note that a task is done. Answers the tasks whose last predecessor it was."""
        if task in self._done:
            return []
        self._done.add(task)
        freed = self._shift(self._followers.get(task, ()), -1)
        for group in self._member_of.get(task, ()):
            self._left[group] -= 1
            if not self._left[group]:
                freed += self._shift(self._followers.get(_key(group), ()), -1)
        return freed

    def reopen(self, task: str) -> list[str]:
        """Note that a task is not done after all. Answers the tasks that must wait again."""
        if task not in self._done:
            return []
        self._done.remove(task)
        closed = self._shift(self._followers.get(task, ()), 1)
        for group in self._member_of.get(task, ()):
            if not self._left[group]:
                closed += self._shift(self._followers.get(_key(group), ()), 1)
            self._left[group] += 1
        return closed

    def _shift(self, tasks: Iterable[str], by: int) -> list[str]:
        """Change the count of open predecessors; the tasks whose gate opened or closed."""
        changed = []
        for task in tasks:
            was = self._open[task]
            self._open[task] = was + by
            if not was or not self._open[task]:
                changed.append(task)
        return changed


def _key(group: str) -> str:
    """Groups and tasks share one dictionary; no id contains a slash."""
    return f"/{group}"
