"""Projects: which repositories the store knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from yokeflow.store.tables import Project

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection


async def find(conn: AsyncConnection, repo_key: str) -> UUID | None:
    """The id of a repository's project; None when it was never seen."""
    return (await conn.execute(select(Project.id).where(Project.repo_key == repo_key))).scalar_one_or_none()


async def register(conn: AsyncConnection, repo_key: str, name: str, root: Path) -> UUID:
    """The id of a repository's project, made when it is first seen; its name and folder are kept current."""
    new = insert(Project).values(repo_key=repo_key, name=name, root=str(root))
    changed = func.row(Project.name, Project.root).is_distinct_from(
        func.row(new.excluded.name, new.excluded.root)
    )
    await conn.execute(
        new.on_conflict_do_update(
            index_elements=[Project.repo_key],
            set_={"name": new.excluded.name, "root": new.excluded.root, "version": Project.version + 1},
            where=changed,
        )
    )
    return (await conn.execute(select(Project.id).where(Project.repo_key == repo_key))).scalar_one()
