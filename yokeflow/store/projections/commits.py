"""Commits and merges of work items."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from yokeflow.store.projections.registry import as_uuid, commit, item_of, on
from yokeflow.store.tables import WorkItem
from yokeflow.store.tables_commits import WRITERS, RecordedCommit

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yokeflow.events import Event


@on("commit.recorded", "merge.recorded")
async def recorded(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """A commit that comes back, by a reset for example, is no longer replaced."""
    data, oid = event.data, commit(event.data)
    if oid is None:
        return
    item = select(WorkItem.id, WorkItem.project_id).where(
        WorkItem.project_id == project, WorkItem.key == item_of(event)
    )
    if (found := (await conn.execute(item)).one_or_none()) is None:
        return
    writer = data.get("writer")
    await conn.execute(
        insert(RecordedCommit)
        .values(
            id=as_uuid(event.id),
            project_id=project,
            work_item_id=found.id,
            commit=oid,
            kind="merge" if event.type == "merge.recorded" else "commit",
            subject=data.get("subject") or "",
            author=data.get("author") or "",
            writer=writer if writer in WRITERS else "person",
            branch=data.get("branch") or "",
            session=event.session,
            named=bool(data.get("named")),
            authored_at=event.at,
        )
        .on_conflict_do_update(
            index_elements=[RecordedCommit.work_item_id, RecordedCommit.commit],
            set_={"replaced_at": None, "replaced_by": None, "replaced_how": ""},
        )
    )


@on("commit.replaced")
async def replaced(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """What took its place is known from the hook alone, which may come after what was seen in git."""
    how = str(event.data.get("how") or "gone")
    statement = update(RecordedCommit).where(
        RecordedCommit.project_id == project, RecordedCommit.commit == commit(event.data)
    )
    if how == "gone":
        statement = statement.where(RecordedCommit.replaced_at.is_(None))
    await conn.execute(
        statement.values(replaced_at=event.at, replaced_by=commit(event.data, "by"), replaced_how=how)
    )
