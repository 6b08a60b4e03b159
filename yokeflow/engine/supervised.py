"""Talk to one running supervisor: feed its program, listen to it, end it."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import IO, TYPE_CHECKING, Any, Literal

from yokeflow.engine.environment import sweep

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from yokeflow.engine.transcript import Lines, Transcript

#: Seconds that a supervisor may take for what should take it milliseconds.
_PATIENCE = 2.0

Why = Literal["exited", "timeout", "silence", "stopped", "unstartable"]


class _Pipe(asyncio.Protocol):
    """One end of a pipe; what it reads goes straight to `take`, so nothing piles up."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self.transport: asyncio.BaseTransport | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._take(data)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


class Supervised:
    """A supervisor and the pipes to it. Nothing of its program is left once it has closed the status pipe."""

    def __init__(
        self, popen: subprocess.Popen[bytes], status: IO[bytes], kept: Transcript, mark: tuple[str, str]
    ) -> None:
        self._popen = popen
        self._files = (status, popen.stdout, popen.stderr, popen.stdin)
        self._kept = kept
        self._mark = mark
        self._heard = self._started = time.monotonic()
        self._said = b""
        self._status = _Pipe(self._take_status)
        self._outputs: list[_Pipe] = []
        self._input: _Pipe | None = None
        self._lines: tuple[Lines, ...] = ()
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._error: Exception | None = None

    @property
    def refusal(self) -> str:
        """Why the program did not start; empty when it did."""
        said = self._said.decode(errors="replace")
        return said[1:].partition("\n")[0] if said.startswith("!") else ""

    @property
    def code(self) -> int:
        """The program's exit code, negative for a signal; that of SIGKILL where the supervisor was killed."""
        said = self._said.split()
        return int(said[-1]) if said and not self.refusal else -signal.SIGKILL

    async def connect(self, stdin: bytes, out: Lines, err: Lines) -> None:
        """Feed the program and listen to it."""
        loop = asyncio.get_running_loop()
        status, stdout, stderr, feed = self._files
        self._lines = (out, err)
        await loop.connect_read_pipe(lambda: self._status, status)
        for stream, lines in ((stdout, out), (stderr, err)):
            pipe = self._listener(lines)
            self._outputs.append(pipe)
            await loop.connect_read_pipe(lambda pipe=pipe: pipe, stream)  # type: ignore[misc]
        if stdin:
            pipe = self._input = _Pipe(lambda _data: None)
            writer, _ = await loop.connect_write_pipe(lambda: pipe, feed)
            writer.write(stdin)
            writer.write_eof()

    async def watch(self, timeout: float | None, silence: float | None, stop: asyncio.Event | None) -> Why:
        """Wait for the end of the program, or for a reason to end it."""
        stopped = asyncio.ensure_future((stop or asyncio.Event()).wait())
        waits: set[asyncio.Future[Any]] = {self._status.ended, self._broken, stopped}
        try:
            while True:
                if self._status.ended.done():
                    return "exited"
                if stopped.done() or self._broken.done():
                    return "stopped"
                now = time.monotonic()
                if timeout and now >= self._started + timeout:
                    return "timeout"
                if silence and now >= self._heard + silence:
                    return "silence"
                ends = [self._started + timeout] if timeout else []
                ends += [self._heard + silence] if silence else []
                pause = min(ends) - now if ends else None
                await asyncio.wait(waits, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()

    async def end(self, grace: float) -> None:
        """Have it stop cleanly, then by force; at once when its output cannot be kept."""
        self._popen.send_signal(signal.SIGHUP if self._broken.done() else signal.SIGTERM)
        await asyncio.wait({self._status.ended}, timeout=grace + _PATIENCE)

    async def close(self) -> None:
        """Kill what is still there, read the rest, let go of everything.

        Raises what went wrong with the output.
        """
        try:
            if not self._status.ended.done():
                self._popen.send_signal(signal.SIGHUP)
                await asyncio.wait({self._status.ended}, timeout=_PATIENCE)
            if not self._said:  # it was killed itself, so what it watched has other parents now
                await asyncio.to_thread(sweep, *self._mark)
            if self._outputs:  # all that could write is dead: this reads up to the end of file
                await asyncio.wait({pipe.ended for pipe in self._outputs}, timeout=1)
        finally:
            if not self._status.ended.done():
                self._popen.kill()
            self._popen.wait()
            await self._release()
        for lines in self._lines:
            self._guard(lambda lines=lines: self._kept.write(lines.finish()))  # type: ignore[misc]
        if self._error is not None:
            raise self._error

    async def _release(self) -> None:
        every = (*self._outputs, self._input, self._status)
        pipes = [pipe for pipe in every if pipe and pipe.transport and not pipe.ended.done()]
        for pipe in pipes:
            if isinstance(pipe.transport, asyncio.WriteTransport):
                pipe.transport.abort()
            elif pipe.transport is not None:
                pipe.transport.close()
        if pipes:
            await asyncio.wait({pipe.ended for pipe in pipes}, timeout=1)
        for file in self._files:
            if file is not None:
                file.close()

    def _listener(self, lines: Lines) -> _Pipe:
        def take(data: bytes) -> None:
            self._heard = time.monotonic()
            if self._error is None:
                self._guard(lambda: self._kept.write(lines.feed(data)))

        return _Pipe(take)

    def _take_status(self, data: bytes) -> None:
        self._said += data

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - a reader is a plugin's: its error ends the session and is raised
            self._error = self._error or error
            if not self._broken.done():
                self._broken.set_result(None)
