"""Where the projects of a store are, asked without loading what only writing needs."""

from __future__ import annotations

from pathlib import Path

import asyncpg

from yokeflow.store.driver import connection

#: The git folder of every project that was ever registered.
_FOLDERS = "SELECT repo_key FROM projects ORDER BY repo_key"


async def git_folders(url: str) -> list[Path]:
    """The git folders of all projects; none where the schema was never made."""
    async with connection(url) as opened:
        try:
            rows = await opened.fetch(_FOLDERS)
        except asyncpg.UndefinedTableError:
            return []
    return [Path(row["repo_key"]) for row in rows]
