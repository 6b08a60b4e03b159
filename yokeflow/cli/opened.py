"""Open the project around the current folder for a command that reads."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from yokeflow.engine.glance import in_landing_order, lands_later, truthful
from yokeflow.engine.kept import settle_kept
from yokeflow.engine.lock import holder
from yokeflow.engine.project import Project
from yokeflow.store import items
from yokeflow.store.cache import CACHE
from yokeflow.store.status import epic_edges, status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from yokeflow.store.connection import Store


class Opened(NamedTuple):
    """A project with its store, up to date with the journal."""

    project: Project
    store: Store
    id: UUID

    async def status(self) -> dict[str, Any]:
        """The object of `yoke status --json`. A plan that was never run is brought in first."""
        held = holder(self.project.lock_file)
        cache = self.project.repo.state_dir / CACHE
        async with self.store.begin() as connection:
            answer = await status(connection, self.id, cache)
            if not answer["items"] and (self.project.repo.root / self.project.config.plan).exists():
                await items.sync_plan(connection, self.id, self.project.load_plan())
                answer = await status(connection, self.id, cache)
            edges = await epic_edges(connection, self.id) if lands_later(answer) else ()
            answer = in_landing_order(answer, edges)
        return truthful(answer, held, self.project.lock_file)


@asynccontextmanager
async def opened() -> AsyncIterator[Opened]:
    """The project of the current folder.

    Raises what `Project.open` and `Project.store` raise.
    """
    project = await Project.open(Path.cwd())
    async with project.store() as (store, project_id):
        await settle_kept(project, store, project_id)
        yield Opened(project, store, project_id)


async def project_status() -> dict[str, Any]:
    """The object of `yoke status --json`, with everything brought up to date before."""
    async with opened() as place:
        return await place.status()
