"""What is known of a project while a run goes on, so that the store is not asked again for each session."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final

from yoke_expertise.turns import Turns

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from yokeflow.hookspecs import Host

#: Seconds for which it is believed that there are no lessons: another process may have added some.
LOOK_AGAIN: Final = 30.0
#: Runs of one process that are remembered.
_MOST: Final = 8


@dataclass(slots=True)
class Remembered:
    """What one run knows of its project."""

    turns: Turns = field(default_factory=Turns)
    #: When the latest of the uses was settled by which lessons were last judged; None before that.
    judged: datetime | None = None
    #: Reflections in a row that were dropped, since their answers made no sense.
    dropped: int = 0
    #: There is a lesson that may be told.
    _lessons: bool = False
    _looked: float = -inf
    #: It cannot be time to revise before then, nor before so many sessions have ended.
    _revise_at: float = -inf
    _sessions_left: int = 0

    @property
    def has_lessons(self) -> bool | None:
        """Whether the project has a lesson to tell; None when that must be looked up."""
        return True if self._lessons else False if monotonic() - self._looked < LOOK_AGAIN else None

    def found(self, *, lessons: bool) -> None:
        """Remember what was looked up in the store just now."""
        self._lessons, self._looked = lessons, monotonic()

    def saved(self) -> None:
        """Remember that a lesson was saved; the first one there is may make a revision due."""
        if not self._lessons:
            self._lessons, self._revise_at, self._sessions_left = True, -inf, 0

    def wait(self, seconds: float, sessions: int) -> None:
        """Remember what must pass before it is time to revise."""
        self._revise_at, self._sessions_left = monotonic() + seconds, sessions

    def session_ended(self) -> None:
        """Count a session that may have made a revision due."""
        self._sessions_left -= 1

    @property
    def may_be_due(self) -> bool:
        """Whether the store must be asked if it is time to revise."""
        return monotonic() >= self._revise_at and self._sessions_left <= 0


_runs: OrderedDict[tuple[str, UUID], Remembered] = OrderedDict()


def remembered(host: Host) -> Remembered:
    """What the host's run knows; nothing outside of a run."""
    if not host.run:
        return Remembered()
    known = _runs.setdefault((host.run, host.project_id), Remembered())
    while len(_runs) > _MOST:
        _runs.popitem(last=False)
    return known


def forget(host: Host) -> None:
    """Begin anew: between runs, anybody may have changed anything."""
    _runs.pop((host.run, host.project_id), None)
