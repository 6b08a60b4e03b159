"""Amounts in whole micro-dollars, tokens and sessions.

Sums of floats drift, and a budget that is passed by a rounding error is passed: dollars are counted in
millionths, which is also what the store keeps of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

Unit = Literal["usd", "tokens", "sessions"]
UNITS: Final[tuple[Unit, ...]] = ("usd", "tokens", "sessions")
_MICRO: Final = 1_000_000
#: The most dollars that the store takes.
_MOST: Final = Decimal("999999.999999")


@dataclass(frozen=True, slots=True)
class Amount:
    """So much of everything."""

    #: Millionths of a dollar.
    usd: int = 0
    tokens: int = 0
    sessions: int = 0

    def __add__(self, other: Amount) -> Amount:
        return self._with(other, lambda one, two: one + two)

    def __sub__(self, other: Amount) -> Amount:
        return self._with(other, lambda one, two: one - two)

    def __getitem__(self, unit: Unit) -> int:
        return int(getattr(self, unit))

    def at_least(self, other: Amount) -> Amount:
        """The greater of both, unit by unit."""
        return self._with(other, max)

    def at_most(self, other: Amount) -> Amount:
        """The smaller of both, unit by unit."""
        return self._with(other, min)

    def _with(self, other: Amount, combine: Callable[[int, int], int]) -> Amount:
        return Amount(*(combine(self[unit], other[unit]) for unit in UNITS))


NOTHING: Final = Amount()


def micro(dollars: float | Decimal) -> int:
    """Millionths, a half rounded up and all limited as the store's `numeric` is."""
    exact = dollars if isinstance(dollars, Decimal) else Decimal(repr(dollars))
    return int((min(max(exact, Decimal()), _MOST) * _MICRO).quantize(Decimal(1), ROUND_HALF_UP))


def plain(unit: Unit, amount: int) -> float:
    """The number as people and events have it: dollars, tokens or sessions."""
    return amount / _MICRO if unit == "usd" else amount


def shown(unit: Unit, amount: int) -> str:
    """The number in a sentence."""
    if unit == "usd":
        return f"${amount / _MICRO:.4f}" if 0 < amount < 10_000 else f"${amount / _MICRO:.2f}"
    noun = {"tokens": "token", "sessions": "session"}[unit]
    return f"{amount:,} {noun}" if amount == 1 else f"{amount:,} {noun}s"
