"""The limits that the config sets, one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from yoke_costs.amounts import UNITS, Unit, micro, plain

if TYPE_CHECKING:
    from yokeflow.config import Cost

Scope = Literal["task", "epic", "run", "day"]
SCOPES: Final[tuple[Scope, ...]] = ("task", "epic", "run", "day")
_OF_RUN: Final = "cost.budget_limit_usd"


@dataclass(frozen=True, slots=True)
class Limit:
    """The most of one unit that one scope may take."""

    scope: Scope
    unit: Unit
    #: In the whole units of `Amount`.
    most: int
    #: The key of the config that says so.
    key: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A share of a limit that has been reached."""

    limit: Limit
    #: Id of the task or epic, the day's date; empty for the run.
    name: str
    used: int
    share: float

    @property
    def place(self) -> tuple[object, ...]:
        """What one warning is enough for."""
        return (self.limit.scope, self.limit.unit, self.name, self.share)

    def data(self) -> dict[str, object]:
        """What the event `budget.warned` carries."""
        limit = self.limit
        numbers = {"limit": plain(limit.unit, limit.most), "used": plain(limit.unit, self.used)}
        return {"scope": limit.scope, "name": self.name, "unit": limit.unit, **numbers, "mark": self.share}


def limits_of(cost: Cost) -> list[Limit]:
    """All limits, those of the smallest scope first. Of two for the dollars of a run the smaller counts."""
    found = []
    for scope in SCOPES:
        given = getattr(cost.budgets, scope)
        for unit in UNITS:
            most, key = getattr(given, unit), f"cost.budgets.{scope}.{unit}"
            whole = cost.budget_limit_usd if (scope, unit) == ("run", "usd") else None
            if whole is not None and (most is None or whole <= most):
                most, key = whole, _OF_RUN
            if most is not None:
                found.append(Limit(scope, unit, micro(most) if unit == "usd" else int(most), key))
    return found
