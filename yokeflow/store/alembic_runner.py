"""Runs alembic: one transaction that holds an advisory lock. Imported only when the schema must change."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from yokeflow.errors import StoreError
from yokeflow.store.connection import Store
from yokeflow.store.migrate import schema_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

#: "yokeflow" as a number; the lock is the database's own.
_LOCK = 0x796F6B65666C6F77
_HINT = "nothing was changed; `yoke db backup` before trying again, and report it with the message above"


def configuration(folders: Sequence[Path], connection: Connection | None = None) -> Config:
    """Alembic's configuration for these folders of revisions, the core's first."""
    config = Config()
    config.set_main_option("script_location", _escaped(schema_folder()))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(_escaped(folder) for folder in folders))
    config.attributes["connection"] = connection
    return config


async def upgrade(url: str, folders: Sequence[Path]) -> None:
    """Run every pending migration, the core's first, or none."""

    def work(connection: Connection) -> None:
        config = configuration(folders, connection)
        command.upgrade(config, "core@head")
        command.upgrade(config, "heads")

    await _run(url, work, folders)


async def downgrade(url: str, folders: Sequence[Path], target: str) -> None:
    """Take migrations back to `target`, or none. `base` means all of them, the core's last."""

    def work(connection: Connection) -> None:
        config = configuration(folders, connection)
        branches = [f"{branch}@base" for branch in _branches(config)]
        for step in branches if target == "base" else [target]:
            command.downgrade(config, step)

    await _run(url, work, folders)


async def _run(url: str, work: Callable[[Connection], None], folders: Sequence[Path]) -> None:
    # A migration takes the time it takes, and so does waiting for somebody else's.
    store = await Store.open(url, pool_size=1, pool_overflow=0, answer=inf)
    try:
        async with store.begin() as connection:
            # Whoever comes second waits here, then finds everything done.
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            aside = await connection.run_sync(_set_aside, folders)
            await connection.run_sync(work)
            if aside:
                await connection.execute(text("INSERT INTO alembic_version VALUES (:id)"), aside)
    except CommandError as error:
        raise StoreError(f"the schema cannot be changed: {error}", hint=_HINT) from error
    finally:
        await store.close()


def _set_aside(connection: Connection, folders: Sequence[Path]) -> list[dict[str, str]]:
    """Take the branches of plugins that are not loaded out of alembic's sight; it finds no way from there.

    Raises StoreError for a branch that is known, at a revision that is not: a newer program was here.
    """
    known = {revision.revision for revision in _script(configuration(folders)).walk_revisions()}
    strange = sorted(set(MigrationContext.configure(connection).get_current_heads()) - known)
    newer = [found for found in strange if _branch(found) in map(_branch, known)]
    if newer:
        raise StoreError(
            f"the database is at a revision that is not known here: {', '.join(newer)}",
            hint="a newer YokeFlow or plugin was used on it: update this one",
        )
    for found in strange:
        connection.execute(text("DELETE FROM alembic_version WHERE version_num = :id"), {"id": found})
    return [{"id": found} for found in strange]


def _branch(revision: str) -> str:
    return revision.rpartition("_")[0]


def _branches(config: Config) -> list[str]:
    """Labels of all branches, the core's last."""
    labels = {label for revision in _script(config).walk_revisions() for label in revision.branch_labels}
    return sorted(labels, key=lambda label: (label == "core", label))


def _script(config: Config) -> ScriptDirectory:
    return ScriptDirectory.from_config(config)


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")
