"""Those who are told notices: each one after the other at its own pace, and none in the way of a run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from yokeflow.engine.secrets.redact import redact
from yokeflow.errors import YokeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from yokeflow.engine.recorder import Recorder

#: Failures in a row after which one is left alone for the rest of the run.
_FAILURES = 3


class Receiver:
    """One that is told: a plugin, or one of the ways that a plugin has."""

    def __init__(self, plugin: str, way: str, recorder: Recorder) -> None:
        self._plugin = plugin
        self._way = way
        self._recorder = recorder
        self._queue: asyncio.Queue[Callable[[], Awaitable[Any]]] = asyncio.Queue()
        self._untold = 0
        self._failures = 0
        self._left_out = 0
        self._task = asyncio.create_task(self._work(), name=f"notices of {plugin} {way}".strip())

    def tell(self, start: Callable[[], Awaitable[Any]]) -> None:
        """Call this, and wait for it, once everything before has been told."""
        self._untold += 1
        self._queue.put_nowait(start)

    async def all_told(self) -> None:
        """Wait until nothing is left."""
        await self._queue.join()

    async def aclose(self) -> None:
        """Give up on what is left, and say how much that was."""
        self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            # It ended by itself, and that is told as what it left untold.
            self._task.exception()
        if self._left_out:
            self._failed(f"{_notices(self._left_out)} not told after {_FAILURES} failures in a row")
        if self._untold:
            self._failed(f"{_notices(self._untold)} not told before the run was over")

    async def _work(self) -> None:
        while True:
            start = await self._queue.get()
            if self._failures < _FAILURES:
                await self._tell(start)
            else:
                self._left_out += 1
            self._untold -= 1
            self._queue.task_done()

    async def _tell(self, start: Callable[[], Awaitable[Any]]) -> None:
        try:
            await start()
        except YokeError as error:
            self._failures += 1
            self._failed(error.message)
        else:
            self._failures = 0

    def _failed(self, reason: str) -> None:
        way = f"{self._way}: " if self._way and f"{self._way}: " not in reason else ""
        self._recorder.emit(
            "plugin.failed", plugin=self._plugin, hook="notify", error=redact(f"{way}{reason}")
        )


def _notices(number: int) -> str:
    return "1 notice was" if number == 1 else f"{number} notices were"
