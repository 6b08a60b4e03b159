"""Is the schema up to date, and bring it there. Imports alembic only when something must change."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Any

import asyncpg

from yokeflow.store.driver import connection
from yokeflow.store.revisions import (
    Revision,
    check_revisions,
    heads,
    revision_folders,
    revisions,
    schema_folder,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

__all__ = [
    "Revision",
    "current",
    "downgrade",
    "heads",
    "pending",
    "rehearse",
    "revision_folders",
    "revisions",
    "schema_folder",
    "upgrade",
]


async def current(url: str) -> frozenset[str]:
    """The revisions the database says it is at; empty before the first migration."""
    async with connection(url) as opened:
        try:
            rows = await opened.fetch("SELECT version_num FROM alembic_version")
        except asyncpg.UndefinedTableError:
            return frozenset()
    return frozenset(row["version_num"] for row in rows)


async def pending(url: str, plugin_folders: Collection[Path] = ()) -> bool:
    """Whether a migration is to be run. One query and a look at the revision files.

    Where `plugin_folders` are a mapping, its values are the plugins' names. Raises StoreError for revisions
    that make no sense.
    """
    known = await asyncio.to_thread(check_revisions, plugin_folders)
    return not heads(known) <= _reached(known, await current(url))


async def upgrade(url: str, plugin_folders: Collection[Path] = ()) -> bool:
    """Bring the schema up to date; False when it was. Safe when several processes do it at once.

    Raises StoreError with the name of a migration that fails, and of its plugin; all is as before then.
    """
    if not await pending(url, plugin_folders):
        return False
    await _runner().upgrade(url, plugin_folders)
    return True


async def rehearse(url: str, plugin_folders: Collection[Path] = ()) -> None:
    """Run what is pending and take it back at once. Raises StoreError as `upgrade` does."""
    await _runner().upgrade(url, plugin_folders, keep=False)


async def downgrade(url: str, plugin_folders: Collection[Path] = (), target: str = "base") -> None:
    """Take migrations back to a revision such as `core_0001`; `base` takes back everything."""
    await _runner().downgrade(url, plugin_folders, target)


def _runner() -> Any:
    return import_module("yokeflow.store.alembic_runner")


def _reached(known: Mapping[str, Revision], at: Iterable[str]) -> set[str]:
    """The revisions that these include: alembic does not list what another one depends on."""
    reached: set[str] = set()
    left = list(at)
    while left:
        revision = left.pop()
        if revision not in reached:
            reached.add(revision)
            left += known[revision].after if revision in known else ()
    return reached
