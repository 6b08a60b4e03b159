"""What an agent has used so far, told piece by piece."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from yokeflow.model import AgentOutput, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable


class Tally:
    """Tokens by model. What is new comes out as an output of kind `usage`, so that their sum is the tally."""

    def __init__(self) -> None:
        self._used: dict[str, Usage] = {}

    @property
    def all(self) -> tuple[Usage, ...]:
        """One Usage for each model that was told of."""
        return tuple(self._used.values())

    def add(self, used: Usage) -> tuple[AgentOutput, ...]:
        """Take what was used since the last time; nothing to tell when that is nothing."""
        if not (used.input or used.output or used.cache_read or used.cache_write):
            return ()
        self._used[used.model] = plus(self._of(used.model), used)
        return (AgentOutput("usage", "", used),)

    def reach(self, totals: Iterable[Usage]) -> list[AgentOutput]:
        """Take what each model has used in all, and tell what of it was not told yet.

        What was told of a model that has no total was told under another name, and is not told again.
        """
        totals = list(totals)
        names = {total.model for total in totals}
        others = (used for model, used in self._used.items() if model not in names)
        spare = reduce(plus, others, Usage(""))
        told: list[AgentOutput] = []
        for total in totals:
            missing = minus(total, self._of(total.model))
            told += self.add(minus(missing, spare))
            spare = minus(spare, missing)
        return told

    def _of(self, model: str) -> Usage:
        return self._used.get(model, Usage(model))


def plus(one: Usage, other: Usage) -> Usage:
    """The sum, under the model of the first."""
    return Usage(
        one.model,
        one.input + other.input,
        one.output + other.output,
        one.cache_read + other.cache_read,
        one.cache_write + other.cache_write,
    )


def minus(one: Usage, other: Usage) -> Usage:
    """What the first has more of."""
    return Usage(
        one.model,
        max(one.input - other.input, 0),
        max(one.output - other.output, 0),
        max(one.cache_read - other.cache_read, 0),
        max(one.cache_write - other.cache_write, 0),
    )
