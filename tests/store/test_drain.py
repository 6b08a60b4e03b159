from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from yokeflow.config import Database
from yokeflow.events import Event
from yokeflow.store import drain as drain_module
from yokeflow.store import history, items, migrate, projects
from yokeflow.store.connection import Store
from yokeflow.store.drain import Drainer, drain
from yokeflow.store.driver import connection
from yokeflow.store.server import ensure_server, stop_server

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from yokeflow.store.journal import Journal


async def scalar(store: Store, query: str) -> Any:
    async with store.begin() as conn:
        return await conn.scalar(text(query))


def many(story, sessions: int) -> list[Event]:
    """A run of so many sessions of one task, each for a cent: three events a session."""
    events = [story.started()]
    for number in range(1, sessions + 1):
        start, end = story.attempt("1a", "failed", number, cost_usd=0.01, reason="r")
        events += [start, story.check("1a", start.session), end]
    return events


async def counted(store: Store) -> tuple[int, int, float, int, int]:
    """Events, attempts, cost, sessions and checks: each must count every event exactly once."""
    async with store.begin() as conn:
        row = await conn.execute(
            text(
                "SELECT (SELECT count(*) FROM events), attempts, CAST(cost_usd AS double precision),"
                " (SELECT count(*) FROM sessions), (SELECT count(*) FROM check_results)"
                " FROM work_items WHERE key = '1a'"
            )
        )
        events, attempts, cost, sessions, checks = row.one()
        return events, attempts, round(cost, 6), sessions, checks


def exactly(sessions: int) -> tuple[int, int, float, int, int]:
    return 1 + 3 * sessions, sessions, round(sessions * 0.01, 6), sessions, sessions


async def test_everything_is_applied_once_and_in_order(store, project, journal, story):
    events = many(story, 200)
    journal.append(*events)
    assert await drain(store, project, journal) == len(events) == 601
    assert await drain(store, project, journal) == 0
    assert await counted(store) == exactly(200)
    async with store.begin() as conn:
        stored = (await conn.execute(text("SELECT id FROM events ORDER BY seq"))).scalars().all()
    assert [str(id_) for id_ in stored] == [event.id for event in events]


async def test_no_journal_is_nothing_to_do(store, project, journal):
    assert await drain(store, project, journal) == 0


async def test_drainers_at_the_same_time_share_the_work(store, project, journal, story, monkeypatch):
    monkeypatch.setattr(drain_module, "BATCH", 7)
    journal.append(*many(story, 30))
    async with await Store.open(store.url) as other:
        counts = await asyncio.gather(*(drain(each, project, journal) for each in (store, other, store)))
    assert sum(counts) == 91
    assert await counted(store) == exactly(30)


async def test_a_long_journal_is_emptied(store, project, journal, story, monkeypatch):
    monkeypatch.setattr(drain_module, "_COMPACT_AT", 1000)
    events = many(story, 10)
    journal.append(*events[:16])
    await drain(store, project, journal)
    assert journal.path.stat().st_size < 1000
    journal.append(*events[16:])
    assert await drain(store, project, journal) == 15
    assert await counted(store) == exactly(10)


async def test_a_journal_that_was_put_back_is_not_applied_again(store, project, journal, story):
    journal.append(*many(story, 5))
    await drain(store, project, journal)
    old = journal.path.read_bytes()
    journal.path.unlink()
    journal.append(Event("run.paused", run=story.run))
    assert await drain(store, project, journal) == 1
    journal.path.write_bytes(old)
    assert await drain(store, project, journal) == 0
    assert (await counted(store))[1:] == exactly(5)[1:]


async def test_a_batch_is_announced_when_it_can_be_seen(store, project, journal, story):
    heard: asyncio.Queue[str] = asyncio.Queue()
    async with connection(store.url) as listener:
        await listener.add_listener("yoke_events", lambda *args: heard.put_nowait(args[-1]))
        journal.append(*many(story, 1))
        await drain(store, project, journal)
        assert await asyncio.wait_for(heard.get(), 5) == str(project)
        await drain(store, project, journal)
        await listener.execute("SELECT 1")
        assert heard.empty(), "nothing new, nothing said"


_DRAIN = """
import asyncio, sys
from pathlib import Path
from uuid import UUID
from yokeflow.store import drain as module
from yokeflow.store.connection import Store
from yokeflow.store.journal import Journal

module.BATCH = 1

async def main():
    async with await Store.open(sys.argv[1]) as store:
        print("ready", flush=True)
        await module.drain(store, UUID(sys.argv[2]), Journal(Path(sys.argv[3])))

asyncio.run(main())
"""


async def test_a_drain_killed_at_any_instant_applies_nothing_twice(store, project, journal, story):
    journal.append(*many(story, 300))
    arguments = [sys.executable, "-c", _DRAIN, store.url, str(project), str(journal.path)]
    cut_short = 0
    for _ in range(5):
        process = await asyncio.create_subprocess_exec(*arguments, stdout=subprocess.PIPE)
        assert process.stdout is not None
        await process.stdout.readline()
        await asyncio.sleep(random.random() * 0.12)
        process.kill()
        cut_short += await process.wait() == -signal.SIGKILL
    assert cut_short >= 3
    await drain(store, project, journal)
    assert await counted(store) == exactly(300)


_APPEND_AND_DRAIN = """
import asyncio, sys
from pathlib import Path
from uuid import UUID
from yokeflow.events import Event
from yokeflow.store.connection import Store
from yokeflow.store.drain import Drainer
from yokeflow.store.journal import Journal

async def main():
    journal = Journal(Path(sys.argv[3]))
    async with await Store.open(sys.argv[1]) as store:
        drainer = Drainer(store, UUID(sys.argv[2]), journal, on_lost=print, on_found=print)
        while True:
            event = Event("session.output", data={"text": "x" * 5000})
            journal.append(event)
            print(event.id, flush=True)
            drainer.wake()
            await asyncio.sleep(0)

asyncio.run(main())
"""


async def test_a_killed_run_loses_nothing_it_had_recorded(store, project, journal):
    arguments = [sys.executable, "-c", _APPEND_AND_DRAIN, store.url, str(project), str(journal.path)]
    told: list[bytes] = []
    for _ in range(3):
        process = await asyncio.create_subprocess_exec(*arguments, stdout=subprocess.PIPE)
        assert process.stdout is not None
        told.append((await process.stdout.readline()).strip())
        # Reading on keeps the pipe from filling while the process works.
        reading = asyncio.create_task(process.stdout.read())
        await asyncio.sleep(random.random() * 0.3)
        process.kill()
        told += (await reading).splitlines()
        await process.wait()
    await drain(store, project, journal)
    async with store.begin() as conn:
        stored = (await conn.execute(text("SELECT id FROM events"))).scalars().all()
    whole = {line.decode() for line in told if len(line) == 36}
    assert whole <= {str(id_) for id_ in stored}
    assert len(whole) > 3


async def test_a_woken_drainer_applies_what_is_there(store, project, journal, story):
    drainer = Drainer(store, project, journal, on_lost=pytest.fail, on_found=pytest.fail)
    for event in many(story, 20):
        journal.append(event)
        drainer.wake()
        await asyncio.sleep(0)
    async with asyncio.timeout(10), aclosing(history.follow(store, project, 0)) as following:
        seen = [await anext(following) for _ in range(61)]
    assert len(seen) == 61
    assert await counted(store) == exactly(20)
    assert await drainer.aclose()


async def test_closing_applies_the_rest(store, project, journal, story):
    drainer = Drainer(store, project, journal, on_lost=pytest.fail, on_found=pytest.fail)
    journal.append(*many(story, 20))
    assert await drainer.aclose()
    assert await counted(store) == exactly(20)


async def test_a_broken_connection_is_found_again(store, project, journal, story):
    """The server drops everybody, as after the crash of one backend."""
    said: list[str] = []
    drainer = Drainer(
        store, project, journal, on_lost=lambda _: said.append("lost"), on_found=lambda: said.append("found")
    )
    events = many(story, 40)
    async with connection(store.url) as other:
        for event in events:
            journal.append(event)
            drainer.wake()
            await asyncio.sleep(0.001)
            await other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
    assert await drainer.aclose()
    assert await counted(store) == exactly(40)
    assert said == ["lost", "found"] * (len(said) // 2)
    assert said


@pytest.fixture
async def own_store(home: Path, plan, tmp_path):
    """A store on a server that the test may stop, and its project."""
    url = await asyncio.to_thread(ensure_server, Database())
    await migrate.upgrade(url, [])
    async with await Store.open(url) as store:
        async with store.begin() as conn:
            project = await projects.register(conn, "key", "sample", tmp_path)
            await items.sync_plan(conn, project, plan)
        yield store, project


async def test_a_stopped_database_costs_nothing(own_store: tuple[Store, UUID], journal: Journal, story):
    store, project = own_store
    said: list[str] = []
    lost = asyncio.Event()

    async def reconnect() -> None:
        assert lost.is_set()
        await asyncio.to_thread(ensure_server, Database())

    def tell_lost(reason: str) -> None:
        said.append(f"lost: {reason}")
        lost.set()

    drainer = Drainer(
        store,
        project,
        journal,
        on_lost=tell_lost,
        on_found=lambda: said.append("found"),
        reconnect=reconnect,
    )
    events = many(story, 30)
    journal.append(*events[:30])
    drainer.wake()
    await asyncio.to_thread(stop_server)
    for event in events[30:]:
        journal.append(event)
        drainer.wake()
    async with asyncio.timeout(10):
        await lost.wait()
    assert await drainer.aclose(60)
    assert await counted(store) == exactly(30)
    assert len(said) == 2
    assert said[0].startswith("lost: ")
    assert said[1] == "found"


async def test_closing_does_not_wait_for_a_database_that_stays_away(own_store, journal, story):
    store, project = own_store
    await asyncio.to_thread(stop_server)
    said: list[str] = []
    drainer = Drainer(store, project, journal, on_lost=said.append, on_found=pytest.fail)
    journal.append(*many(story, 1))
    begin = time.monotonic()
    assert not await drainer.aclose(0.5)
    assert time.monotonic() - begin < 5
    assert len(said) == 1
    assert len(journal.read("", 0).events) == 4
