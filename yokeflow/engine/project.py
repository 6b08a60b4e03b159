"""A project: one repository with its settings, plugins, journal and place in the store."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yokeflow.engine.facts import claims, commits, rebuild
from yokeflow.git.repo import Repo
from yokeflow.git.worktrees import Worktrees
from yokeflow.plan.load import load_plan
from yokeflow.plugin_manager import PluginManager, load_settings
from yokeflow.store import drain, migrate, projects
from yokeflow.store.connection import Store
from yokeflow.store.journal import Journal
from yokeflow.store.rebuild import has_items
from yokeflow.store.server import ensure_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from uuid import UUID

    from yokeflow.config import Config
    from yokeflow.events import Event
    from yokeflow.model import Plan
    from yokeflow.settings import Settings


@dataclass(frozen=True)
class Project:
    """Everything that is known about a project before its store is opened."""

    repo: Repo
    settings: Settings
    plugins: PluginManager

    @classmethod
    async def open(cls, start: Path, overrides: Mapping[str, Any] | None = None) -> Project:
        """The project of the repository around `start`. `overrides` are dotted config keys given as flags.

        Raises RepositoryError, DocumentError or PluginError.
        """
        repo = await Repo.discover(start)
        return cls(repo, *load_settings(repo.root, overrides))

    @property
    def config(self) -> Config:
        return self.settings.config

    @property
    def name(self) -> str:
        return self.config.project.name or self.repo.root.name

    @property
    def journal(self) -> Journal:
        return Journal(self.repo.state_dir / "journal.jsonl")

    @property
    def lock_file(self) -> Path:
        return self.repo.state_dir / "run.lock"

    @property
    def worktrees(self) -> Worktrees:
        return Worktrees(self.repo, self.repo.worktree_folder(self.config.parallel.worktree_dir))

    def session_folder(self, session: str) -> Path:
        """Where the prompt, transcript and check logs of a session are kept."""
        return self.repo.state_dir / "sessions" / session

    def load_plan(self, path: str | None = None) -> Plan:
        """The plan in the file `path`, else in the configured one, which is relative to the repository.

        Raises DocumentError.
        """
        file = Path(path) if path else self.repo.root / self.config.plan
        return load_plan(file, branch_prefix=self.config.project.branch_prefix)

    @asynccontextmanager
    async def store(
        self, record: Callable[[Event], None] | None = None, *, patience: float | None = None
    ) -> AsyncIterator[tuple[Store, UUID]]:
        """The store, migrated, with the journal drained into it, and the project's id there.

        One that knows nothing of the project is told first what the journal and git know; `record` takes the
        event that says so. `patience` are seconds for a server to answer, where the settings allow more.
        Raises StoreError when it cannot be reached.
        """
        store = await self.connect(patience=patience)
        try:
            async with store.begin() as connection:
                project_id = await projects.register(
                    connection, str(self.repo.common_dir), self.name, self.repo.root
                )
                known = await has_items(connection, project_id)
            if known:
                await commits.ingest(self, store, project_id)
                await drain.drain(store, project_id, self.journal)
                await claims.close_tasks_if_idle(self, store, project_id)
            else:
                await rebuild.bring_in(self, store, project_id, record or self.journal.append)
            await commits.publish_red(self, store, project_id)
            yield store, project_id
            await commits.publish_red(self, store, project_id)
        finally:
            await store.close()

    async def connect(self, *, patience: float | None = None) -> Store:
        """An open store with an up-to-date schema."""
        url = await asyncio.to_thread(ensure_server, self.config.database.at_most(patience))
        await migrate.upgrade(url, self.plugins.migrations)
        return await Store.open(url)
