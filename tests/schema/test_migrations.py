"""The migrations: there and back, equal to the models, and safe when two processes run them at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from yoke_costs import rollups
from yoke_costs import tables as costs
from yoke_expertise import tables as expertise
from yoke_profiles import tables as profiles
from yokeflow.errors import StoreError
from yokeflow.store import migrate, tables, tables_commits, tables_evidence, tables_forecasts
from yokeflow.store.base import Base
from yokeflow.store.connection import Store
from yokeflow.store.driver import connection

if TYPE_CHECKING:
    from sqlalchemy import Connection

ROOT = Path(__file__).parents[2]
PLUGINS = sorted((ROOT / "plugins").glob("*/migrations"))

#: What a schema consists of, as PostgreSQL itself spells it. The order of columns is not part of it.
CATALOGUE = """
SELECT 'column', c.relname || '.' || a.attname,
       concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
                 pg_get_expr(d.adbin, d.adrelid))
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'v')
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype NOT IN ('n', 't')
UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'view', viewname, definition FROM pg_views WHERE schemaname = 'public'
UNION ALL SELECT 'trigger', tgrelid::regclass || '.' || tgname, pg_get_triggerdef(oid)
FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'function', proname, pg_get_functiondef(oid)
FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prokind = 'f'
  AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e') -- an extension's own
"""

Schema = dict[tuple[str, str], str]


async def schema_of(url: str) -> Schema:
    async with connection(url) as opened:
        return {(kind, name): definition for kind, name, definition in await opened.fetch(CATALOGUE)}


async def test_up_down_and_up_again_gives_the_same_schema(empty_database_url: str) -> None:
    empty = await schema_of(empty_database_url)
    assert await migrate.upgrade(empty_database_url, PLUGINS)
    first = await schema_of(empty_database_url)
    assert ("view", "v_project_costs") in first
    assert ("trigger", "events.append_only") in first
    await migrate.downgrade(empty_database_url, PLUGINS)
    left = await schema_of(empty_database_url)
    assert {key for key in left if not key[1].startswith("alembic_version")} == set(empty)
    await migrate.upgrade(empty_database_url, PLUGINS)
    assert await schema_of(empty_database_url) == first


async def test_the_models_are_what_the_migrations_make(database_url: str, empty_database_url: str) -> None:
    assert costs.AgentCost.metadata is tables.Project.metadata
    assert tables_forecasts.ConflictForecast.metadata is tables.Project.metadata
    assert tables_commits.RecordedCommit.metadata is tables.Project.metadata
    assert tables_evidence.CheckResult.metadata is tables.Project.metadata
    assert rollups.DailyCost.metadata is tables.Project.metadata
    assert expertise.MemoryRow.metadata is tables.Project.metadata
    assert profiles.AgentProfile.metadata is tables.Project.metadata
    async with await Store.open(empty_database_url) as store, store.begin() as conn:
        await conn.run_sync(Base.metadata.create_all)
    made = {key: value for key, value in (await schema_of(database_url)).items() if _is_of_tables(key)}
    declared = {
        key: value for key, value in (await schema_of(empty_database_url)).items() if _is_of_tables(key)
    }
    views = {name for kind, name in await schema_of(database_url) if kind == "view"}
    made = {key: value for key, value in made.items() if key[1].split(".")[0] not in views}
    assert made == declared


async def test_alembic_finds_no_difference(store: Store) -> None:
    async with store.begin() as conn:
        assert await conn.run_sync(_differences) == []


def test_every_branch_has_one_head() -> None:
    for folder in migrate.revision_folders(PLUGINS):
        own = migrate.revisions([folder])
        assert len(migrate.heads(own)) == 1, folder
        assert {branch for revision in own.values() for branch in revision.branches}, folder


async def test_every_foreign_key_has_an_index(store: Store) -> None:
    async with store.begin() as conn:
        bare = await conn.scalars(
            text("""
            SELECT key.conrelid::regclass || '.' || key.conname FROM pg_constraint key
            WHERE key.contype = 'f' AND NOT EXISTS (
              SELECT FROM pg_index i WHERE i.indrelid = key.conrelid AND i.indkey[0] = key.conkey[1]
              AND i.indpred IS NULL)
            """)
        )
        assert bare.all() == []


async def test_every_row_with_times_keeps_them(store: Store) -> None:
    async with store.begin() as conn:
        without = await conn.scalars(
            text("""
            SELECT table_name FROM information_schema.columns
            WHERE table_schema = 'public' AND column_name = 'updated_at'
              AND table_name IN (SELECT tablename FROM pg_tables)
            EXCEPT
            SELECT event_object_table FROM information_schema.triggers WHERE trigger_name = 'set_updated_at'
            """)
        )
        assert without.all() == []


async def test_pending_is_answered_without_importing_alembic(
    database_url: str, empty_database_url: str
) -> None:
    script = (
        "import asyncio, sys; from yokeflow.store import migrate\n"
        "asyncio.run(migrate.upgrade(sys.argv[1]))\n"
        "sys.exit('alembic' in sys.modules or 'sqlalchemy' in sys.modules)"
    )
    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script, database_url], check=False)
    assert done.returncode == 0
    assert await migrate.pending(empty_database_url, PLUGINS)
    assert not await migrate.pending(database_url, PLUGINS)


async def test_two_processes_may_upgrade_at_once(empty_database_url: str) -> None:
    script = (
        "import asyncio, sys; from pathlib import Path; from yokeflow.store import migrate\n"
        "asyncio.run(migrate.upgrade(sys.argv[1], [Path(folder) for folder in sys.argv[2:]]))"
    )
    command = [sys.executable, "-c", script, empty_database_url, *map(str, PLUGINS)]
    both = [await asyncio.create_subprocess_exec(*command) for _ in range(2)]
    assert [await process.wait() for process in both] == [0, 0]
    assert not await migrate.pending(empty_database_url, PLUGINS)


async def test_a_failing_migration_changes_nothing(empty_database_url: str, tmp_path: Path) -> None:
    (tmp_path / "odd_0001.py").write_text(
        "from alembic import op\nrevision = 'odd_0001'\ndown_revision = None\nbranch_labels = ('odd',)\n"
        "\n\ndef upgrade():\n    op.execute('SELECT * FROM nowhere')\n"
    )
    with pytest.raises(StoreError, match="nowhere"):
        await migrate.upgrade(empty_database_url, [tmp_path])
    assert await schema_of(empty_database_url) == {}


async def test_a_plugin_that_comes_later_brings_its_branch(empty_database_url: str) -> None:
    assert await migrate.upgrade(empty_database_url)
    assert await migrate.current(empty_database_url) == {"core_0002"}
    assert await migrate.upgrade(empty_database_url, PLUGINS)
    assert not await migrate.pending(empty_database_url, PLUGINS)


async def test_a_disabled_plugin_keeps_its_place(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "other_0001.py").write_text(
        "revision = 'other_0001'\ndown_revision = None\nbranch_labels = ('other',)\n\n\n"
        "def upgrade():\n    pass\n"
    )
    before = await migrate.current(database_url)
    assert not await migrate.pending(database_url)
    assert await migrate.upgrade(database_url, [tmp_path])
    assert await migrate.current(database_url) == before | {"other_0001"}


async def test_a_database_of_a_newer_program_is_refused(database_url: str, store: Store) -> None:
    async with store.begin() as conn:
        await conn.execute(
            text("UPDATE alembic_version SET version_num = 'core_9999' WHERE version_num ~ '^core'")
        )
    with pytest.raises(StoreError, match="core_9999") as caught:
        await migrate.upgrade(database_url, PLUGINS)
    assert "newer" in caught.value.hint


def test_a_migration_that_is_no_python_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("revision = (")
    with pytest.raises(StoreError, match=r"broken\.py"):
        migrate.revisions([tmp_path])


def _write(folder: Path, name: str, **said: object) -> None:
    """A revision file of the branch `odd` that does nothing."""
    told = {"revision": name, "down_revision": None, "branch_labels": ("odd",)} | said
    up = told.pop("upgrade", "pass")
    lines = [f"{key} = {value!r}" for key, value in told.items() if value is not ...]
    text_ = "\n".join(["from alembic import op", *lines, f"def upgrade():\n    {up}\n"])
    (folder / f"{name}.py").write_text(text_)


@pytest.mark.parametrize(
    ("up", "said"),
    [
        ("op.execute('SELECT nonsense FROM projects')", 'the database refused: column "nonsense" does not'),
        ("{}['x']", "KeyError: 'x'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
    ids=["database", "python", "exit"],
)
async def test_a_failing_migration_of_a_plugin_is_named(
    database_url: str, tmp_path: Path, up: str, said: str
) -> None:
    _write(tmp_path, "odd_0001", upgrade=up)
    for attempt in (migrate.upgrade, migrate.rehearse):
        with pytest.raises(StoreError) as caught:
            await attempt(database_url, {tmp_path: "stranger"})
        assert f"plugin stranger: migration odd_0001 failed: {said}" in caught.value.message
        assert "plugins.disabled: [stranger]" in caught.value.hint


async def test_a_rehearsal_leaves_nothing(empty_database_url: str) -> None:
    before = await schema_of(empty_database_url)
    await migrate.rehearse(empty_database_url, PLUGINS)
    assert await schema_of(empty_database_url) == before
    assert await migrate.pending(empty_database_url, PLUGINS)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"zzz": {}}, "the id of its migration zzz does not begin with odd_"),
        ({"odd_0002": {"down_revision": "odd_0001"}}, "odd_0002 comes after odd_0001, which is not here"),
        ({"odd_0001": {"revision": ...}}, "does not say which `revision` it is"),
        ({"odd_0001": {"revision": 5}}, "does not say which `revision` it is"),
        ({"odd_0001": {"branch_labels": None}}, "found: none"),
        ({"odd_0001": {"branch_labels": ("core",)}}, "found: core"),
        (
            {"odd_0001": {}, "odd_0002": {"branch_labels": None}},
            "its migrations end twice",
        ),
        ({"odd_0001": {}, "odd_0002": {"revision": "odd_0001"}}, "odd_0001 is there twice"),
        ({"core_0001": {"branch_labels": ("odd",)}}, "another plugin has a migration core_0001 too"),
    ],
)
async def test_revisions_that_make_no_sense_are_refused_by_name(
    database_url: str, tmp_path: Path, files: dict[str, dict[str, object]], said: str
) -> None:
    for name, changes in files.items():
        _write(tmp_path, name, **changes)
    with pytest.raises(StoreError) as caught:
        await migrate.upgrade(database_url, {tmp_path: "stranger"})
    assert caught.value.message.startswith("plugin stranger: ")
    assert said in caught.value.message
    assert "plugins.disabled: [stranger]" in caught.value.hint


def _is_of_tables(key: tuple[str, str]) -> bool:
    return key[0] in ("column", "constraint", "index") and "alembic_version" not in key[1]


def _differences(conn: Connection) -> list[Any]:
    context = MigrationContext.configure(conn, opts={"compare_type": True, "compare_server_default": True})
    found: list[Any] = compare_metadata(context, Base.metadata)
    return found
