"""What a finished run tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yokeflow.errors import ExitCode


@dataclass(frozen=True, slots=True)
class Landed:
    """An epic that reached the target branch in this run."""

    epic: str
    commit: str
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something that waits for a person."""

    intervention: str
    kind: str
    #: Id of an epic or a task.
    item: str
    reason: str
    choices: tuple[str, ...]


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
    #: Seconds of the sessions whose work counts, added up: what one at a time would have taken.
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
