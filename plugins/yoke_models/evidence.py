"""Evidence: how often each tier landed what it was given, and for how much, by category and size."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


#: What a failure counts at a task at which another attempt has failed before: such tasks are harder than
#: others that look like them, so that failing there says less about those.
AGAIN: Final = 0.4


class Cell(NamedTuple):
    """What sessions are alike in. Evidence of one kind of agent says nothing about another."""

    kind: str
    tier: str
    #: None stands for all.
    category: str | None = None
    size: str | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """Sessions of a cell, counted."""

    #: Landed and not taken back.
    successes: int = 0
    #: Failed, or completed what was rejected or taken back.
    failures: int = 0
    #: Those of the failures that were no first attempts.
    again: int = 0
    #: Dollars of those whose cost is known.
    cost: float = 0.0
    #: Sessions whose cost is known; those that wait for their landing are among them.
    priced: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.successes + other.successes,
            self.failures + other.failures,
            self.again + other.again,
            self.cost + other.cost,
            self.priced + other.priced,
        )

    @property
    def decided(self) -> int:
        """Sessions of which it is known what became of their work."""
        return self.successes + self.failures

    @property
    def doubt(self) -> float:
        """Failures by what they say about a task that nobody has tried."""
        return self.failures - (1 - AGAIN) * self.again

    @property
    def mean_cost(self) -> float | None:
        """Dollars a session; None when nobody told any."""
        return self.cost / self.priced if self.priced else None


_NONE = Tally()


@dataclass(slots=True)
class Evidence:
    """Tallies of all cells, and of the wider ones that they are part of."""

    tallies: dict[Cell, Tally] = field(default_factory=lambda: defaultdict(Tally))

    def add(self, cell: Cell, tally: Tally) -> None:
        """Count more sessions of a cell that names category and size."""
        for part in (cell, cell._replace(category=None), cell._replace(category=None, size=None)):
            self.tallies[part] += tally

    def of(self, cell: Cell) -> Tally:
        """What is known of a cell."""
        return self.tallies.get(cell, _NONE)

    def cells(self) -> Iterator[tuple[Cell, Tally]]:
        """The cells that name category and size."""
        return ((cell, tally) for cell, tally in self.tallies.items() if cell.category is not None)
