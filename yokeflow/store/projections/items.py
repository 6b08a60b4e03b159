"""Tasks and epics on their way through the statuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from yokeflow.store.projections.registry import change_item, commit, item_of, on

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yokeflow.events import Event

#: An epic whose task is open again is not finished any more.
_REOPEN_EPIC = text("""
UPDATE work_items epic SET status = 'in_progress', completed_at = NULL, version = epic.version + 1
FROM work_items item
WHERE item.project_id = CAST(:project AS uuid) AND item.key = :item AND epic.id = item.parent_id
  AND epic.status IN ('completed', 'failed', 'blocked', 'cancelled')
""")


@on("task.ready")
async def ready(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """What blocked the task is gone."""
    await change_item(conn, project, item_of(event), "blocked", status="pending", reason="")


@on("task.completed", "epic.completed")
async def completed(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """An epic keeps the commit that its landing gave it."""
    values: dict[str, object] = {"status": "completed", "reason": "", "completed_at": event.at}
    if event.type == "task.completed":
        values["commit"] = commit(event.data)
    await change_item(conn, project, item_of(event), **values)


@on("task.rebased")
async def rebased(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """Its commit was rewritten."""
    await change_item(conn, project, item_of(event), commit=commit(event.data))


@on("task.failed")
async def failed(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """No attempt is left."""
    reason = event.data.get("reason") or ""
    await change_item(conn, project, item_of(event), status="failed", reason=reason)


@on("task.blocked")
async def blocked(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """It waits for something that failed."""
    reason = f"waits for {', '.join(event.data.get('by') or ())}"
    await change_item(conn, project, item_of(event), status="blocked", reason=reason)


@on("task.skipped")
async def skipped(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """A person decided that it need not be done."""
    reason = event.data.get("reason") or ""
    await change_item(conn, project, item_of(event), status="cancelled", reason=reason, completed_at=event.at)


@on("task.reopened")
async def reopened(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """It is to be done again, and so is its epic."""
    item = item_of(event)
    await change_item(conn, project, item, status="pending", reason="", completed_at=None, commit=None)
    await conn.execute(_REOPEN_EPIC, {"project": str(project), "item": item})
