"""Bring the journal into the store: in order, once, whoever does it and whenever it is killed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from sqlalchemy import text

from yokeflow.errors import DiskFullError, StoreError
from yokeflow.store.announcements import CHANNEL
from yokeflow.store.projection import apply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from yokeflow.store.connection import Store
    from yokeflow.store.journal import Chunk, Journal

#: Events of one transaction.
BATCH = 500

#: A journal that was read to its end and is longer than this is emptied.
_COMPACT_AT = 8_000_000
_BUSY_PAUSE = 0.02
#: Seconds between two drains of a run; what people see of it is no older.
_GATHER = 0.1
_BUSY_LIMIT = 5.0
#: Seconds for a cancelled drain to be over.
_GIVE_UP = 5.0
_FIRST_DELAY = 0.2
_LONGEST_DELAY = 5.0

#: One process drains a project at a time, until its transaction ends; nobody waits.
_CLAIM = text("SELECT pg_try_advisory_xact_lock(hashtextextended('yoke drain ' || :project, 0))")

#: How far the journal was applied. To be read under the claim, in a statement of its own.
_POSITION = text("""
SELECT coalesce(metadata -> 'journal' ->> 'generation', ''),
       coalesce(CAST(metadata -> 'journal' ->> 'offset' AS bigint), 0)
FROM projects WHERE id = CAST(:project AS uuid)
""")

#: Moves the position in the transaction that applies the events, so neither is ever seen without the other,
#: and tells the listeners when it commits.
_ADVANCE = text("""
WITH moved AS (
    UPDATE projects
    SET metadata = jsonb_set(metadata, '{journal}', jsonb_build_object(
        'generation', CAST(:generation AS text), 'offset', CAST(:offset AS bigint)))
    WHERE id = CAST(:project AS uuid)
    RETURNING id
)
SELECT pg_notify(:channel, CAST(id AS text)) FROM moved
""")


async def drain(store: Store, project_id: UUID, journal: Journal, *, must_finish: bool = False) -> int:
    """Apply everything the journal holds; gives the number of new events.

    When another process has been at it for some seconds, the rest is left to it; with `must_finish` that is
    an error. Raises StoreError when the database is out of reach; what was applied before is kept.
    """
    count = 0
    patience = _BUSY_LIMIT
    while patience > 0:
        done = await _drain_batch(store, project_id, journal)
        if done is None:
            await asyncio.sleep(_BUSY_PAUSE)
            patience -= _BUSY_PAUSE
            continue
        chunk, new = done
        count += new
        if len(chunk.events) < BATCH:
            _compact(journal, chunk)
            return count
    if must_finish:
        raise StoreError(
            "another process keeps the store from being brought up to date",
            hint="look for another `yoke` at this project, or wait a little and try again",
        )
    return count


async def _drain_batch(store: Store, project_id: UUID, journal: Journal) -> tuple[Chunk, int] | None:
    """One transaction's worth; None when somebody else is at it."""
    async with store.begin() as conn:
        project = {"project": str(project_id)}
        if not await conn.scalar(_CLAIM, project):
            return None
        generation, offset = (await conn.execute(_POSITION, project)).one()
        chunk = journal.read(generation, offset, limit=BATCH)
        new = await apply(conn, project_id, chunk.events)
        if (chunk.generation, chunk.offset) != (generation, offset):
            position = {"generation": chunk.generation, "offset": chunk.offset, "channel": CHANNEL}
            await conn.execute(_ADVANCE, project | position)
        return chunk, len(new)


def _compact(journal: Journal, chunk: Chunk) -> None:
    if chunk.offset > _COMPACT_AT:
        # Without room for the copy it stays as long as it is.
        with suppress(DiskFullError):
            journal.compact(chunk.generation, chunk.offset)


class Drainer:
    """Drains in the background of a run; must be made inside its event loop and closed."""

    def __init__(
        self,
        store: Store,
        project_id: UUID,
        journal: Journal,
        *,
        on_lost: Callable[[str], None],
        on_found: Callable[[], None],
        reconnect: Callable[[], Awaitable[object]] | None = None,
        first: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """`on_lost` gets the reason when the database is gone; `on_found` follows when it is back: once each.

        `reconnect` is awaited before every new try and may start the server; its StoreError means "not yet".
        `first` is awaited before every drain and may add to the journal.
        """
        self._store = store
        self._project_id = project_id
        self._journal = journal
        self._on_lost = on_lost
        self._on_found = on_found
        self._reconnect = reconnect
        self._first = first
        self._woken = asyncio.Event()
        self._closed = asyncio.Event()
        self._lost = False
        self._task = asyncio.get_running_loop().create_task(self._work())

    def wake(self) -> None:
        """Say that the journal has grown. Cheap; many calls are answered at once."""
        self._woken.set()

    async def aclose(self, timeout: float = 10.0) -> bool:
        """Drain what is left and stop; False when time ran out, and the journal keeps the rest."""
        self._closed.set()
        self.wake()
        done, _ = await asyncio.wait({self._task}, timeout=timeout)
        if not done:
            self._task.cancel()
            # A connection to a server that does not answer takes a moment to be given up.
            await asyncio.wait({self._task}, timeout=_GIVE_UP)
            return False
        self._task.result()
        return True

    async def _work(self) -> None:
        while True:
            await self._woken.wait()
            # Before the flag is taken down: whatever comes from here on is drained in the last round.
            last = self._closed.is_set()
            self._woken.clear()
            await self._drain()
            if last:
                return
            await self._rest()

    async def _rest(self) -> None:
        """Let events gather: a transaction for each would cost more than all of them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_GATHER):
                await self._closed.wait()

    async def _drain(self) -> None:
        delay = _FIRST_DELAY
        while not await self._try():
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)
            await self._try_reconnect()

    async def _try(self) -> bool:
        try:
            if self._first is not None:
                await self._first()
            await drain(self._store, self._project_id, self._journal)
        except (StoreError, OSError) as error:
            if not self._lost:
                self._lost = True
                self._on_lost(str(error))
            return False
        if self._lost:
            self._lost = False
            self._on_found()
        return True

    async def _try_reconnect(self) -> None:
        if self._reconnect is not None:
            with suppress(StoreError, OSError):
                await self._reconnect()
