"""Talk to one running supervisor: feed its program, listen to it, end it."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from yokeflow.engine.processes.environment import sweep
from yokeflow.engine.processes.pipes import Reader, Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from yokeflow.engine.processes.nursery import Child
    from yokeflow.engine.processes.transcript import Lines, Transcript

#: Seconds that a supervisor may take for what should take it milliseconds.
#: Seconds for a program to stop cleanly when every second costs money.
_HURRY = 1.0
_PATIENCE = 2.0

Why = Literal["exited", "timeout", "silence", "stopped", "unstartable"]


class Supervised:
    """A supervisor and the ways to it. Nothing of its program is left once it has closed its status."""

    def __init__(self, child: Child, request: bytes, kept: Transcript, mark: tuple[str, str]) -> None:
        """Takes over the descriptors of `child`."""
        self._child = child
        self._kept = kept
        self._mark = mark
        self._heard = self._started = time.monotonic()
        self._said = b""
        self._orders = Writer(child.status, request)
        self._status = Reader(child.status, self._take_status, first=self._orders.close)
        self._outputs: tuple[Reader, ...] = ()
        self._input: Writer | None = None
        self._lines: tuple[Lines, ...] = ()
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._error: Exception | None = None

    @property
    def refusal(self) -> str:
        """Why the program did not start; empty when it did."""
        ending = self._ending
        return ending[1:].partition("\n")[0] if ending.startswith("!") else ""

    @property
    def code(self) -> int:
        """The program's exit code, negative for a signal; that of SIGKILL where the supervisor was killed."""
        ending = self._ending
        return int(ending) if ending and not self.refusal else -signal.SIGKILL

    def connect(self, stdin: bytes, out: Lines, err: Lines) -> None:
        """Feed the program and listen to it."""
        self._lines = (out, err)
        ends = ((self._child.stdout, out), (self._child.stderr, err))
        self._outputs = tuple(self._listener(descriptor, lines) for descriptor, lines in ends)
        descriptor = self._child.stdin
        if descriptor is not None:
            self._input = Writer(descriptor, stdin, then=lambda: os.close(descriptor))

    async def watch(self, timeout: float | None, silence: float | None, stop: asyncio.Event | None) -> Why:
        """Wait for the end of the program, or for a reason to end it."""
        waits: set[asyncio.Future[Any]] = {self._status.ended, self._broken}
        stopped = asyncio.ensure_future(stop.wait()) if stop else None
        if stopped:
            waits.add(stopped)
        try:
            while True:
                if self._status.ended.done():
                    return "exited"
                if self._broken.done() or (stopped and stopped.done()):
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
            if stopped:
                stopped.cancel()

    async def end(self, grace: float, *, hurry: bool = False) -> None:
        """Have it stop cleanly, then by force; at once when its output cannot be kept."""
        self._orders.add(b"K" if self._broken.done() else b"T")
        if hurry:
            await asyncio.wait({self._status.ended}, timeout=min(grace, _HURRY))
            if not self._status.ended.done():
                self._orders.add(b"K")
        await asyncio.wait({self._status.ended}, timeout=grace + _PATIENCE)

    async def close(self) -> None:
        """Kill what is still there, read the rest, let go of everything.

        Raises what went wrong with the output.
        """
        try:
            if not self._status.ended.done():
                self._orders.add(b"K")
                await asyncio.wait({self._status.ended}, timeout=_PATIENCE)
            if not self._ending:  # it was killed itself, so what it watched has other parents now
                await asyncio.to_thread(sweep, *self._mark)
            left = {pipe.ended for pipe in self._outputs if not pipe.ended.done()}
            if left:  # all that could write is dead: this reads up to the end of file
                await asyncio.wait(left, timeout=1)
        finally:
            self._kill()
            self._release()
        for lines in self._lines:
            self._guard(lambda lines=lines: self._kept.write(lines.finish()))  # type: ignore[misc]
        if self._error is not None:
            raise self._error

    @property
    def _ending(self) -> str:
        """What the supervisor said last, after its process id; empty when it did not come to that."""
        return self._said.decode(errors="replace").partition("\n")[2]

    def _kill(self) -> None:
        """End a supervisor that does not answer. While its socket is open, its process id is its own."""
        self._status.read()
        pid = self._said.partition(b"\n")[0]
        if pid and not self._status.ended.done():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    def _release(self) -> None:
        for end in (self._input, *self._outputs, self._status):
            if end is not None:
                end.close()

    def _listener(self, descriptor: int, lines: Lines) -> Reader:
        def take(data: bytes) -> None:
            self._heard = time.monotonic()
            if self._error is None:
                self._guard(lambda: self._kept.write(lines.feed(data)))

        return Reader(descriptor, take)

    def _take_status(self, data: bytes) -> None:
        self._said += data

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - a reader is a plugin's: its error ends the session and is raised
            self._error = self._error or error
            if not self._broken.done():
                self._broken.set_result(None)
