"""Inside the orchestrator: death at the n-th record of the journal, or the n-th change of a file or process.

`TORTURE_DIE` is `record:N:before`, `record:N:torn`, `record:N:after` or `change:N:before`.
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from pathlib import Path
from typing import Any

_CHANGES = frozenset(
    (
        *("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink"),
        *("os.chmod", "os.utime", "subprocess.Popen", "os.kill", "os.killpg", "shutil.rmtree", "shutil.move"),
        *("fcntl.flock", "socket.connect"),
    )
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _at_records(number: int, mode: str) -> None:
    write, counted = os.write, count(1)

    def dying(descriptor: int, data: Any) -> int:
        try:
            journal = Path(f"/proc/self/fd/{descriptor}").readlink().name == "journal.jsonl"
        except OSError:
            journal = False
        if not journal or next(counted) != number:
            return write(descriptor, data)
        if mode == "after":
            write(descriptor, data)
        elif mode == "torn":
            write(descriptor, bytes(data)[: len(data) // 2])
        _die()
        return 0

    os.write = dying


def _at_changes(number: int) -> None:
    counted = count(1)

    def watch(event: str, args: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(args[2], int) and args[2] & _WRITING
        if (writes or event in _CHANGES) and next(counted) == number:
            _die()

    sys.addaudithook(watch)


def begin() -> None:
    """Lie in wait, if the environment says so."""
    if "TORTURE_DIE" not in os.environ:
        return
    what, number, mode = os.environ["TORTURE_DIE"].split(":")
    if what == "record":
        _at_records(int(number), mode)
    else:
        _at_changes(int(number))


begin()
