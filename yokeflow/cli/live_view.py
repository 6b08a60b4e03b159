"""The live view: paints the state of a run on the terminal, a few times a second at most."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.live import Live

from yokeflow.cli.live_frame import frame

if TYPE_CHECKING:
    from types import TracebackType

    from rich.text import Text

    from yokeflow.cli.live import LiveState
    from yokeflow.events import Event

#: Seconds between two pictures: no faster than the first, no slower than the second.
_SOONEST = 0.1
_LATEST = 1.0


class LiveView:
    """Shows a run while it is entered; the terminal is as before afterwards.

    Call it with each event.
    """

    def __init__(self, state: LiveState, console: Console | None = None) -> None:
        self.state = state
        #: Shown at the bottom instead of the usual help.
        self.notice = ""
        self._console = console or Console(highlight=False)
        self._live = Live(
            console=self._console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._changed = asyncio.Event()
        self._shown: tuple[tuple[int, int], list[Text]] | None = None
        self._painter: asyncio.Task[None] | None = None

    def __call__(self, event: Event) -> None:
        """Take in an event; painting follows."""
        self.state.apply(event)
        self._changed.set()

    def say(self, notice: str) -> None:
        """Show something at the bottom from now on."""
        self.notice = notice
        self._changed.set()

    async def __aenter__(self) -> Self:
        # The terminal may be gone already; the run goes on without.
        with suppress(OSError):
            self._live.start()
        self._painter = asyncio.create_task(self._paint())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._painter is not None:
            self._painter.cancel()
            with suppress(asyncio.CancelledError):
                await self._painter
        with suppress(OSError):
            self._live.stop()

    async def _paint(self) -> None:
        while True:
            self._changed.clear()
            try:
                self._draw()
            except OSError:
                return  # the terminal is gone, and the run goes on without
            await asyncio.sleep(_SOONEST)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), _LATEST - _SOONEST)

    def _draw(self) -> None:
        size = self._console.size
        lines = frame(self.state, datetime.now(UTC), size.width, size.height, self.notice)
        key = ((size.width, size.height), lines)
        if key != self._shown:
            self._shown = key
            self._live.update(Group(*lines), refresh=True)
