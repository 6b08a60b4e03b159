"""Who waits for whom, without writing every pair down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Predecessors(Mapping[str, frozenset[str]]):
    """Predecessors of each task; groups (such as all tasks of an epic) are expanded only when asked for.

    An epic of 5,000 tasks that waits for another of the same size means 25 million pairs, but only one group
    and 10,000 names.
    """

    __slots__ = ("grouped", "groups", "single")

    def __init__(
        self,
        single: Mapping[str, frozenset[str]],
        grouped: Mapping[str, tuple[str, ...]] | None = None,
        groups: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        #: Predecessors one by one; its keys are the tasks.
        self.single = single
        #: Names of the groups a task waits for, where there are any.
        self.grouped: Mapping[str, tuple[str, ...]] = grouped or {}
        #: Members of each group.
        self.groups: Mapping[str, frozenset[str]] = groups or {}

    @classmethod
    def of(cls, pairs: Mapping[str, frozenset[str]]) -> Predecessors:
        """The same predecessors, with their groups where they have any."""
        return pairs if isinstance(pairs, cls) else cls(pairs)

    def __getitem__(self, task: str) -> frozenset[str]:
        single = self.single[task]
        groups = self.grouped.get(task)
        return single.union(*(self.groups[name] for name in groups)) if groups else single

    def __iter__(self) -> Iterator[str]:
        return iter(self.single)

    def __len__(self) -> int:
        return len(self.single)
