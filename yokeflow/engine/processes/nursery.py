"""Our end of the nursery, the process that forks a supervisor for every agent and check."""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PROGRAM = Path(__file__).with_name("supervisor.py")


@dataclass(frozen=True, slots=True)
class Child:
    """Our ends of what leads to a supervisor and its program; they do not block, and are yours to close."""

    status: int
    stdout: int
    stderr: int
    #: None where the program reads nothing.
    stdin: int | None


class Nursery:
    """Started when it is first needed and again when it was killed; ends with this process at the latest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def bear(self, *, feed: bool) -> Child:
        """A new supervisor, which waits for a `request`. Its program gets an empty input unless we `feed` it.

        Raises OSError.
        """
        theirs: list[int] = []
        ours: list[int] = []
        try:
            for make in (_socketpair, _feed if feed else _nothing, os.pipe, os.pipe):
                mine, other = make()
                ours.append(mine)
                theirs.append(other)
            for mine in ours:
                if mine >= 0:
                    os.set_blocking(mine, False)
            self._hand_over(theirs)
        except BaseException:
            _close(ours)
            raise
        finally:
            _close(theirs)
        status, stdin, stdout, stderr = ours
        return Child(status, stdout, stderr, stdin if feed else None)

    def close(self) -> None:
        """End it, and all that it supervises."""
        with self._lock:
            self._end()

    def _hand_over(self, descriptors: Sequence[int]) -> None:
        with self._lock:
            if self._socket is not None:
                try:
                    socket.send_fds(self._socket, [b"+"], descriptors)
                except ConnectionError:
                    self._end()
                else:
                    return
            socket.send_fds(self._start(), [b"+"], descriptors)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    (sys.executable, "-I", "-S", "-E", str(_PROGRAM), str(os.getpid())),
                    cwd="/",
                    env={},
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        self._socket = ours
        return ours

    def _end(self) -> None:
        if self._socket is not None and self._process is not None:
            self._socket.close()
            self._process.kill()
            self._process.wait()
        self._socket = self._process = None


def request(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], stop_signal: int, grace: float
) -> bytes:
    """What to write to the status socket of a new supervisor.

    Raises ValueError when no program can be given such words.
    """
    if not argv:
        raise ValueError("the command line is empty")
    if any(not name or "=" in name for name in env):
        raise ValueError("illegal environment variable name")
    variables = (f"{name}={value}" for name, value in env.items())
    head = (int(stop_signal), float(grace), cwd.absolute(), len(argv))
    words = [os.fsencode(str(word)) for word in (*head, *argv, *variables)]
    if any(b"\0" in word for word in words):
        raise ValueError("embedded null byte")
    body = b"\0".join(words)
    return len(body).to_bytes(4, "big") + body


def _socketpair() -> tuple[int, int]:
    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()


def _feed() -> tuple[int, int]:
    reader, writer = os.pipe()
    return writer, reader


def _nothing() -> tuple[int, int]:
    return -1, os.open(os.devnull, os.O_RDONLY)


def _close(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)


#: That of this process, for all its event loops.
NURSERY = Nursery()
atexit.register(NURSERY.close)
