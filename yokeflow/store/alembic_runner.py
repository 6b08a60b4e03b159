"""Runs alembic: one transaction that holds an advisory lock. Imported only when the schema must change."""

from __future__ import annotations

from contextlib import contextmanager
from math import inf
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from yokeflow.errors import StoreError
from yokeflow.store.connection import ConnectionLostError, Store, store_error
from yokeflow.store.revisions import owner, refusal, revision_folders, schema_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

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


async def upgrade(url: str, plugin_folders: Collection[Path], *, keep: bool = True) -> None:
    """Run every pending migration, the core's first, or none; without `keep` they are taken back."""

    def work(connection: Connection) -> None:
        config = configuration(revision_folders(plugin_folders), connection)
        command.upgrade(config, "core@head")
        command.upgrade(config, "heads")

    await _run(url, work, plugin_folders, keep=keep)


async def downgrade(url: str, plugin_folders: Collection[Path], target: str) -> None:
    """Take migrations back to `target`, or none. `base` means all of them, the core's last."""

    def work(connection: Connection) -> None:
        config = configuration(revision_folders(plugin_folders), connection)
        branches = [f"{branch}@base" for branch in _branches(config)]
        for step in branches if target == "base" else [target]:
            command.downgrade(config, step)

    await _run(url, work, plugin_folders)


async def _run(
    url: str, work: Callable[[Connection], None], plugin_folders: Collection[Path], *, keep: bool = True
) -> None:
    folders = revision_folders(plugin_folders)

    def attempt(connection: Connection) -> None:
        with _blaming(url, plugin_folders):
            aside = _set_aside(connection, folders)
            work(connection)
            if aside:
                connection.execute(text("INSERT INTO alembic_version VALUES (:id)"), aside)

    # A migration takes the time it takes, and so does waiting for somebody else's.
    store = await Store.open(url, pool_size=1, pool_overflow=0, answer=inf)
    try:
        async with store.begin() as connection:
            # Whoever comes second waits here, then finds everything done.
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            await connection.run_sync(attempt)
            if not keep:
                await connection.rollback()
    except CommandError as error:
        raise StoreError(f"the schema cannot be changed: {error}", hint=_HINT) from error
    finally:
        await store.close()


@contextmanager
def _blaming(url: str, plugin_folders: Collection[Path]) -> Iterator[None]:
    """Turn what a migration raises into an error with its name, and that of its plugin."""
    try:
        yield
    except CommandError:
        raise
    except (Exception, SystemExit) as error:
        name, folder = _culprit(error, revision_folders(plugin_folders))
        reason = store_error(url, error) if isinstance(error, SQLAlchemyError) else None
        if folder is None or isinstance(reason, ConnectionLostError):
            raise
        said = reason.message if reason else f"{type(error).__name__}: {error}"
        message = f"migration {name} failed: {said}"
        whose = owner(folder, plugin_folders)
        raise (refusal(whose, message) if whose else StoreError(message, hint=_HINT)) from error


def _culprit(error: BaseException, folders: Sequence[Path]) -> tuple[str, Path | None]:
    """The migration in which an error came up, and its folder."""
    real = {folder.resolve(): folder for folder in folders}
    for frame, _ in walk_tb(error.__traceback__):
        file = Path(frame.f_code.co_filename)
        if folder := real.get(file.resolve().parent):
            return file.stem, folder
    return "", None


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
