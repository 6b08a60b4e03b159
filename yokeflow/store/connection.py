"""The open store: a pool of connections, transactions, and errors in our words."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakSet

import asyncpg
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from yokeflow.errors import StoreError
from yokeflow.store.address import normalise, shown
from yokeflow.store.driver import (
    CONNECTION_ERRORS,
    ConnectionLostError,
    check_version,
    connect,
    unreachable,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.engine import ExceptionContext

__all__ = ["ConnectionLostError", "Store", "store_error"]

#: Seconds for all connections of a store to be closed.
_FAREWELL = 5.0
_HINT = "`yoke db status` shows what is wrong with the database"


class Store:
    """The database of a process. One per event loop."""

    def __init__(self, url: str, engine: AsyncEngine) -> None:
        self.url = url
        self.engine = engine
        self._connections: WeakSet[asyncpg.Connection[Any]] = WeakSet()

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        pool_size: int = 5,
        pool_overflow: int = 10,
        timeout: float = 5.0,
        answer: float | None = None,
    ) -> Self:
        """Open the store and prove that it answers.

        `timeout` is for making a connection, `answer` for each statement; see `driver.connect`.
        Raises StoreError when it does not, or is too old.
        """
        url = normalise(url)

        async def creator() -> asyncpg.Connection[Any]:
            opened = await connect(url, timeout, answer=answer)
            store._connections.add(opened)
            return opened

        engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=creator,
            pool_size=pool_size,
            max_overflow=pool_overflow,
            pool_timeout=timeout,
        )
        event.listen(engine.sync_engine, "handle_error", _no_answer)
        store = cls(url, engine)
        try:
            async with store.begin() as connection:
                raw = await connection.get_raw_connection()
                driver: Any = raw.driver_connection
                check_version(driver.get_server_version().major)
        except BaseException:
            await store.close()
            raise
        return store

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A connection in a transaction, committed at the end, rolled back on any error.

        Raises ConnectionLostError when the server cannot be reached, else StoreError for what it refuses.
        """
        try:
            async with self.engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise store_error(self.url, error) from error
        except CONNECTION_ERRORS as error:
            if isinstance(error, ValueError) and not isinstance(error, asyncpg.InterfaceError):
                raise  # of the caller's own making
            raise ConnectionLostError(unreachable(self.url, error).message, hint=_HINT) from error

    async def close(self) -> None:
        """Close every connection; those whose server does not answer are cut off."""
        try:
            async with asyncio.timeout(_FAREWELL):
                await self.engine.dispose()
        except (TimeoutError, SQLAlchemyError, *CONNECTION_ERRORS):
            for connection in list(self._connections):
                connection.terminate()


def _no_answer(context: ExceptionContext) -> None:
    """Nobody waits for a connection again that has once waited in vain."""
    if isinstance(context.original_exception, TimeoutError):
        context.is_disconnect = True


def store_error(url: str, error: SQLAlchemyError) -> StoreError:
    """What SQLAlchemy raised, without the statement and its values."""
    original: BaseException = error.orig if isinstance(error, DBAPIError) and error.orig else error
    reason = str(original).partition("\n")[0].removeprefix("<class '").strip() or type(original).__name__
    lost = isinstance(error, DBAPIError) and (
        error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
    )
    if lost or isinstance(error, TimeoutError):
        return ConnectionLostError(f"the connection to {shown(url)} was lost: {reason}", hint=_HINT)
    return StoreError(f"the database refused: {reason}", hint=_HINT)
