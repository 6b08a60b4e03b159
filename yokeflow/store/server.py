"""The server that holds the store: the one that is configured, or the embedded one, started when needed.

Does not import SQLAlchemy.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg
import psutil

from yokeflow.errors import StoreError
from yokeflow.store.address import normalise, of_socket, shown
from yokeflow.store.cluster import Cluster
from yokeflow.store.driver import CONNECTION_ERRORS, connect, connection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from yokeflow.config import Database

__all__ = [
    "ServerStatus",
    "embedded_address",
    "ensure_server",
    "normalise",
    "server_status",
    "stop_server",
]

#: The one database in the embedded server.
DATABASE = "yokeflow"
#: Seconds for a server to come up. Replaying a large log after a crash took 54 s.
_PATIENCE = 180.0
#: Starts that may end at once before we give up; leftovers of a killed server need a few.
_STARTS = 40
_PAUSE = 0.05
#: Seconds for the embedded server to answer.
_CONNECT = 5.0
#: Seconds for a new postmaster to write its pid file, and for a living one to show its socket.
_APPEARS = 3.0


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """What `yoke db status` tells about the server."""

    #: `embedded` or `url`
    kind: str
    running: bool
    #: Without the password.
    address: str
    #: Of the embedded server.
    pid: int | None = None
    folder: str | None = None
    #: Major version of PostgreSQL, when it runs.
    version: int | None = None
    #: Why it cannot be reached.
    reason: str = ""


def ensure_server(database: Database) -> str:
    """The store's address, as `postgresql+asyncpg://…`; starts the embedded server when none is configured.

    Blocks, and runs an event loop of its own: call it through a thread.
    Raises StoreError when the server cannot be reached or started, or is too old.
    """
    url = _configured(database)
    if url is not None:
        asyncio.run(_check(url, database.connect_timeout))
        return url
    cluster = Cluster.of_user()
    # The usual case: it runs, and nobody has to wait for the lock.
    with suppress(TimeoutError):
        if address := _running(cluster):
            return address
    try:
        return _start(cluster)
    except TimeoutError:
        raise _silent(cluster) from None


def embedded_address() -> str | None:
    """Where the embedded server says that it is, if it ever ran; whether it answers is not known."""
    return _address(Cluster.of_user())


def stop_server() -> bool:
    """Stop the embedded server; False when it did not run. Whoever is connected is disconnected."""
    cluster = Cluster.of_user()
    if not cluster.exists:
        return False
    with _locked(cluster):
        if _postmaster(cluster) is None:
            return False
        _stop(cluster)
    return True


def server_status(database: Database) -> ServerStatus:
    """Look at the server without starting it. Blocks, as `ensure_server` does."""
    url = _configured(database)
    cluster = Cluster.of_user()
    pid = None if url else _postmaster(cluster)
    address = url or (_address(cluster) if pid else None)
    kind, folder = ("url", None) if url else ("embedded", str(cluster.base))
    if address is None:
        return ServerStatus(kind, running=False, address="", folder=folder, reason="not started")
    try:
        version = asyncio.run(_check(address, database.connect_timeout))
    except StoreError as error:
        return ServerStatus(kind, False, shown(address), pid, folder, reason=error.message)
    return ServerStatus(kind, True, shown(address), pid, folder, version)


def _configured(database: Database) -> str | None:
    url = os.environ.get("YOKE_DATABASE_URL") or database.url
    return normalise(url) if url else None


async def _check(url: str, timeout: float) -> int:
    async with connection(url, timeout) as opened:
        await opened.execute("SELECT 1")
        return int(opened.get_server_version().major)


def _running(cluster: Cluster) -> str | None:
    """The address, when the server answers. Raises TimeoutError when it is there and says nothing."""
    address = _address(cluster)
    if address is None:
        return None
    try:
        asyncio.run(_ready(address))
    except TimeoutError:
        # Unlike one that starts or recovers: that says so.
        raise
    except CONNECTION_ERRORS:
        return None
    return address


async def _ready(address: str) -> None:
    """Prove that the server answers, and that our database is there."""
    try:
        opened = await connect(address, _CONNECT)
    except asyncpg.InvalidCatalogNameError:
        await _create_database(address)
        return
    try:
        await opened.execute("SELECT 1")
    finally:
        await opened.close()


async def _create_database(address: str) -> None:
    opened = await connect(address.replace(f"/{DATABASE}?", "/postgres?"), _CONNECT)
    try:
        await opened.execute(f'CREATE DATABASE "{DATABASE}"')
    except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
        pass  # somebody else was as quick
    finally:
        await opened.close()


def _start(cluster: Cluster) -> str:
    """Start the server and wait until it answers, also while it recovers from a crash."""
    cluster.make_base()
    with _locked(cluster):
        cluster.make()
        begin = time.monotonic()
        starts = 0
        while (address := _running(cluster)) is None:
            waited = time.monotonic() - begin
            if waited > _PATIENCE or starts > _STARTS:
                raise _did_not_start(cluster)
            if _postmaster(cluster) is None:
                starts += 1
                _launch(cluster)
            elif starts == 0 and waited > _APPEARS and not _has_socket(cluster):
                _stop(cluster)  # somebody cleaned up: nobody can connect any more
            time.sleep(_PAUSE)
        return address


def _launch(cluster: Cluster) -> None:
    """Start a postmaster, without waiting until it answers."""
    _clear_stale(cluster)
    cluster.configure()
    options = ("--pgdata", str(cluster.data), "--log", str(cluster.log), "--no-wait")
    cluster.call("pg_ctl", "start", *options)
    until = time.monotonic() + _APPEARS
    while _postmaster(cluster) is None and time.monotonic() < until:
        time.sleep(0.01)


def _stop(cluster: Cluster) -> None:
    options = ("--pgdata", str(cluster.data), "--mode", "fast", "--wait", "--timeout", "60")
    cluster.call("pg_ctl", "stop", *options)


def _has_socket(cluster: Cluster) -> bool:
    return (cluster.socket_folder() / ".s.PGSQL.5432").is_socket()


def _clear_stale(cluster: Cluster) -> None:
    """Remove lock files whose process is not ours.

    PostgreSQL trusts the number alone: when another program has it by now, it would refuse to start for ever.
    """
    for file in (cluster.data / "postmaster.pid", cluster.socket_folder() / ".s.PGSQL.5432.lock"):
        pid = _pid_in(file)
        if pid is not None and not _is_postmaster(pid, cluster.data):
            file.unlink(missing_ok=True)


def _postmaster(cluster: Cluster) -> int | None:
    """Number of the living server process."""
    pid = _pid_in(cluster.data / "postmaster.pid")
    return pid if pid is not None and _is_postmaster(pid, cluster.data) else None


def _pid_in(file: Path) -> int | None:
    try:
        return abs(int(file.read_text(encoding="utf-8").split("\n", 1)[0]))
    except (OSError, ValueError):
        return None


def _is_postmaster(pid: int, data: Path) -> bool:
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and str(data) in process.cmdline()
    except psutil.Error:
        return False


def _address(cluster: Cluster) -> str | None:
    """The address that the server's own file tells, which may be stale."""
    try:
        lines = (cluster.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return of_socket(lines[4], DATABASE) if len(lines) > 4 and lines[4] else None


def _silent(cluster: Cluster) -> StoreError:
    return StoreError(
        f"the embedded PostgreSQL (process {_postmaster(cluster)}) does not answer",
        hint=f"it may be stopped or starved: look at that process, and at {cluster.log}",
    )


def _did_not_start(cluster: Cluster) -> StoreError:
    try:
        last = cluster.log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
    except FileNotFoundError:
        last = ["it printed nothing"]
    free = shutil.disk_usage(cluster.base).free
    room = "" if free > 50_000_000 else f" (only {free // 1_000_000} MB are free)"
    return StoreError(
        f"the embedded PostgreSQL did not start{room}: " + " | ".join(last),
        hint=f"see {cluster.log}, or set YOKE_DATABASE_URL to a server",
    )


@contextmanager
def _locked(cluster: Cluster) -> Iterator[None]:
    """One process at a time makes, starts or stops the server; the lock dies with its holder."""
    try:
        file = cluster.lock.open("a")
    except OSError as error:
        raise StoreError(
            f"cannot write {cluster.lock}: {error.strerror}", hint="set YOKE_HOME to a folder of yours"
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
