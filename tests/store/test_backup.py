"""Copies of the database: whole, private, all or nothing."""

from __future__ import annotations

import asyncio
import stat
from typing import TYPE_CHECKING

import pytest

from yokeflow.errors import StoreError
from yokeflow.store.backup import backup, restore
from yokeflow.store.driver import connection

if TYPE_CHECKING:
    from pathlib import Path

NAMES = "SELECT coalesce(string_agg(name, ',' ORDER BY name), '') FROM projects"


def execute(url: str, statement: str) -> object:
    async def work() -> object:
        async with connection(url) as opened:
            return await opened.fetchval(statement)

    return asyncio.run(work())


def add(url: str, name: str) -> None:
    execute(url, f"INSERT INTO projects (repo_key, name) VALUES ('{name}', '{name}')")


def test_a_restore_brings_back_what_was_saved_and_nothing_else(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "store.backup"
    add(database_url, "kept")
    assert backup(database_url, file) == file.stat().st_size > 1000
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    add(database_url, "later")
    execute(database_url, "CREATE TABLE newer (project uuid REFERENCES projects)")
    restore(database_url, file)
    assert execute(database_url, NAMES) == "kept"
    assert execute(database_url, "SELECT to_regclass('newer')::text") is None
    with pytest.raises(Exception, match="append-only"):
        execute(database_url, "TRUNCATE events")
    assert [entry.name for entry in tmp_path.iterdir()] == ["store.backup"]


def test_a_backup_goes_into_an_empty_database(
    database_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    add(database_url, "moved")
    backup(database_url, tmp_path / "b")
    restore(empty_database_url, tmp_path / "b")
    assert execute(empty_database_url, NAMES) == "moved"


def test_a_damaged_backup_changes_nothing(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "b"
    for number in range(300):
        add(database_url, f"project-{number}")
    size = backup(database_url, file)
    content = file.read_bytes()
    for length in (size // 2, size - 2000):
        file.write_bytes(content[:length])
        with pytest.raises(StoreError, match="pg_restore"):
            restore(database_url, file)
        assert execute(database_url, "SELECT count(*) FROM projects") == 300


@pytest.mark.parametrize("content", [None, b"", b"CREATE TABLE x ();"])
def test_a_file_that_is_no_backup_is_refused(
    database_url: str, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "other"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StoreError) as caught:
        restore(database_url, file)
    assert "yoke db backup" in caught.value.hint


def test_a_backup_into_a_missing_folder_says_so(database_url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot write"):
        backup(database_url, tmp_path / "nowhere" / "b")


def test_a_failed_backup_leaves_the_earlier_one(tmp_path: Path) -> None:
    file = tmp_path / "b"
    file.write_bytes(b"earlier")
    with pytest.raises(StoreError, match="pg_dump failed") as caught:
        backup("postgresql://me:hunter2@127.0.0.1:9/nowhere", file)
    assert "hunter2" not in str(caught.value)
    assert file.read_bytes() == b"earlier"
    assert [entry.name for entry in tmp_path.iterdir()] == ["b"]
