"""Sessions that end at the same time are learned from in one go, by the one whose turn it is."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Final

from yokeflow.errors import StoreError
from yokeflow.store.driver import ConnectionLostError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from yoke_expertise.gathering import Ended

    #: Learns from several sessions, all or none.
    Work = Callable[[Sequence[Ended]], Awaitable[None]]

#: Seconds between two goes, in which sessions gather; less when none is left that could join.
_PAUSE: Final = 0.2


@dataclass(slots=True, eq=False)
class _Waiting:
    ended: Ended
    #: It was in a go that failed, maybe because of it.
    alone: bool = False
    done: bool = False
    lost: ConnectionLostError | None = None


@dataclass(slots=True)
class Turns:
    """The sessions of one run that wait to be learned from."""

    #: Sessions that still work.
    _working: set[str] = field(default_factory=set)
    _idle: asyncio.Event = field(default_factory=asyncio.Event)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _waiting: list[_Waiting] = field(default_factory=list)
    _next: float = 0.0

    def began(self, session: str) -> None:
        """Expect a session to end while others wait."""
        self._working.add(session)
        self._idle.clear()

    def ended(self, session: str) -> None:
        """Expect it no more."""
        self._working.discard(session)
        if not self._working:
            self._idle.set()

    @property
    def busy(self) -> bool:
        """Whether somebody has the turn."""
        return self._lock.locked()

    async def take(self, ended: Ended, work: Work) -> None:
        """Learn from a session, together with those that wait; returns when it was, by whomever.

        When several cannot be learned from together, each is by itself, and raises what is wrong with it.
        When the connection is lost, it is for all. One that is cancelled is left out or learned from.
        """
        mine = _Waiting(ended)
        self._waiting.append(mine)
        try:
            async with self._lock:
                if mine.lost is not None:
                    raise ConnectionLostError(mine.lost.message, hint=mine.lost.hint)
                if not mine.done:
                    await self._go(mine, work)
        finally:
            ended.here = False
            self._waiting.remove(mine)

    async def _go(self, mine: _Waiting, work: Work) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(max(self._next - monotonic(), 0)):
                await self._idle.wait()
        several = [mine] if mine.alone else [each for each in self._waiting if not (each.alone or each.done)]
        try:
            await self._try(several, work)
        except ConnectionLostError:
            raise
        except StoreError:
            if len(several) == 1:
                raise
            await self._try([mine], work)
        finally:
            self._next = monotonic() + _PAUSE

    async def _try(self, several: Sequence[_Waiting], work: Work) -> None:
        for each in several:
            each.alone = True
        try:
            await work([each.ended for each in several])
        except ConnectionLostError as error:
            for each in several:
                each.lost = error
            raise
        for each in several:
            each.done = True
