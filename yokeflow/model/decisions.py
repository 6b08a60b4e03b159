"""What plugins decide, and what they are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


@dataclass(frozen=True, slots=True)
class Profile:
    """A role in which an agent works: who takes it, what it is told and what it may touch."""

    name: str
    #: Why this profile was chosen for the task.
    reason: str = ""
    #: The agent that takes the role; empty for the one that would do the task anyway.
    agent: str = ""
    instructions: str = ""
    #: Rules of conduct.
    always: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    #: The effective ones: shared and custom, without the disabled.
    skills: tuple[str, ...] = ()
    #: The model of this role; empty leaves the choice to the model-selection plugin.
    model: str = ""
    #: Tiers between which the model is chosen; empty for no bound.
    lowest_tier: str = ""
    highest_tier: str = ""
    #: Globs of what it may change; empty for everything.
    may_change: tuple[str, ...] = ()
    #: Globs of what it must not change.
    must_not_change: tuple[str, ...] = ()
    #: Profile that takes over when this one has failed; empty for none.
    escalates_to: str = ""


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """Which model does an attempt, and why."""

    #: As the agent's command line wants it; empty means the agent's own default.
    model: str
    reason: str
    #: `fast`, `balanced`, `powerful`; empty when the model belongs to none.
    tier: str = ""
    #: What the choice was made of, as JSON: stored with the session and shown by `yoke models why`.
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BudgetLeft:
    """The tightest of the budgets that an attempt falls under."""

    #: `task`, `epic`, `run` or `day`
    scope: str
    #: `usd`, `tokens` or `sessions`
    unit: str
    limit: float
    #: Spent and set aside.
    used: float

    @property
    def fraction(self) -> float:
        """Share of the limit that is left, from 0 to 1."""
        return max(0.0, 1.0 - self.used / self.limit) if self.limit else 0.0


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a person may want to hear of while nobody watches."""

    #: Type of the event: `intervention.opened`, `run.finished`, `budget.warned` or `budget.exceeded`.
    type: str
    #: One sentence, without secrets.
    text: str
    project: str = ""
    #: UUID of the run.
    run: str = ""
    #: The task or epic it is about; empty for the run as a whole.
    item: str = ""
    #: Kind of intervention, or the run's state.
    kind: str = ""
    #: A command that a person can type next.
    command: str = ""
    #: When it happened, as ISO 8601.
    at: str = ""
    #: How urgent it is, for whoever sorts: a person has to act.
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Reservation:
    """What is set aside for one session."""

    usd: float | None = None
    tokens: int | None = None
    #: Dollars after which the session is stopped at once, whatever the budget; None for no cap.
    cap_usd: float | None = None
