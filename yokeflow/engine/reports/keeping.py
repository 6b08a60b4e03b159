"""What a run leaves for those who ask while the store is away: its last answer, and the status file."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from yokeflow.engine.reports import status_file
from yokeflow.engine.reports.layers import fall_back
from yokeflow.errors import StoreError, YokeError
from yokeflow.store.cache import CACHE, clear_away
from yokeflow.store.status import status

if TYPE_CHECKING:
    from uuid import UUID

    from yokeflow.engine.project import Project
    from yokeflow.store.connection import Store


async def keep_status(project: Project, store: Store, project_id: UUID) -> None:
    """Keep the state at the end of a run. What cannot be written is no reason to fail."""
    clear_away(project.repo.state_dir / CACHE)
    with suppress(YokeError, OSError):
        state = await _state(project, store, project_id)
        if project.config.project.status_file and not project.repo.bare:
            status_file.write(project.repo.root, state)


async def _state(project: Project, store: Store, project_id: UUID) -> dict[str, Any]:
    """By the store; by the other layers when it has gone meanwhile."""
    try:
        async with store.begin() as connection:
            return await status(connection, project_id, project.repo.state_dir / CACHE)
    except StoreError as error:
        return await fall_back(project.repo.root, error)
