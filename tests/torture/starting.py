"""Ways to start `yoke`: as a program, or by the forge, which has it loaded already."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent
SOURCE = HERE.parents[1]
#: Where runs find our modules and those under test.
PATH = f"{HERE / 'inside'}:{SOURCE}:{SOURCE / 'plugins'}"


@dataclass(frozen=True)
class Command:
    """What to start."""

    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str]
    log: Path


class Started(Protocol):
    """What both ways give."""

    pid: int

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None before `poll` has seen the end."""

    def poll(self) -> int | None:
        """Look whether it has ended."""

    def send_signal(self, sig: int) -> None:
        """Send it a signal, if it is alive."""


def start(command: Command) -> Started:
    """Start a program of its own, which loads everything first."""
    with command.log.open("wb") as log:
        return subprocess.Popen(
            (sys.executable, "-m", "yokeflow", *command.argv),
            cwd=command.cwd,
            env=command.env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


@dataclass
class Forged:
    """A run that the forge started."""

    pid: int
    forge: Forge
    returncode: int | None = None

    def poll(self) -> int | None:
        """Look whether it has ended."""
        if self.returncode is None:
            self.returncode = self.forge.ended(self.pid)
        return self.returncode

    def send_signal(self, sig: int) -> None:
        """Send it a signal, if it is alive."""
        # Only a process that was not buried yet has this number for certain.
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, sig)


@dataclass
class Forge:
    """A process that forks runs; it is started when it is first needed."""

    _process: subprocess.Popen[bytes] | None = None
    _codes: dict[int, int] = field(default_factory=dict)
    _left: bytes = b""

    def start(self, command: Command) -> Forged:
        """Fork a run."""
        process = self._started()
        asked = {
            "argv": command.argv,
            "cwd": str(command.cwd),
            "env": dict(command.env),
            "log": str(command.log),
        }
        assert process.stdin is not None
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        process.stdin.flush()
        until = time.monotonic() + 60
        while time.monotonic() < until:
            for word, *numbers in self._read(1.0):
                if word == "+":
                    return Forged(int(numbers[0]), self)
        raise TimeoutError("the forge does not answer")

    def ended(self, pid: int) -> int | None:
        """The exit code of a run; None while it is alive."""
        self._read(0)
        return self._codes.pop(pid, None)

    def close(self) -> None:
        """End the forge."""
        if self._process is not None:
            with self._process:
                assert self._process.stdin is not None
                self._process.stdin.close()
                self._process.send_signal(signal.SIGTERM)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            env = {**os.environ, "PYTHONPATH": PATH, "PYTHONFAULTHANDLER": "1"}
            self._process = subprocess.Popen(
                (sys.executable, str(HERE / "inside/forge.py")),
                env=env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        return self._process

    def _read(self, timeout: float) -> list[list[str]]:
        """What the forge says; the ends of runs are remembered."""
        assert self._process is not None
        assert self._process.stdout is not None
        if not select.select((self._process.stdout,), (), (), timeout)[0]:
            return []
        self._left += os.read(self._process.stdout.fileno(), 65536)
        *lines, self._left = self._left.split(b"\n")
        said = [line.decode().split() for line in lines]
        self._codes |= {int(words[1]): int(words[2]) for words in said if words[0] == "-"}
        return said
