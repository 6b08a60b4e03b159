"""Open the project around the current folder for a command that reads."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from yokeflow.cli import output
from yokeflow.cli.origin import AWAY
from yokeflow.engine.lock import holder
from yokeflow.engine.people.kept import settle_kept
from yokeflow.engine.project import Project
from yokeflow.engine.reports.glance import PATIENCE, in_landing_order, lands_later, truthful
from yokeflow.errors import StoreError
from yokeflow.store import items
from yokeflow.store.cache import CACHE
from yokeflow.store.status import epic_edges, status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from uuid import UUID

    from yokeflow.store.connection import Store

_Answer = TypeVar("_Answer")


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
async def opened(*, patience: float | None = None) -> AsyncIterator[Opened]:
    """The project of the current folder.

    `patience` are seconds for a server to answer, where the settings allow more. Raises what `Project.open`
    and `Project.store` raise.
    """
    project = await Project.open(Path.cwd())
    async with project.store(patience=patience) as (store, project_id):
        await settle_kept(project, store, project_id)
        yield Opened(project, store, project_id)


async def answered(
    ask: Callable[[Opened], Awaitable[_Answer]], instead: Callable[[StoreError], Awaitable[_Answer]]
) -> _Answer:
    """What the store answers, else who can tell `instead` while it is away; then a warning says so.

    Raises what `instead` raises when nobody knows.
    """
    try:
        async with opened(patience=PATIENCE) as place:
            return await ask(place)
    except StoreError as error:
        answer = await instead(error)
        output.warn(error.message, hint=AWAY)
        return answer


async def project_status() -> dict[str, Any]:
    """The object of `yoke status --json`, with everything brought up to date before."""
    async with opened() as place:
        return await place.status()
