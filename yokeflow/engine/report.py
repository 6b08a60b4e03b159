"""What a finished run tells."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yokeflow.errors import ExitCode
    from yokeflow.model import LandingStatus


@dataclass(frozen=True, slots=True)
class Landed:
    """An epic that reached the target branch in this run."""

    epic: str
    commit: str
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LandingResult:
    """How the landing of one epic ended."""

    epic: str
    status: LandingStatus
    #: The landing commit; empty unless landed.
    commit: str = ""
    #: Kind of intervention that is to be opened: `conflict`, `red_check`, `checkout`; empty when landed.
    waits: str = ""
    reason: str = ""
    #: What the failed check printed last, or what git says about a conflict.
    output: str = ""
    #: How long the checks of what landed took.
    seconds: float = 0.0
    #: Of a conflict: its paths, where the target was, and the tip of the epic's branch.
    files: tuple[str, ...] = ()
    old: str = ""
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that waits for a person."""

    intervention: str
    kind: str
    #: Id of an epic or a task.
    item: str
    reason: str
    choices: tuple[str, ...]
    #: What belongs to the question: of an approval its `stage`, `commits` and `kept_ref`.
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunReport:
    """The result of one run."""

    run: str
    #: `completed`, `failed` or `cancelled`
    state: str
    exit_code: ExitCode
    reason: str
    target: str
    #: Seconds on the clock.
    seconds: float
    #: Seconds of the sessions and landing checks whose work counts: what one at a time would have taken.
    work_seconds: float
    #: Dollars of the sessions that know their cost; None when none does.
    cost_usd: float | None
    #: Sessions whose cost nobody knows.
    unknown_costs: int
    completed: tuple[str, ...]
    #: Reason by task that failed for good.
    failed: Mapping[str, str]
    #: What each task that could not start waits for.
    blocked: Mapping[str, tuple[str, ...]]
    landed: tuple[Landed, ...]
    waiting: tuple[Waiting, ...]
