"""What sessions were given is kept with what came of them, by the events alone."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from yoke_expertise.history import log_of
from yoke_expertise.memories import Draft, change, get, save
from yokeflow.events import Event
from yokeflow.store import projects
from yokeflow.store.connection import Store
from yokeflow.store.projection import apply

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

NOTE = Draft("testing", "note", "Run the tests with -x first.", subject="tests")


@pytest.fixture
async def project(store: Store, tmp_path: Path) -> UUID:
    async with store.begin() as conn:
        return await projects.register(conn, "key", "sample", tmp_path)


def event(type_: str, session: str = "", task: str = "", **data: Any) -> Event:
    epic = data.pop("epic", "a" if task else "")
    return Event(type_, run=str(uuid4()), session=session, epic=epic, task=task, data=data)


async def uses(conn: AsyncConnection) -> list[tuple[Any, ...]]:
    rows = await conn.execute(
        text("""SELECT held_out, completed, landed, cost_usd::float FROM memory_uses
                ORDER BY held_out, recalled_at""")
    )
    return [tuple(row) for row in rows]


async def test_what_a_session_was_given_and_what_came_of_it(store: Store, project: UUID) -> None:
    async with store.begin() as conn:
        told = await save(conn, project, NOTE, actor="extraction")
        kept = await save(conn, project, replace(NOTE, content="Other."), actor="extraction")
        lists = {"given": [str(told.id), str(uuid4()), "odd"], "held_out": [str(kept.id)]}
        good, bad, cut = (str(uuid4()) for _ in range(3))
        # All in one batch: what came of a session does not wait for the tables of the core.
        await apply(
            conn,
            project,
            [
                event("expertise.recalled", good, "a.1", **lists),
                event("session.finished", good, "a.1", state="completed", cost_usd=0.25),
                event("landing.landed", tasks=["a.1", "a.2"]),
                event("expertise.recalled", bad, "a.2", given=[str(told.id)], held_out=[]),
                event("session.finished", bad, "a.2", state="failed", cost_usd=None),
                event("expertise.recalled", cut, "a.3", given=[str(told.id)], held_out=None),
                event("session.finished", cut, "a.3", state="interrupted", cost_usd="much"),
            ],
        )
        assert await uses(conn) == [
            (False, True, True, 0.25),
            (False, False, False, None),
            (False, None, None, None),
            (True, True, True, 0.25),
        ]
        counted, left = await get(conn, project, str(told.id)), await get(conn, project, str(kept.id))
        assert (counted.access_count, left.access_count) == (3, 0)
        assert counted.last_accessed_at
        assert counted.version == told.version, "being used is no change that an editor must know of"
        assert (await log_of(conn, told.id))[-1].action == "accessed"


async def test_work_that_is_done_again_did_not_land(store: Store, project: UUID) -> None:
    async with store.begin() as conn:
        told = await save(conn, project, NOTE, actor="extraction")
        session = str(uuid4())
        await apply(
            conn,
            project,
            [
                event("expertise.recalled", session, "a.1", given=[str(told.id)], held_out=[]),
                event("session.finished", session, "a.1", state="completed"),
                event("task.reopened", task="a.1", by="retry", reason="rejected"),
                event("landing.landed", tasks=["a.1"]),
            ],
        )
        assert await uses(conn) == [(False, True, False, None)]


LANDED = event("landing.landed", epic="a", tasks=["a.1"])
RED = event("intervention.opened", epic="a", kind="red_check", intervention=str(uuid4()))
TAKEN = event("intervention.opened", epic="a", kind="taken_back", intervention=str(uuid4()))
CONFLICT = event("intervention.opened", epic="a", kind="conflict", intervention=str(uuid4()))
ELSEWHERE = event("intervention.opened", epic="b", kind="taken_back", intervention=str(uuid4()))
AGAIN = event("task.reopened", task="a.1", by="retry", reason="rejected")


@pytest.mark.parametrize(
    ("ends", "landed"),
    [
        ([RED], False),
        ([CONFLICT], None),
        ([RED, LANDED], True),
        ([LANDED, TAKEN], False),
        ([LANDED, TAKEN, LANDED], True),
        ([TAKEN], False),
        # A check turned down what came later.
        ([LANDED, RED], True),
        ([LANDED, CONFLICT], True),
        ([LANDED, ELSEWHERE], True),
        ([RED, AGAIN, LANDED], False),
        ([LANDED, AGAIN], True),
    ],
)
async def test_the_last_of_what_landed_and_what_was_turned_down_counts(
    store: Store, project: UUID, ends: list[Event], landed: bool | None
) -> None:
    async with store.begin() as conn:
        told = await save(conn, project, NOTE, actor="extraction")
        session = str(uuid4())
        begun = event("expertise.recalled", session, "a.1", given=[str(told.id)], held_out=[])
        done = event("session.finished", session, "a.1", state="completed")
        after = [replace(each, id=str(uuid4())) for each in ends]
        await apply(conn, project, [begun, done, *after])
        assert await uses(conn) == [(False, True, landed, None)]


async def test_what_comes_of_a_session_is_found_by_index(store: Store, project: UUID) -> None:
    async with store.begin() as conn:
        told = await save(conn, project, NOTE, actor="extraction")
        await conn.execute(
            text("""INSERT INTO memory_uses (project_id, memory_id, session_id, epic, task, held_out,
                                             recalled_at, completed)
                    SELECT :project, :memory, gen_random_uuid(), 'e' || n, 't' || n, false, now(), true
                    FROM generate_series(1, 2000) n"""),
            {"project": project, "memory": told.id},
        )
        session = str(uuid4())
    async with store.begin() as conn:
        await conn.execute(text("ANALYZE memory_uses"))
        recalled = event("expertise.recalled", session, "a.1", given=[str(told.id)], held_out=[])
        await apply(conn, project, [recalled])
        before = await _read(conn)
        assert before >= 2000, "to count all uses is to read them"
        ends = [event("session.finished", session, "a.1", state="completed"), LANDED, TAKEN, AGAIN]
        await apply(conn, project, ends)
        assert await _read(conn) - before < 100
        assert (False, True, False, None) in await uses(conn)


async def _read(conn: AsyncConnection) -> int:
    """Rows of the table that this transaction has read so far."""
    found = await conn.scalar(
        text("""SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables
                WHERE relname = 'memory_uses'""")
    )
    return int(found or 0)


async def test_a_recall_does_not_wait_for_somebody_who_changes_the_lesson(
    store: Store, project: UUID
) -> None:
    async with store.begin() as conn:
        told = await save(conn, project, NOTE, actor="extraction")
    async with store.begin() as editor:
        await change(editor, told.id, 1, actor="user:ada", importance=9)
        async with asyncio.timeout(10), store.begin() as conn:
            recalled = event("expertise.recalled", str(uuid4()), "a.1", given=[str(told.id)], held_out=[])
            await apply(conn, project, [recalled])
            assert len(await uses(conn)) == 1
    async with store.begin() as conn:
        again = event("expertise.recalled", str(uuid4()), "a.1", given=[str(told.id)], held_out=[])
        await apply(conn, project, [again])
        assert (await get(conn, project, str(told.id))).access_count == 2


@pytest.mark.parametrize("payload", [{}, {"given": "x"}, {"given": [1, None]}, {"given": {"a": 1}}])
async def test_odd_events_do_not_stop_the_journal(
    store: Store, project: UUID, payload: dict[str, Any]
) -> None:
    async with store.begin() as conn:
        odd = [
            event("expertise.recalled", str(uuid4()), **payload),
            event("expertise.recalled", "no-uuid", **payload),
            event("session.finished", "no-uuid", cost_usd=-1, state=7),
            event("landing.landed", tasks=payload.get("given")),
        ]
        assert len(await apply(conn, project, odd)) == 4
        assert json.dumps(await uses(conn)) == "[]"
