"""One run per project: a file lock that the operating system gives back when its holder dies."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from yokeflow.errors import DocumentError, GitError, ProjectBusyError, RepositoryError
from yokeflow.files import remove_left

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from yokeflow.engine.project import Project
    from yokeflow.model import Plan

#: Tries to take the lock, and seconds between them.
_TRIES = 30
_PAUSE = 0.01


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a project."""

    pid: int
    host: str
    run: str
    since: str


@contextmanager
def hold_project(path: Path, run: str) -> Iterator[None]:
    """Hold the project's lock file while the block runs; what was left half written beside it goes away.

    Raises ProjectBusyError when another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _take(descriptor):
            raise _busy(_read(descriptor))
        mine = Holder(os.getpid(), socket.gethostname(), run, datetime.now(UTC).isoformat(timespec="seconds"))
        remove_left(path.parent)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(mine)).encode(), 0)
        try:
            yield
        finally:
            # With no name in it, nobody has to try the lock to see that it is free.
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    """Take the lock; whoever only looks at it has it for an instant, so one refusal says nothing."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_PAUSE)
        else:
            return True
    return False


def holder(path: Path) -> Holder | None:
    """Who holds the project right now; None when nobody does."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if os.fstat(descriptor).st_size == 0:
            return None
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor) or Holder(0, "", "", "")
    finally:
        os.close(descriptor)
    return None


async def when_idle(project: Project, work: Callable[[Plan], Awaitable[object]]) -> None:
    """Do `work` with the project held; where a run holds it or its plan cannot be read, that is for later."""
    # Who holds the project may be this very process, which a wait would not help.
    if holder(project.lock_file) is not None:
        return
    try:
        plan = project.load_plan()
        with hold_project(project.lock_file, ""):
            await work(plan)
    except (ProjectBusyError, DocumentError, GitError, RepositoryError):
        return


def _read(descriptor: int) -> Holder | None:
    try:
        return Holder(**json.loads(os.pread(descriptor, 4096, 0)))
    except (ValueError, TypeError):
        # The holder has the lock and has not written its name yet.
        return None


def _busy(by: Holder | None) -> ProjectBusyError:
    who = f"process {by.pid} on {by.host} since {by.since}" if by else "another process"
    return ProjectBusyError(
        f"a run of this project is already going on ({who})",
        hint="watch it with `yoke status --watch`, stop it with `yoke cancel`, or wait for its end",
    )
