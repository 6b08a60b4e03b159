"""Lessons are kept true and few: checked against the files, pruned, sorted, and revised when it is time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from yoke_expertise.memories import Draft, find, save
from yoke_expertise.upkeep import is_due, prune, revise, validate
from yokeflow.config import Config
from yokeflow.events import Event
from yokeflow.store import projects
from yokeflow.store.connection import Store
from yokeflow.store.projection import apply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.ext.asyncio import AsyncConnection

NOTE = Draft("testing", "note", "Run the tests with -x first.")


@pytest.fixture
async def project(store: Store, tmp_path: Path) -> UUID:
    async with store.begin() as conn:
        return await projects.register(conn, "key", "sample", tmp_path)


async def test_references_to_files_that_are_gone_are_dropped(store: Store, project: UUID) -> None:
    def about(content: str, *files: str, **values: Any) -> Draft:
        return replace(NOTE, content=content, files=files, **values)

    async with store.begin() as conn:
        for draft in (
            about("half", "src/a.py", "src/gone.py"),
            about("all", "src/gone.py"),
            about("pinned", "src/gone.py", pinned=True),
            about("said", "src/gone.py", source="explicit"),
            about("folder", "src/"),
            about("none"),
        ):
            await save(conn, project, draft, actor="extraction")
        assert await validate(conn, project, []) == [], "of an empty target nothing is known"
        yesterday = datetime.now(UTC) - timedelta(days=1)
        assert await validate(conn, project, ["src/a.py"], learned_before=yesterday) == []
        touched = await validate(conn, project, ["src/a.py"])
        assert sorted(each.memory.content for each in touched) == ["all", "half", "pinned", "said"]
        left = {memory.content: memory.files for memory in await find(conn, project)}
        assert left == {"half": ("src/a.py",), "pinned": (), "said": (), "folder": ("src/",), "none": ()}
        assert await validate(conn, project, ["src/a.py"]) == []


class Long(list[str]):
    """Many paths: to go through them takes its time."""

    passes = 0

    def __iter__(self) -> Iterator[str]:
        self.passes += 1
        return super().__iter__()

    def __contains__(self, path: object) -> bool:
        self.passes += 1
        return super().__contains__(path)


async def test_all_lessons_are_checked_in_one_pass_over_the_files(store: Store, project: UUID) -> None:
    tracked = Long(["src/web/a.py", "README.md"])
    async with store.begin() as conn:
        for number in range(20):
            files = ["src/web/a.py", "src/web", "src/", f"src/{number}.py"]
            await save(conn, project, replace(NOTE, content=f"{number}", files=files), actor="extraction")
        assert len(await validate(conn, project, tracked)) == 20
        assert {memory.files for memory in await find(conn, project)} == {("src/web/a.py", "src/web", "src/")}
    assert tracked.passes == 1


async def age(conn: AsyncConnection, content: str, days: int) -> None:
    """Make a lesson old; the trigger that keeps the time of the last change must not see it."""
    await conn.execute(text("ALTER TABLE memories DISABLE TRIGGER set_updated_at"))
    moved = (
        "created_at = created_at - CAST(:age AS interval), updated_at = updated_at - CAST(:age AS interval)"
    )
    await conn.execute(
        text(f"UPDATE memories SET {moved} WHERE content = :content"),
        {"age": timedelta(days=days), "content": content},
    )
    await conn.execute(text("ALTER TABLE memories ENABLE TRIGGER set_updated_at"))


async def test_what_is_worn_out_is_retired_and_the_rest_is_sorted_into_tiers(
    store: Store, project: UUID
) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    async with store.begin() as conn:
        for draft in (
            replace(NOTE, content="expired", expires_at=yesterday),
            replace(NOTE, content="old failure", kind="failure_fix"),
            replace(NOTE, content="weighty failure", kind="failure_fix", importance=8),
            replace(NOTE, content="fresh failure", kind="failure_fix"),
            replace(NOTE, content="slight", importance=2),
            replace(NOTE, content="slight but pinned", importance=2, pinned=True),
            replace(NOTE, content="vital", importance=9),
            replace(NOTE, content="busy"),
        ):
            await save(conn, project, draft, actor="extraction")
        for content in ("old failure", "weighty failure", "slight", "slight but pinned"):
            await age(conn, content, 100)
        busy = next(memory for memory in await find(conn, project) if memory.content == "busy")
        used = [
            Event("expertise.recalled", session=str(uuid4()), data={"given": [str(busy.id)]})
            for _ in range(11)
        ]
        await apply(conn, project, used)
        shown = await prune(conn, project, dry_run=True)
        assert len(await find(conn, project)) == 8
        assert {each.memory.content for each in shown} == {"expired", "old failure"}
        assert await prune(conn, project) == shown
        tiers = {memory.content: memory.tier for memory in await find(conn, project)}
        assert tiers == {
            "weighty failure": "warm",
            "fresh failure": "warm",
            "slight": "cold",
            "slight but pinned": "hot",
            "vital": "hot",
            "busy": "hot",
        }
        await age(conn, "slight", 100)
        assert [each.memory.content for each in await prune(conn, project)] == ["slight"]


async def test_a_revision_is_due_by_the_interval(store: Store, project: UUID, tmp_path: Path) -> None:
    def every(interval: object) -> Config:
        return Config.model_validate({"learning": {"self_improve_interval": interval}})

    async def due(conn: AsyncConnection) -> list[bool]:
        return [await is_due(conn, project, every(each)) for each in ("never", "session", "daily", 2)]

    async def session(conn: AsyncConnection) -> None:
        await conn.execute(
            text("""
            WITH item AS (INSERT INTO work_items (project_id, key, kind, title)
                          VALUES (:p, gen_random_uuid()::text, 'task', 't') RETURNING id),
                 run AS (INSERT INTO runs (project_id) VALUES (:p) RETURNING id)
            INSERT INTO sessions (project_id, run_id, work_item_id, number, attempt, state, finished_at)
            SELECT :p, run.id, item.id, (SELECT count(*) + 1 FROM sessions), 1, 'failed', clock_timestamp()
            FROM item, run"""),
            {"p": project},
        )

    async with store.begin() as conn:
        assert await due(conn) == [False, False, False, False]
        await save(conn, project, replace(NOTE, files=["gone.py"], source="explicit"), actor="user:ada")
        await save(conn, project, replace(NOTE, files=["gone.py"], content="New."), actor="extraction")
        assert await due(conn) == [False, True, True, True]
    async with store.begin() as conn:
        done = await revise(conn, project, every("daily"), ["a.py"])
        assert (list(done.validated), list(done.pruned)) == ([], []), "what is new may not have landed"
        assert [each.change_type for each in done.versions] == ["self_improved"]
        assert done.versions[0].content["last_validated"]
    async with store.begin() as conn:
        assert await due(conn) == [False, False, False, False]
        await session(conn)
        assert await due(conn) == [False, True, False, False]
        await session(conn)
        assert await due(conn) == [False, True, False, True]
        await age(conn, "New.", 2)
        await conn.execute(text("UPDATE expertise_files SET validated_at = now() - interval '25 hours'"))
        assert await due(conn) == [False, True, True, True]
        done = await revise(conn, project, every("daily"), ["a.py"])
        assert [each.memory.content for each in done.validated] == ["New."]
        assert [memory.content for memory in await find(conn, project)] == [NOTE.content]
        again = await revise(conn, project, every("daily"), ["a.py"])
        assert not again.versions, "a file does not change because it was looked at"
