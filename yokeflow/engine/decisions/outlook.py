"""Decisions as a run would take them now, where the store can be asked at once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import text

from yokeflow.engine.decisions.decide import Decisions
from yokeflow.engine.decisions.hosting import Lender
from yokeflow.engine.recorder import Recorder
from yokeflow.errors import GitError, PluginError, RepositoryError, StoreError
from yokeflow.git.repo import Repo
from yokeflow.store.cache import CACHE, read_cache
from yokeflow.store.connection import Store
from yokeflow.store.forecasts import OFTEN, ConflictHistory, conflict_files
from yokeflow.store.journal import Journal
from yokeflow.store.server import ensure_server, server_status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from uuid import UUID

    from yokeflow.config import Config, Database
    from yokeflow.model import Plan
    from yokeflow.plugin_manager import PluginManager

#: Seconds in which the server must answer: who looks at a plan does not wait for it.
_PATIENCE = 1.0
_PROJECT = text("SELECT id FROM projects WHERE repo_key = :key")


class Outlook(NamedTuple):
    """What is ahead of a plan."""

    decisions: Decisions
    #: Files that often conflict, the most frequent first.
    hot: tuple[ConflictHistory, ...] = ()


async def outlook(start: Path, plan: Plan, plugins: PluginManager, config: Config) -> Outlook:
    """By what the store has, else decisions by the config alone, and what it told last.

    No server is started, no schema is changed, and no project is made known. Raises what plugins raise about
    what they have found.
    """
    unasked = Outlook(Decisions(plugins, config))
    try:
        repo = await Repo.discover(start)
        unasked = Outlook(unasked.decisions, _told_last(repo))
        target = await repo.target_branch(config.project.target)
        async with _at_hand(config.database) as store:
            project_id = await _project(store, repo) if store else None
            if store is None or project_id is None:
                return unasked
            recorder = Recorder("", Journal(repo.state_dir / "journal.jsonl"))
            decisions = Decisions(plugins, config, Lender(store, project_id, repo, target, recorder))
            await decisions.preview(plan)
            async with store.begin() as connection:
                known = await conflict_files(connection, project_id)
            return Outlook(decisions, tuple(each for each in known if each.conflicts >= OFTEN))
    except (RepositoryError, GitError, StoreError):
        # No repository yet, or a schema of another version: a run says so.
        return unasked
    except PluginError as error:
        if not isinstance(error.__cause__, StoreError):
            raise
        return unasked


def _told_last(repo: Repo) -> tuple[ConflictHistory, ...]:
    """Files that often conflict, by the last answer of the store, which does not say whose work that was."""
    cached = read_cache(repo.state_dir / CACHE)
    told = cached.state.get("hot_files", ()) if cached else ()
    return tuple(ConflictHistory(each["path"], each["conflicts"], frozenset()) for each in told)


@asynccontextmanager
async def _at_hand(database: Database) -> AsyncIterator[Store | None]:
    quick = database.model_copy(update={"connect_timeout": _PATIENCE})
    if not (await asyncio.to_thread(server_status, quick)).running:
        yield None
        return
    url = await asyncio.to_thread(ensure_server, quick)
    async with await Store.open(url, timeout=_PATIENCE, answer=_PATIENCE) as store:
        yield store


async def _project(store: Store, repo: Repo) -> UUID | None:
    async with store.begin() as connection:
        found: UUID | None = await connection.scalar(_PROJECT, {"key": str(repo.common_dir)})
    return found
