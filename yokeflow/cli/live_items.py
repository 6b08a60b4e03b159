"""The tasks and epics of a run as far as it got with them, and what it asked people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from yokeflow.model import Epic, Task


class Phase(StrEnum):
    """Where a task is on its way."""

    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    CHECKING = "checking"
    DONE = "done"
    FAILED = "failed"
    BLOCKED = "blocked"
    SKIPPED = "skipped"


ACTIVE = frozenset({Phase.RUNNING, Phase.CHECKING})
#: A hard successor need not wait for a task in one of these.
SATISFIED = frozenset({Phase.DONE, Phase.SKIPPED})
#: Nothing has begun, and something must happen elsewhere before it can.
IDLE = frozenset({Phase.WAITING, Phase.BLOCKED})


@dataclass(slots=True)
class LiveTask:
    """One task of the plan as far as the run got with it."""

    task: Task
    #: Predecessors as the plan names them, those of its epic too.
    predecessors: tuple[str, ...]
    phase: Phase = Phase.WAITING
    #: It was done or skipped in an earlier run.
    earlier: bool = False
    attempt: int = 0
    agent: str = ""
    model: str = ""
    lane: str = ""
    #: When the session in progress started.
    started: datetime | None = None
    #: Seconds of all finished sessions.
    seconds: float = 0.0
    #: Dollars of all finished sessions whose cost is known; None while there is none.
    cost: float | None = None
    #: At least one finished session did not say what it cost.
    cost_unknown: bool = False
    #: Why the last attempt did not count, or what blocks it.
    reason: str = ""
    commit: str = ""


@dataclass(slots=True)
class LiveEpic:
    """One epic and its way onto the target branch."""

    epic: Epic
    tasks: list[LiveTask]
    #: A LandingStatus, or empty before it is queued.
    landing: str = ""
    #: When it became that.
    landing_started: datetime | None = None
    commit: str = ""
    reason: str = ""

    @property
    def settled(self) -> bool:
        """Nothing more happens to it by itself."""
        return self.landing == "landed" or all(task.phase is Phase.SKIPPED for task in self.tasks)

    @property
    def finished(self) -> bool:
        """All of its tasks are done or skipped."""
        return all(task.phase in SATISFIED for task in self.tasks)

    @property
    def active(self) -> bool:
        """A session or its landing is under way."""
        return self.landing in ("queued", "testing") or any(task.phase in ACTIVE for task in self.tasks)

    @property
    def stalled(self) -> bool:
        """It is not finished, and nothing of it can start."""
        return not self.finished and all(task.phase in SATISFIED | IDLE for task in self.tasks)

    @property
    def troubled(self) -> bool:
        """Somebody has to look at it."""
        lost = any(task.phase is Phase.FAILED for task in self.tasks)
        return lost or self.landing in ("rejected", "conflict")

    @property
    def untouched(self) -> bool:
        """Nothing of it has happened in this run."""
        return not self.landing and all(task.phase in IDLE or task.earlier for task in self.tasks)

    def done(self) -> int:
        """Number of its tasks that nothing waits for any more."""
        return sum(task.phase in SATISFIED for task in self.tasks)


@dataclass(frozen=True, slots=True)
class Landing:
    """An epic that reached the target branch in this run."""

    epic: str
    commit: str
    at: datetime
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """An open intervention."""

    id: str
    kind: str
    item: str
    #: The item is an epic, not a task.
    of_epic: bool
    reason: str
    choices: tuple[str, ...]
    opened: datetime
