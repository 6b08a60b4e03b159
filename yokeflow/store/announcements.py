"""Hear that events of a project were applied. Does not import SQLAlchemy."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from yokeflow.store.address import shown
from yokeflow.store.driver import CONNECTION_ERRORS, ConnectionLostError, connection, unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: The channel on which every batch is announced, with the project's id.
CHANNEL = "yoke_events"


_HINT = "start the command again"


class Announced(Protocol):
    """Waits for the next announcement."""

    async def __call__(self, timeout: float | None = None) -> None:
        """Return when a batch was applied since the last call, or after `timeout` seconds.

        Raises ConnectionLostError when the server goes away.
        """
        ...


@asynccontextmanager
async def announcements(url: str, project_id: str) -> AsyncIterator[Announced]:
    """Listen while the block runs; what is applied before the first call counts too."""
    announced = asyncio.Event()

    def hear(_connection: object, _pid: int, _channel: str, payload: object) -> None:
        if payload == project_id:
            announced.set()

    # A connection of its own: those of a pool are in transactions or closed when they idle.
    async with connection(url) as listener:
        listener.add_termination_listener(lambda _connection: announced.set())
        try:
            await listener.add_listener(CHANNEL, hear)
        except CONNECTION_ERRORS as error:
            raise ConnectionLostError(unreachable(url, error).message, hint=_HINT) from error

        async def wait(timeout: float | None = None) -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await announced.wait()
            announced.clear()
            if listener.is_closed():
                raise ConnectionLostError(f"the connection to {shown(url)} was lost", hint=_HINT)

        yield wait
