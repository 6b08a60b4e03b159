"""Expertise files: compiled alike every time, capped, versioned, and never written over a person's edits."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from yoke_expertise.checkout import file_of, write_files
from yoke_expertise.compile import (
    compile_all,
    compile_domain,
    current_text,
    domains,
    rollback,
    versions,
)
from yoke_expertise.documents import SECTIONS, compile_document, render
from yoke_expertise.exchange import export_all, import_document
from yoke_expertise.memories import Draft, Memory, StaleMemoryError, change, find, get, retire, save
from yoke_expertise.tables import KINDS
from yokeflow.config import Learning
from yokeflow.document import load_document, parse_document
from yokeflow.errors import DocumentError, StoreError, UsageError
from yokeflow.store import projects
from yokeflow.store.connection import Store

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

LEARNING = Learning()
NOTE = Draft("testing", "note", "Run the tests with -x first.")


@pytest.fixture
async def project(store: Store, tmp_path: Path) -> UUID:
    async with store.begin() as conn:
        return await projects.register(conn, "key", "sample", tmp_path)


def lesson(number: int, kind: str = "note", **values: Any) -> Memory:
    """A lesson that is in no store."""
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    usual: dict[str, Any] = {
        "id": UUID(int=number),
        "project_id": UUID(int=0),
        "key": str(number),
        "type": "semantic",
        "domain": "testing",
        "status": "active",
        "tier": "warm",
        "source": "extraction",
        "kind": kind,
        "subject": "",
        "content": f"Lesson {number}.",
        "importance": 5,
        "confidence": 0.5,
        "evidence": {},
        "pinned": False,
        "files": (),
        "categories": (),
        "superseded_by": None,
        "access_count": 0,
        "last_accessed_at": None,
        "expires_at": None,
        "version": 1,
        "created_at": moment,
        "updated_at": moment,
    }
    return Memory(**usual | values)


LESSONS = st.lists(
    st.builds(
        lesson,
        st.integers(1, 10**6),
        st.sampled_from(KINDS),
        content=st.text("ab \n:#-'\"{[", min_size=1, max_size=80)
        | st.sampled_from(["yes", "2026-01-01", "12"]),
        importance=st.integers(1, 10),
        pinned=st.booleans(),
        files=st.lists(st.sampled_from([f"src/{name}.py" for name in "abcdefgh"]), max_size=3).map(tuple),
    ),
    max_size=60,
    unique_by=lambda memory: memory.id,
)


@settings(max_examples=60, deadline=None)
@given(LESSONS, st.integers(8, 300), st.randoms())
def test_a_file_is_capped_the_same_every_time_and_says_what_the_lessons_say(
    lessons: list[Memory], most: int, shuffler: Any
) -> None:
    compiled = compile_document("testing", lessons, most)
    written = render(compiled.content, 1)
    shuffled = shuffler.sample(lessons, len(lessons))
    again = compile_document("testing", shuffled, most)
    # As the store gives it back, which keeps no order of keys.
    assert render(json.loads(json.dumps(again.content, sort_keys=True)), 1) == written
    assert written.count("\n") <= most
    read = yaml.safe_load(written)
    entries = [entry for section in SECTIONS for entry in read.get(section, ())]
    assert len(entries) + compiled.left_out == len(lessons)
    said = {str(memory.id): memory for memory in lessons}
    for entry in entries:
        assert entry["lesson"] == said[entry["id"]].content
        assert tuple(entry.get("files", ())) == said[entry["id"]].files
    if compiled.left_out == 0:
        return
    limits = {"learned_from_failures": 10, "effective_patterns": 15, "successful_techniques": 10}
    unlimited = [memory for memory in lessons if memory.kind in ("note", "check", "co_change", "conflict")]
    kept = {entry["id"] for entry in entries}
    worst = min(
        (memory.importance + 100 * memory.pinned for memory in lessons if str(memory.id) in kept), default=999
    )
    for memory in unlimited:
        if str(memory.id) not in kept:
            assert memory.importance + 100 * memory.pinned <= worst
    for section, limit in limits.items():
        assert len(read.get(section, ())) <= limit


def test_what_is_too_long_is_cut_in_the_order_of_the_sections() -> None:
    lessons = [lesson(number, "failure_fix") for number in range(1, 31)]
    lessons += [lesson(number, "note", importance=1) for number in range(101, 111)]
    size = render(compile_document("testing", lessons, 1000).content, 1).count("\n")
    shorter = compile_document("testing", lessons, size - 1)
    assert len(shorter.content["learned_from_failures"]) == 10
    assert len(shorter.content["best_practices"]) == 10, "failures give way before notes that matter less"
    assert shorter.left_out == 20
    assert shorter.content["overview"] == "20 of 40 lessons, the most important first"
    few = compile_document("testing", [*lessons, lesson(999, "note", pinned=True)], 12)
    assert [entry["id"] for entry in few.content["best_practices"]] == [str(UUID(int=999))]


async def test_a_version_is_made_when_the_lessons_change_and_only_then(store: Store, project: UUID) -> None:
    async with store.begin() as conn:
        first = await save(conn, project, NOTE, actor="extraction")
        session = uuid4()
        one = await compile_domain(conn, project, "testing", LEARNING, change_type="learned", session=session)
        assert one
        assert (one.version, one.change_type, one.session, one.summary) == (1, "learned", session, "1 added")
        assert not await compile_domain(conn, project, "testing", LEARNING, change_type="learned")
        assert not await compile_domain(conn, project, "api", LEARNING, change_type="learned")
        await change(conn, first.id, 1, actor="user:ada", content="Run them with -q.")
        await save(conn, project, replace(NOTE, content="Another.", domain="api"), actor="extraction")
        made = await compile_all(conn, project, LEARNING, change_type="edited")
        assert [(each.domain, each.version) for each in made] == [("api", 1), ("testing", 2)]
        assert "-  lesson: Run the tests with -x first.\n" in made[1].diff
        assert "+  lesson: Run them with -q.\n" in made[1].diff
        row = (await conn.execute(text("SELECT * FROM expertise_files WHERE domain = 'testing'"))).one()
        written = await current_text(conn, project, "testing")
        assert written
        assert (row.version, row.line_count) == (2, written.count("\n"))
        assert await domains(conn, project) == ["api", "testing"]
    for statement in ("UPDATE expertise_updates SET version = 9", "DELETE FROM expertise_updates"):
        with pytest.raises(StoreError, match="append-only"):
            async with store.begin() as conn:
                await conn.execute(text(statement))


async def test_a_rollback_brings_the_lessons_of_a_version_back_as_a_new_one(
    store: Store, project: UUID
) -> None:
    async with store.begin() as conn:
        kept = await save(conn, project, replace(NOTE, tags=["x"]), actor="extraction")
        gone = await save(conn, project, replace(NOTE, content="Second."), actor="extraction")
        other = await save(conn, project, replace(NOTE, content="Else.", domain="api"), actor="extraction")
        first = await compile_domain(conn, project, "testing", LEARNING, change_type="learned")
        assert first
        await change(conn, kept.id, 1, actor="user:ada", content="Changed.", tags=[], domain="api")
        await retire(conn, gone.id, "wrong")
        await change(conn, other.id, 1, actor="user:ada", content="Changed too.")
        late = await save(conn, project, replace(NOTE, content="Later."), actor="extraction")
        await compile_domain(conn, project, "testing", LEARNING, change_type="edited")
        back = await rollback(conn, project, "testing", 1, LEARNING, actor="user:ada")
        assert back
        assert (back.version, back.change_type) == (3, "rolled_back")
        assert render(back.content, 1) == render(first.content, 1)
        again = await get(conn, project, str(kept.id))
        assert (again.content, again.tags, again.domain) == (kept.content, ("x",), "testing")
        assert (await get(conn, project, str(gone.id))).status == "active"
        assert (await get(conn, project, str(late.id))).status == "archived"
        assert (await get(conn, project, str(other.id))).content == "Changed too."
        assert [each.version for each in await versions(conn, project, "testing")] == [1, 2, 3]
        assert await rollback(conn, project, "testing", 3, LEARNING, actor="user:ada") is None
        forward = await rollback(conn, project, "testing", 2, LEARNING, actor="user:ada")
        assert forward
        assert [memory.content for memory in await find(conn, project, "testing")] == ["Later."]
        with pytest.raises(UsageError, match="no version 9"):
            await rollback(conn, project, "testing", 9, LEARNING, actor="user:ada")


async def test_a_rollback_brings_back_what_its_version_saw_and_nothing_else(
    store: Store, project: UUID
) -> None:
    async with store.begin() as conn:
        seen = await save(conn, project, NOTE, actor="extraction")
    async with store.begin() as writer:
        late = await save(writer, project, replace(NOTE, content="Not seen."), actor="extraction")
        await change(writer, seen.id, 1, actor="extraction", content="Not seen either.")
        async with store.begin() as conn:
            assert await compile_domain(conn, project, "testing", LEARNING, change_type="learned")
    async with store.begin() as conn:
        assert await compile_domain(conn, project, "testing", LEARNING, change_type="learned")
        back = await rollback(conn, project, "testing", 1, LEARNING, actor="user:ada")
        assert back
        assert [memory.content for memory in await find(conn, project, "testing")] == [NOTE.content]
        assert (await get(conn, project, str(late.id))).status == "archived"
        assert await rollback(conn, project, "testing", 2, LEARNING, actor="user:ada")
        said = sorted(memory.content for memory in await find(conn, project, "testing"))
        assert said == ["Not seen either.", "Not seen."]


async def compiled(conn: AsyncConnection, project: UUID, root: Path) -> dict[str, str]:
    await compile_all(conn, project, LEARNING, change_type="learned")
    return {each.domain: each.state for each in await write_files(conn, project, root, LEARNING)}


async def test_a_file_that_a_person_edited_is_left_alone_until_it_was_taken_in(
    store: Store, project: UUID, tmp_path: Path
) -> None:
    async with store.begin() as conn:
        memory = await save(conn, project, NOTE, actor="extraction")
        assert await compiled(conn, project, tmp_path) == {"testing": "written"}
        path = file_of(tmp_path, LEARNING, "testing")
        first = path.read_text()
        stamp = path.stat()
        path.with_name("testing.yaml.0123abcd").touch()
        assert await compiled(conn, project, tmp_path) == {"testing": "same"}
        assert path.stat() == stamp
        await change(conn, memory.id, 1, actor="user:ada", importance=9)
        assert await compiled(conn, project, tmp_path) == {"testing": "written"}
        path.write_text(first.replace("\n", "\r\n"), newline="")
        assert await compiled(conn, project, tmp_path) == {"testing": "written"}, (
            "an older version is no edit"
        )
        edited = path.read_text().replace("with -x", "with -q") + "- lesson: By hand.\n"
        path.write_text(edited)
        assert await compiled(conn, project, tmp_path) == {"testing": "edited"}
        assert path.read_text() == edited
        taken = await import_document(conn, project, load_document(path), actor="user:ada")
        assert (taken.added, taken.changed, taken.retired) == (1, 1, 0)
        found = await find(conn, project)
        assert {(each.content, each.source, each.importance) for each in found} == {
            ("Run the tests with -q first.", "extraction", 9),
            ("By hand.", "explicit", 5),
        }
        assert [file.name for file in path.parent.iterdir()] == ["testing.yaml"]


async def test_edits_of_a_file_meet_changes_in_the_store_field_by_field(
    store: Store, project: UUID, tmp_path: Path
) -> None:
    async with store.begin() as conn:
        memory = await save(conn, project, NOTE, actor="extraction")
        other = await save(conn, project, replace(NOTE, content="Second."), actor="extraction")
        await compiled(conn, project, tmp_path)
        path = file_of(tmp_path, LEARNING, "testing")
        path.write_text(path.read_text().replace("with -x", "with -q"))
        await change(conn, memory.id, 1, actor="user:bob", importance=9)
        document = load_document(path)
        await import_document(conn, project, document, actor="user:ada")
        both = await get(conn, project, str(memory.id))
        assert (both.content, both.importance) == ("Run the tests with -q first.", 9)
        await change(conn, memory.id, both.version, actor="user:bob", content="Bob was here.")
        with pytest.raises(StaleMemoryError, match=r"yours:.*with -q[\s\S]*theirs:.*Bob was here") as caught:
            await import_document(conn, project, document, actor="user:ada")
        assert "--force" in caught.value.hint
        await import_document(conn, project, document, actor="user:ada", force=True)
        assert (await get(conn, project, str(memory.id))).content == "Run the tests with -q first."
        lines = path.read_text().splitlines(keepends=True)
        start = next(i for i, line in enumerate(lines) if str(other.id) in line)
        rest = next((i for i in range(start + 1, len(lines)) if lines[i].startswith("- ")), len(lines))
        path.write_text("".join(lines[:start] + lines[rest:]))
        taken = await import_document(conn, project, load_document(path), actor="user:ada")
        assert taken.retired == 1
        assert (await get(conn, project, str(other.id))).status == "archived"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("domain: testing\nbest_practises: []\n", "best_practices"),
        ("domain: testing\nbest_practices:\n- id: 12\n", "lesson"),
        ("domain: testing\nbest_practices:\n- lesson: x\n  importance: 11\n", "importance"),
        ("- a\n", "x.yaml"),
        ("yoke_expertise: 2\nmemories: []\n", "yoke_expertise"),
    ],
)
async def test_a_file_that_makes_no_sense_is_refused_with_its_line(
    store: Store, project: UUID, written: str, message: str
) -> None:
    with pytest.raises(DocumentError, match=message):
        async with store.begin() as conn:
            await import_document(conn, project, parse_document(written, Path("x.yaml")), actor="user:ada")
    async with store.begin() as conn:
        assert await find(conn, project, status=()) == []


async def test_what_is_exported_can_be_imported_elsewhere(
    store: Store, project: UUID, tmp_path: Path
) -> None:
    async with store.begin() as conn:
        rich = replace(NOTE, files=["a.py"], tags=["t"], categories=["code"], evidence={"seen": 2})
        rich = replace(rich, pinned=True, expires_at=datetime(2030, 1, 1, tzinfo=UTC), subject="S")
        await save(conn, project, rich, actor="extraction")
        gone = await save(conn, project, replace(NOTE, content="Gone.", kind="check"), actor="extraction")
        await retire(conn, gone.id, "wrong")
        exported = await export_all(conn, project, "sample")
        plain = json.dumps(exported, default=str, indent=1)
        document = parse_document(plain, Path("e.json"))
        elsewhere = await projects.register(conn, "other", "other", tmp_path)
        taken = await import_document(conn, elsewhere, document, actor="user:ada")
        assert (taken.added, taken.changed, taken.unchanged) == (2, 0, 0)
        again = await import_document(conn, elsewhere, document, actor="user:ada")
        assert (again.added, again.changed, again.unchanged) == (0, 0, 2)

        def said(found: dict[str, Any]) -> list[dict[str, Any]]:
            own = ("id", "version")
            return [{key: each[key] for key in each if key not in own} for each in found["memories"]]

        assert said(await export_all(conn, elsewhere, "other")) == said(exported)
        memory = (await find(conn, project))[0]
        await change(conn, memory.id, memory.version, actor="user:bob", content="Newer.")
        with pytest.raises(StaleMemoryError, match="Newer"):
            await import_document(conn, project, document, actor="user:ada")
        await import_document(conn, project, document, actor="user:ada", force=True)
        assert (await get(conn, project, str(memory.id))).content == NOTE.content


async def test_a_lesson_that_a_document_lists_twice_is_one(
    store: Store, project: UUID, tmp_path: Path
) -> None:
    async with store.begin() as conn:
        memory = await save(conn, project, NOTE, actor="extraction")
        exported = json.loads(json.dumps(await export_all(conn, project, "sample"), default=str))
        (item,) = exported["memories"]
        elsewhere = await projects.register(conn, "other", "other", tmp_path)
        # Added, changed, and as it was.
        for content, counts in ((NOTE.content, (1, 0, 0)), ("Other.", (0, 1, 0)), ("Other.", (0, 0, 1))):
            exported["memories"] = [item | {"content": content}] * 2
            document = parse_document(json.dumps(exported), Path("e.json"))
            taken = await import_document(conn, elsewhere, document, actor="user:ada", force=True)
            assert (taken.added, taken.changed, taken.unchanged) == counts
        exported["memories"][1] = item
        document = parse_document(json.dumps(exported), Path("e.json"))
        with pytest.raises(UsageError, match=f"{memory.id} is there twice"):
            await import_document(conn, elsewhere, document, actor="user:ada")
        entry = f"- id: {memory.id}\n  lesson: "
        twice = f"domain: testing\nbest_practices:\n{entry}Mine.\n{entry}"
        document = parse_document(f"{twice}Mine.\n", Path("x.yaml"))
        assert (await import_document(conn, project, document, actor="user:ada")).changed == 1
        with pytest.raises(UsageError, match="is there twice"):
            document = parse_document(f"{twice}Yours.\n", Path("x.yaml"))
            await import_document(conn, project, document, actor="user:ada")


async def test_lessons_of_another_project_change_none_of_ours(
    store: Store, project: UUID, tmp_path: Path
) -> None:
    measured = {"effect": {"verdict": "helps", "given": 90}}
    async with store.begin() as conn:
        await save(conn, project, replace(NOTE, key="same", evidence=measured), actor="extraction")
        await save(conn, project, replace(NOTE, key="new", evidence=measured), actor="extraction")
        exported = json.dumps(await export_all(conn, project, "sample"), default=str)
        document = parse_document(exported, Path("e.json"))
        elsewhere = await projects.register(conn, "other", "other", tmp_path)
        ours = {"effect": {"verdict": "open", "given": 3}}
        mine = replace(NOTE, content="Ours.", key="same", evidence=ours)
        before = await save(conn, elsewhere, mine, actor="user:ada")
        taken = await import_document(conn, elsewhere, document, actor="user:ada")
        assert (taken.added, taken.skipped, taken.changed) == (1, 1, 0)
        assert await get(conn, elsewhere, str(before.id)) == before
        (added,) = (memory for memory in await find(conn, elsewhere) if memory.key == "new")
        assert added.evidence == {}, "nothing was measured here"
        taken = await import_document(conn, elsewhere, document, actor="user:ada", force=True)
        assert (taken.changed, taken.unchanged) == (1, 1)
        after = await get(conn, elsewhere, str(before.id))
        assert (after.content, after.evidence) == (NOTE.content, ours)


async def test_nothing_is_written_outside_of_the_repository(
    store: Store, project: UUID, tmp_path: Path
) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / ".expertise").symlink_to(outside)
    async with store.begin() as conn:
        await save(conn, project, NOTE, actor="extraction")
        await compile_all(conn, project, LEARNING, change_type="learned")
        with pytest.raises(UsageError, match="leads out of the repository"):
            await write_files(conn, project, root, LEARNING)
    assert list(outside.iterdir()) == []
    (root / ".expertise").unlink()
    odd = {file_of(root, LEARNING, name) for name in ("../x", "a/b", "a b", "a?b", ".git", "a-b", "con")}
    assert len(odd) == 7
    assert {path.parent for path in odd} == {root / ".expertise"}
