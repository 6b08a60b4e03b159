"""The state of a project at a glance: a third of the time, where nothing must be brought up to date first."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import asyncpg

from yokeflow.git.repo import Repo
from yokeflow.settings import load_config
from yokeflow.store.driver import connection
from yokeflow.store.journal import Journal
from yokeflow.store.server import ensure_server
from yokeflow.store.status import STATUS

if TYPE_CHECKING:
    from pathlib import Path

#: A project and how far its journal was applied.
_PROJECT = "SELECT id, metadata -> 'journal' AS journal FROM projects WHERE repo_key = $1"


async def glance(start: Path) -> dict[str, Any] | None:
    """The object of `yoke status --json`, without loading what only writing needs.

    None when something has to be done first: a migration, a journal to be drained, a plan to be read.
    """
    repo = await Repo.discover(start)
    settings = await asyncio.to_thread(load_config, repo.root)
    url = await asyncio.to_thread(ensure_server, settings.config.database)
    async with connection(url) as opened:
        try:
            return await _read(opened, repo)
        except asyncpg.PostgresError:
            # An older schema: opening the store migrates it.
            return None


async def _read(opened: asyncpg.Connection[Any], repo: Repo) -> dict[str, Any] | None:
    project = await opened.fetchrow(_PROJECT, str(repo.common_dir))
    if project is None:
        return None
    at = json.loads(project["journal"] or "{}")
    journal = Journal(repo.state_dir / "journal.jsonl")
    if journal.read(at.get("generation", ""), at.get("offset", 0), limit=1).events:
        return None
    # Compiling the statement takes longer than running it.
    await opened.execute("SET jit = off")
    state: dict[str, Any] = json.loads(
        await opened.fetchval(STATUS.replace(":project", "$1"), str(project["id"]))
    )
    return state if state["items"] else None
