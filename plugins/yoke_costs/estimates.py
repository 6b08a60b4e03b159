"""What a session is likely to use, by what others like it have used."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from yoke_costs.amounts import Amount, Unit, micro

if TYPE_CHECKING:
    from collections.abc import Hashable

    from yokeflow.config import Cost
    from yokeflow.model import Attempt

#: Fewer sessions say nothing about the others.
FEWEST: Final = 5
#: Newer sessions push out the oldest of their group.
MOST: Final = 200
_SHARE: Final = 90


@dataclass(frozen=True, slots=True)
class Trait:
    """What makes sessions alike. Those of different agents never are: one may be free of charge."""

    agent: str = ""
    category: str = ""
    tier: str = ""
    model: str = ""

    @classmethod
    def of(cls, attempt: Attempt) -> Trait:
        """The traits of an attempt whose agent and model are chosen."""
        return cls(attempt.agent, attempt.task.category, attempt.tier, attempt.model)

    @property
    def groups(self) -> tuple[Hashable, ...]:
        """The groups it belongs to, the most alike first."""
        return (
            (self.agent, "tier", self.category, self.tier),
            (self.agent, "model", self.model),
            (self.agent, "category", self.category),
            (self.agent,),
        )


def _recent() -> deque[int]:
    return deque(maxlen=MOST)


@dataclass
class Estimates:
    """Sums of finished sessions, group by group; nine of ten stay below the estimate."""

    usd: dict[Hashable, deque[int]] = field(default_factory=lambda: defaultdict(_recent))
    tokens: dict[Hashable, deque[int]] = field(default_factory=lambda: defaultdict(_recent))

    def learn(self, trait: Trait, usd: int | None, tokens: int | None) -> None:
        """Take in a finished session; None is what nobody knows of it."""
        for group in trait.groups:
            if usd is not None:
                self.usd[group].append(usd)
            if tokens is not None:
                self.tokens[group].append(tokens)

    def estimate(self, trait: Trait, cost: Cost) -> Amount:
        """What to set aside for one session."""
        usd, tokens = self._learned("usd", trait), self._learned("tokens", trait)
        usd = micro(cost.session_limit_usd) if usd is None else usd
        if cost.session_cap_usd is not None:
            usd = min(usd, micro(cost.session_cap_usd))
        return Amount(usd, cost.session_limit_tokens if tokens is None else tokens, 1)

    def knows(self, trait: Trait, unit: Unit) -> bool:
        """Whether its estimate is learned."""
        return unit != "sessions" and self._learned(unit, trait) is not None

    def _learned(self, unit: Literal["usd", "tokens"], trait: Trait) -> int | None:
        samples = self.usd if unit == "usd" else self.tokens
        enough = (samples[group] for group in trait.groups if len(samples.get(group, ())) >= FEWEST)
        found = next(enough, None)
        return None if found is None else sorted(found)[-(-len(found) * _SHARE // 100) - 1]
