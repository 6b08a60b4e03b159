"""Runs alembic: one transaction that holds an advisory lock. Imported only when the schema must change."""

from __future__ import annotations

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
    """Run every pending migration, or none."""
    await _run(url, lambda connection: command.upgrade(configuration(folders, connection), "heads"), folders)


async def downgrade(url: str, folders: Sequence[Path], target: str) -> None:
    """Take migrations back to `target`, or none."""
    await _run(url, lambda connection: command.downgrade(configuration(folders, connection), target), folders)


async def _run(url: str, work: Callable[[Connection], None], folders: Sequence[Path]) -> None:
    store = await Store.open(url, pool_size=1, pool_overflow=0)
    try:
        async with store.begin() as connection:
            # Whoever comes second waits here, then finds everything done.
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            await connection.run_sync(_refuse_unknown, folders)
            await connection.run_sync(work)
    except CommandError as error:
        raise StoreError(f"the schema cannot be changed: {error}", hint=_HINT) from error
    finally:
        await store.close()


def _refuse_unknown(connection: Connection, folders: Sequence[Path]) -> None:
    """Alembic cannot find its way from a revision whose file is not there."""
    script = ScriptDirectory.from_config(configuration(folders))
    known = {revision.revision for revision in script.walk_revisions()}
    strange = sorted(set(MigrationContext.configure(connection).get_current_heads()) - known)
    if strange:
        raise StoreError(
            f"the database is at a revision that is not known here: {', '.join(strange)}",
            hint="a newer YokeFlow made it, or a plugin that is not loaded: update, or enable the plugin",
        )


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")
