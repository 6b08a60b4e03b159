"""Lessons: one door to write them, a log that nobody can forget or change, and the state at any past time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from yoke_expertise.history import log_of, restore, state_at
from yoke_expertise.memories import (
    Draft,
    Memory,
    StaleMemoryError,
    change,
    find,
    get,
    key_of,
    retire,
    save,
    save_all,
    supersede,
)
from yokeflow.errors import StoreError, UsageError
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


async def table(conn: AsyncConnection, project: UUID) -> list[Memory]:
    """What the tables hold, in the order of `state_at`."""
    return sorted(await find(conn, project, status=()), key=lambda memory: memory.id)


async def now(conn: AsyncConnection) -> datetime:
    moment = await conn.scalar(text("SELECT clock_timestamp()"))
    assert isinstance(moment, datetime)
    return moment


async def test_a_lesson_that_is_met_again_grows_surer(store: Store, project: UUID) -> None:
    first = replace(NOTE, files=["a.py"], tags=["b"], evidence={"seen": 1, "sessions": ["s1"]})
    again = replace(NOTE, content="run the  tests with -X first.", files=["b.py"], importance=7, tags=["a"])
    again = replace(again, evidence={"seen": 2, "sessions": ["s2"], "command": "pytest -x"})
    async with store.begin() as conn:
        one = await save(conn, project, first, actor="extraction")
        two = await save(conn, project, again, actor="extraction", session="s2")
        assert one.id == two.id
        assert two.content == "Run the tests with -x first."
        assert two.evidence == {"seen": 3, "sessions": ["s1", "s2"], "command": "pytest -x"}
        assert (two.confidence, two.importance, two.version) == (0.625, 7, 2)
        assert (two.files, two.tags) == (("a.py", "b.py"), ("a", "b"))
        assert await save(conn, project, again, actor="extraction") == two, "the same session counts once"
        assert len(await find(conn, project)) == 1


async def test_what_was_retired_stays_so_until_a_person_says_it_again(store: Store, project: UUID) -> None:
    async with store.begin() as conn:
        memory = await save(conn, project, NOTE, actor="extraction")
        await retire(conn, memory.id, "does not help")
        met = await save(conn, project, replace(NOTE, evidence={"sessions": ["s3"]}), actor="extraction")
        assert (met.status, met.tier) == ("archived", "cold")
        said = await save(conn, project, replace(NOTE, source="explicit"), actor="user:ada")
        assert (said.status, said.tier) == ("active", "warm")


async def test_two_who_save_the_same_lessons_at_once_keep_each_once(store: Store, project: UUID) -> None:
    drafts = [replace(NOTE, content=f"Lesson {number}.") for number in range(8)]

    async def learn(session: str, order: list[Draft]) -> None:
        async with store.begin() as conn:
            met = [replace(draft, evidence={"sessions": [session], "seen": 1}) for draft in order]
            await save_all(conn, project, met, actor="extraction")

    await asyncio.gather(*(learn(f"s{number}", drafts[:: 1 if number % 2 else -1]) for number in range(6)))
    async with store.begin() as conn:
        found = await find(conn, project)
        assert [memory.evidence["seen"] for memory in found] == [6] * 8
        assert await state_at(conn, project, await now(conn)) == await table(conn, project)


async def test_a_stale_change_is_refused_with_both_versions(store: Store, project: UUID) -> None:
    async with store.begin() as conn:
        memory = await save(conn, project, NOTE, actor="extraction")
        theirs = await change(conn, memory.id, 1, actor="user:bob", content="Run them with -q.")
        assert theirs.version == 2
        with pytest.raises(StaleMemoryError, match="started from version 1, it is at version 2") as caught:
            await change(conn, memory.id, 1, actor="user:ada", content="Run them in parallel.")
        assert caught.value.current == theirs
        assert "Run them in parallel." in caught.value.message
        assert "Run them with -q." in caught.value.message
        assert (await get(conn, project, str(memory.id))).content == "Run them with -q."


async def test_one_of_two_who_change_a_lesson_at_once_is_refused(store: Store, project: UUID) -> None:
    async with store.begin() as conn:
        memory = await save(conn, project, NOTE, actor="extraction")

    async def edit(who: str) -> str:
        try:
            async with store.begin() as conn:
                await change(conn, memory.id, 1, actor=who, content=f"{who} was here")
        except StaleMemoryError:
            return "refused"
        return who

    outcome = await asyncio.gather(edit("ada"), edit("bob"))
    assert outcome.count("refused") == 1
    async with store.begin() as conn:
        (kept,) = await find(conn, project)
        assert kept.version == 2
        assert kept.content.split()[0] in outcome


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE memory_log SET reason = 'x'",
        "DELETE FROM memory_log",
        "TRUNCATE memory_log",
        "DELETE FROM memories",
        "TRUNCATE memories CASCADE",
        "TRUNCATE memory_tags",
        "UPDATE memories SET id = gen_random_uuid()",
    ],
)
async def test_nothing_is_ever_taken_out_of_the_history(store: Store, project: UUID, statement: str) -> None:
    async with store.begin() as conn:
        await save(conn, project, NOTE, actor="extraction")
    with pytest.raises(StoreError, match=r"append-only|ever removed|whose it is"):
        async with store.begin() as conn:
            await conn.execute(text(statement))


@pytest.mark.parametrize(
    ("odd", "constraint"),
    [
        ({"content": "x" * 2001}, "ck_memories_content"),
        ({"content": ""}, "ck_memories_content"),
        ({"kind": "story"}, "ck_memories_kind"),
        ({"type": "poem"}, "ck_memories_type"),
        ({"source": "rumour"}, "ck_memories_source"),
        ({"importance": 11}, "ck_memories_importance"),
        ({"confidence": 1.5}, "ck_memories_confidence"),
        ({"domain": ""}, "ck_memories_domain"),
        ({"tags": [""]}, "ck_memory_tags_tag"),
    ],
)
async def test_a_lesson_that_makes_no_sense_is_refused(
    store: Store, project: UUID, odd: dict[str, Any], constraint: str
) -> None:
    with pytest.raises(StoreError, match=constraint):
        async with store.begin() as conn:
            await save(conn, project, replace(NOTE, **odd), actor="extraction")


async def test_the_log_names_the_change_and_who_made_it_and_why(store: Store, project: UUID) -> None:
    async with store.begin() as conn:
        memory = await save(conn, project, replace(NOTE, tags=["x"]), actor="extraction", session="s1")
        other = await save(conn, project, replace(NOTE, content="Other."), actor="extraction")
        await change(conn, memory.id, 1, actor="user:ada", reason="worth it", pinned=True)
        await change(conn, memory.id, 2, actor="tier_manager", tier="hot")
        await change(conn, memory.id, 3, actor="contradiction_detector", status="disputed")
        await change(conn, memory.id, 4, actor="user:ada", status="active")
        await conn.execute(text("UPDATE memories SET importance = 6 WHERE key = :key"), {"key": key_of(NOTE)})
        await supersede(conn, memory.id, other.id, "the other one is shorter", actor="consolidation")
        log = await log_of(conn, memory.id)
    assert [entry.action for entry in log] == [
        *("created", "updated", "pinned", "promoted", "contradiction_detected", "contradiction_resolved"),
        *("updated", "superseded"),
    ]
    pinned = log[2]
    assert (pinned.changed_by, pinned.reason, pinned.session) == ("user:ada", "worth it", "")
    assert pinned.old["pinned"] is False
    assert pinned.new["pinned"] is True
    assert set(pinned.new) == {"pinned", "version"}, "of one transaction, so at the same time"
    assert (log[0].changed_by, log[0].session) == ("extraction", "s1")
    assert (log[1].old["tags"], log[1].new["tags"]) == ([], ["x"])
    assert log[-1].new["superseded_by"] == str(other.id)
    assert [entry.at for entry in log] == sorted(entry.at for entry in log)


async def test_a_lesson_is_named_by_the_start_of_its_id(store: Store, project: UUID) -> None:
    async with store.begin() as conn:
        memory = await save(conn, project, NOTE, actor="user:ada")
        assert await get(conn, project, str(memory.id)[:8]) == memory
        with pytest.raises(UsageError, match="no lesson"):
            await get(conn, project, str(uuid4()))
        with pytest.raises(UsageError, match="no id"):
            await get(conn, project, "%%%%")
        with pytest.raises(UsageError, match="no lesson"):
            await get(conn, uuid4(), str(memory.id))


async def test_a_text_search_finds_parts_of_names(store: Store, project: UUID) -> None:
    async with store.begin() as conn:
        await save(conn, project, replace(NOTE, content="See src/user_model.py."), actor="extraction")
        found = await conn.scalar(
            text("SELECT count(*) FROM memories WHERE search @@ plainto_tsquery('english', 'models user')")
        )
        assert found == 1


def recalled(memory: Memory) -> Event:
    return Event("expertise.recalled", session=str(uuid4()), data={"given": [str(memory.id)], "held_out": []})


WORDS = st.sampled_from(["alpha", "beta", "gamma", "delta"])
LISTS = st.lists(WORDS, max_size=3, unique=True)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "content": WORDS,
        "domain": WORDS,
        "subject": WORDS,
        "importance": st.integers(1, 10),
        "confidence": st.floats(0, 1),
        "pinned": st.booleans(),
        "status": st.sampled_from(["active", "disputed", "archived"]),
        "tier": st.sampled_from(["hot", "warm", "cold"]),
        "files": LISTS,
        "categories": LISTS,
        "tags": LISTS,
        "evidence": st.dictionaries(WORDS, st.integers(0, 9) | st.floats(0, 1) | LISTS, max_size=3),
        "expires_at": st.none()
        | st.integers(0, 10**9).map(lambda seconds: datetime.fromtimestamp(seconds + 0.25, UTC)),
    },
)
DRAFTS = st.builds(
    Draft,
    WORDS,
    st.sampled_from(["note", "check"]),
    WORDS,
    tags=LISTS,
    files=LISTS,
    confidence=st.floats(0, 1),
    evidence=st.fixed_dictionaries({"seen": st.integers(0, 3), "sessions": LISTS}),
    source=st.sampled_from(["extraction", "explicit"]),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("save"), DRAFTS),
        st.tuples(st.just("change"), st.integers(0, 9), FIELDS),
        st.tuples(st.just("retire"), st.integers(0, 9)),
        st.tuples(st.just("supersede"), st.integers(0, 9)),
        st.tuples(st.just("tag"), st.integers(0, 9), LISTS),
        st.tuples(st.just("untag"), WORDS),
        st.tuples(st.just("recall"), st.integers(0, 9)),
        st.tuples(st.just("restore"), st.integers(0, 9)),
    ),
    min_size=1,
    max_size=12,
)


async def test_the_state_at_every_past_time_is_what_the_tables_held_then(store: Store, project: UUID) -> None:
    loop = asyncio.get_running_loop()

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(STEPS)
    def prove(steps: list[tuple[Any, ...]]) -> None:
        asyncio.run_coroutine_threadsafe(_prove(store, steps), loop).result(60)

    await asyncio.to_thread(prove)


async def _prove(store: Store, steps: list[tuple[Any, ...]]) -> None:
    async with store.begin() as conn:
        project = await projects.register(conn, str(uuid4()), "sample", Path())
    seen: list[tuple[datetime, list[Memory]]] = []
    for step in steps:
        async with store.begin() as conn:
            await _take(conn, project, seen, *step)
        async with store.begin() as conn:
            seen.append((await now(conn), await table(conn, project)))
    async with store.begin() as conn:
        for at, held in seen:
            assert await state_at(conn, project, at) == held


async def _take(
    conn: AsyncConnection, project: UUID, seen: list[tuple[datetime, list[Memory]]], what: str, *more: Any
) -> None:
    known = await table(conn, project)
    if what == "save":
        await save(conn, project, more[0], actor="extraction")
        return
    if not known:
        return
    if what == "untag":
        await conn.execute(text("DELETE FROM memory_tags WHERE tag = :tag"), {"tag": more[0]})
        return
    memory = known[more[0] % len(known)]
    if what in ("change", "tag"):
        fields = more[1] if what == "change" else {"tags": more[1]}
        await change(conn, memory.id, memory.version, actor="user:ada", **fields)
    elif what == "retire":
        await retire(conn, memory.id, "random")
    elif what == "supersede" and memory.id != known[0].id:
        await supersede(conn, memory.id, known[0].id, "random")
    elif what == "recall":
        await apply(conn, project, [recalled(memory)])
    elif what == "restore":
        await _restore(conn, project, memory.domain, *seen[more[0] % len(seen)])


async def _restore(
    conn: AsyncConnection, project: UUID, domain: str, at: datetime, held: list[Memory]
) -> None:
    """Afterwards the domain has the lessons in use that it had then, and they say what they said."""
    await restore(conn, project, at, domain, actor="user:ada")

    def said(memories: list[Memory]) -> list[tuple[Any, ...]]:
        used = [memory for memory in memories if memory.domain == domain and memory.status == "active"]
        return [(memory.id, memory.content, memory.files, memory.tags, memory.pinned) for memory in used]

    assert said(await table(conn, project)) == said(held)
