"""Bare connections of asyncpg, and its errors in our words. Does not import SQLAlchemy."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from math import inf
from typing import TYPE_CHECKING, Any

import asyncpg

from yokeflow.errors import StoreError
from yokeflow.store.address import plain, shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

if TYPE_CHECKING:
    _Base = asyncpg.Connection[asyncpg.Record]
else:
    _Base = asyncpg.Connection

#: Oldest PostgreSQL that is supported.
OLDEST = 14

#: Seconds for an answer to one statement. A server that is stopped or cut off says nothing at all.
ANSWER = 30.0
#: Seconds for a server to say goodbye.
_GOODBYE = 2.0

#: What a failed connection can raise: no route, no answer, a refusal, or an address it cannot read.
CONNECTION_ERRORS = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError)


class ConnectionLostError(StoreError):
    """The server went away or does not answer; what was done in the transaction is taken back."""


class _Connection(_Base):
    """A connection that is gone when it was closed, whether or not the server takes notice."""

    async def close(self, *, timeout: float | None = None) -> None:
        with suppress(TimeoutError):
            # When time runs out it has been cut off.
            await super().close(timeout=_GOODBYE if timeout is None else timeout)


async def connect(url: str, timeout: float, *, answer: float | None = None) -> asyncpg.Connection[Any]:
    """A connection, as the driver gives it and with the driver's errors.

    A statement may take `answer` seconds, `ANSWER` when nothing is given, any time when it is infinite.
    """
    limit = ANSWER if answer is None else answer
    # Over a Unix socket there is nothing to encrypt, whatever PGSSLMODE says.
    options: dict[str, Any] = {"ssl": False} if "host=/" in url else {}
    opened: asyncpg.Connection[Any] = await asyncpg.connect(
        plain(url),
        timeout=timeout,
        command_timeout=None if limit == inf else limit,
        connection_class=_Connection,
        **options,
    )
    return opened


@asynccontextmanager
async def connection(url: str, timeout: float = 5.0) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection for a few statements.

    Raises StoreError when the server cannot be reached or is too old.
    """
    try:
        opened = await connect(url, timeout)
    except CONNECTION_ERRORS as error:
        raise unreachable(url, error) from error
    try:
        check_version(opened.get_server_version().major)
        yield opened
    finally:
        await opened.close()


def check_version(major: int) -> None:
    """Raises StoreError when a server is too old."""
    if major < OLDEST:
        raise StoreError(
            f"the database is PostgreSQL {major}; YokeFlow needs {OLDEST} or newer",
            hint="update the server, or remove database.url to use the embedded one",
        )


def unreachable(url: str, error: BaseException) -> StoreError:
    """Why there is no connection, without the password."""
    if isinstance(error, ValueError | asyncpg.InterfaceError):
        # Its text may quote a part of the password that was taken for something else.
        reason = "the address cannot be read; characters such as @ / : in a password are written %40 %2F %3A"
    else:
        reason = str(error) or (
            "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
        )
    return StoreError(
        f"cannot connect to {shown(url)}: {reason}",
        hint="check database.url or YOKE_DATABASE_URL; `yoke db status` shows what is used",
    )
