"""The one way by which facts leave the engine: journal first, then everybody who listens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from yokeflow.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Appendable(Protocol):
    """What events are written to first."""

    def append(self, *events: Event) -> None:
        """Add events, all or none of them."""
        ...


class Recorder:
    """Appends events to the journal and hands them on, in order."""

    def __init__(
        self, run: str, journal: Appendable, listeners: Iterable[Callable[[Event], None]] = ()
    ) -> None:
        self.run = run
        self._journal = journal
        self._listeners = list(listeners)

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Call `listener` with every event from here on."""
        self._listeners.append(listener)

    def emit(self, type_: str, *, epic: str = "", task: str = "", session: str = "", **data: Any) -> Event:
        """Record one fact."""
        event = self.event(type_, epic=epic, task=task, session=session, **data)
        self.record(event)
        return event

    def event(self, type_: str, *, epic: str = "", task: str = "", session: str = "", **data: Any) -> Event:
        """A fact of this run that is not recorded yet."""
        return Event(type_, run=self.run, epic=epic, task=task, session=session, data=data)

    def record(self, *events: Event) -> None:
        """Record facts that must be known together or not at all.

        Raises DiskFullError when they cannot be written.
        """
        self._journal.append(*events)
        for event in events:
            for listener in self._listeners:
                listener(event)
