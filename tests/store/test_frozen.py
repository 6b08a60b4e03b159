"""A server that neither answers nor goes away: stopped as by SIGSTOP, or behind a dead network."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import psutil
import pytest
from sqlalchemy import text

from yokeflow.config import Database
from yokeflow.errors import StoreError
from yokeflow.events import Event
from yokeflow.store import driver, history, migrate, projects
from yokeflow.store import server as server_module
from yokeflow.store.cluster import Cluster
from yokeflow.store.connection import Store
from yokeflow.store.drain import Drainer, drain
from yokeflow.store.server import ensure_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID


@contextmanager
def frozen() -> Iterator[None]:
    """Stop the test's own server and its children for a while."""
    pid = server_module._postmaster(Cluster.of_user())
    assert pid is not None
    postmaster = psutil.Process(pid)
    everybody = [postmaster, *postmaster.children(recursive=True)]
    for process in everybody:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in everybody:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)


@pytest.fixture
async def own(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A store on a server of the test's own, and a project in it; nobody waits long for an answer."""
    url = await asyncio.to_thread(ensure_server, Database())
    await migrate.upgrade(url, [])
    monkeypatch.setattr(driver, "ANSWER", 1.0)
    monkeypatch.setattr(driver, "_GOODBYE", 0.3)
    async with await Store.open(url, timeout=1.0) as store:
        async with store.begin() as conn:
            project = await projects.register(conn, "key", "sample", tmp_path)
        yield store, project


async def test_everything_about_a_frozen_server_ends(own: tuple[Store, UUID], journal):
    """What waits for an answer, what listens and what closes; and the store is as good as new later."""
    store, project = own
    journal.append(Event("run.paused"))
    lost: list[str] = []
    found = asyncio.Event()
    listening = asyncio.create_task(anext(history.follow(store, project, 0)))
    other = await Store.open(store.url)
    async with asyncio.timeout(5):
        while not await _listeners(store):
            await asyncio.sleep(0.01)
    with frozen():
        async with asyncio.timeout(20):
            drainer = Drainer(store, project, journal, on_lost=lost.append, on_found=found.set)
            drainer.wake()
            while not lost:
                await asyncio.sleep(0.05)
            with pytest.raises(StoreError):
                await drain(store, project, journal)
            begin = time.monotonic()
            listening.cancel()
            with suppress(asyncio.CancelledError, StoreError):  # the latter when it was about to read
                await listening
            await other.close()
            assert time.monotonic() - begin < 5
    async with asyncio.timeout(20):
        await found.wait()
    assert await drainer.aclose()
    async with store.begin() as conn:
        assert await conn.scalar(text("SELECT count(*) FROM events")) == 1


async def _listeners(store: Store) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE query ILIKE 'listen%'"
    async with store.begin() as conn:
        return int(await conn.scalar(text(query)))


async def test_closing_a_drainer_does_not_wait_for_a_frozen_server(own: tuple[Store, UUID], journal):
    store, project = own
    with frozen():
        drainer = Drainer(store, project, journal, on_lost=lambda _: None, on_found=pytest.fail)
        journal.append(Event("run.paused"))
        begin = time.monotonic()
        assert not await drainer.aclose(0.2)
        assert time.monotonic() - begin < 5


async def test_a_frozen_server_is_named_instead_of_waited_for(own, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_module, "_CONNECT", 0.3)
    with frozen(), pytest.raises(StoreError, match="does not answer"):
        await asyncio.to_thread(ensure_server, Database())


async def test_a_drain_can_insist(own: tuple[Store, UUID], journal, monkeypatch: pytest.MonkeyPatch):
    """Somebody else's claim on the journal is not the end of it."""
    store, project = own
    monkeypatch.setattr("yokeflow.store.drain._BUSY_LIMIT", 0.1)
    journal.append(Event("run.paused"))
    claim = text("SELECT pg_try_advisory_xact_lock(hashtextextended('yoke drain ' || :project, 0))")
    async with await Store.open(store.url) as other, other.begin() as conn:
        assert await conn.scalar(claim, {"project": str(project)})
        assert await drain(store, project, journal) == 0
        with pytest.raises(StoreError, match="another process"):
            await drain(store, project, journal, must_finish=True)
    assert await drain(store, project, journal, must_finish=True) == 1
