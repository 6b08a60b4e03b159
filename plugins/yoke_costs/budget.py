"""The budget of a run: set aside before a session starts, settled by what it cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from yokeflow.errors import LimitError

if TYPE_CHECKING:
    from yokeflow.config import Cost


@dataclass
class Account:
    """What one run has spent and set aside, in dollars."""

    spent: float = 0.0
    #: By session.
    reserved: dict[str, float] = field(default_factory=dict)

    def reserve(self, session: str, limits: Cost) -> float | None:
        """Set money aside for a session; None when there is no limit.

        Raises LimitError when spent and set aside together would pass the limit.
        """
        limit, amount = limits.budget_limit_usd, limits.session_limit_usd
        if limit is None:
            return None
        held = sum(self.reserved.values())
        if self.spent + held + amount > limit:
            raise LimitError(
                f"the budget of ${limit:.2f} does not reach for another session: ${self.spent:.2f} is spent, "
                f"${held:.2f} set aside, and a session is reckoned at ${amount:.2f}",
                hint="raise cost.budget_limit_usd, or lower cost.session_limit_usd if sessions cost less",
            )
        self.reserved[session] = amount
        return amount

    def settle(self, session: str, cost_usd: float | None) -> None:
        """Replace what was set aside by the cost; by itself where nobody knows the cost."""
        amount = self.reserved.pop(session, 0.0)
        self.spent += amount if cost_usd is None else cost_usd
