"""Pipes to other processes on the event loop, without a transport's ceremony for each."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCK = 65_536


class Reader:
    """Owns a descriptor that does not block; what comes goes straight to `take`, so nothing piles up."""

    def __init__(
        self, descriptor: int, take: Callable[[bytes], None], *, first: Callable[[], None] | None = None
    ) -> None:
        """Calls `first` before it closes the descriptor."""
        self._descriptor = descriptor
        self._take = take
        self._first = first
        self._loop = asyncio.get_running_loop()
        #: Done at the end of file, or when closed.
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(descriptor, self.read)

    def read(self) -> None:
        """Take what is there now."""
        if self.ended.done():
            return
        try:
            data = os.read(self._descriptor, _BLOCK)
        except BlockingIOError:
            return
        except ConnectionError:  # the other end has not read all that we wrote
            data = b""
        if data:
            self._take(data)
        else:
            self.close()

    def close(self) -> None:
        """Let go of the descriptor."""
        if not self.ended.done():
            self._loop.remove_reader(self._descriptor)
            if self._first is not None:
                self._first()
            os.close(self._descriptor)
            self.ended.set_result(None)


class Writer:
    """Writes to a descriptor that does not block, as fast as the other end reads, until that is gone."""

    def __init__(self, descriptor: int, data: bytes, *, then: Callable[[], None] | None = None) -> None:
        """Calls `then` once, when all is written or nobody reads it."""
        self._descriptor = descriptor
        self._left = memoryview(data)
        self._then = then
        self._loop = asyncio.get_running_loop()
        self._waiting = False
        self._write()

    def add(self, data: bytes) -> None:
        """Write this, too, after the rest."""
        self._left = memoryview(bytes(self._left) + data)
        if not self._waiting:
            self._write()

    def close(self) -> None:
        """Forget the rest. To be called before the descriptor is closed."""
        self._left = memoryview(b"")
        if self._waiting:
            self._loop.remove_writer(self._descriptor)
            self._waiting = False
        then, self._then = self._then, None
        if then is not None:
            then()

    def _write(self) -> None:
        try:
            self._left = self._left[os.write(self._descriptor, self._left) :]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            self._left = memoryview(b"")
        if not self._left:
            self.close()
        elif not self._waiting:
            self._loop.add_writer(self._descriptor, self._write)
            self._waiting = True
