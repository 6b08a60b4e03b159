"""Worktrees and results of checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import case, select, text, update
from sqlalchemy.dialects.postgresql import insert

from yokeflow.store.projections.landings import epic_id, latest_landing
from yokeflow.store.projections.registry import as_uuid, commit, item_of, on
from yokeflow.store.tables import Session, WorkItem, Worktree
from yokeflow.store.tables_evidence import CheckResult

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from sqlalchemy import ScalarSelect
    from sqlalchemy.ext.asyncio import AsyncConnection

    from yokeflow.events import Event


def _item_id(project: UUID, event: Event) -> ScalarSelect[UUID]:
    return (
        select(WorkItem.id)
        .where(WorkItem.project_id == project, WorkItem.key == item_of(event))
        .scalar_subquery()
    )


def _source(project: UUID, data: Mapping[str, Any]) -> ScalarSelect[UUID] | None:
    """The result that was reused, where it is in the store."""
    if not data.get("source"):
        return None
    source = as_uuid(data["source"])
    found = select(CheckResult.id).where(CheckResult.project_id == project, CheckResult.id == source)
    return found.scalar_subquery()


@on("worktree.created")
async def worktree_created(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """A lane has one open worktree; making it again describes it anew."""
    data = event.data
    place = {"path": data["path"], "branch": data["branch"], "base_commit": commit(data, "base_commit")}
    await conn.execute(
        insert(Worktree)
        .values(
            id=as_uuid(event.id),
            project_id=project,
            work_item_id=epic_id(project, event),
            lane=data["lane"],
            created_at=event.at,
            **place,
        )
        .on_conflict_do_update(
            index_elements=[Worktree.project_id, Worktree.lane],
            index_where=text("status IN ('active', 'conflict')"),
            set_=place | {"status": "active", "removed_at": None},
        )
    )


@on("worktree.removed")
async def worktree_removed(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """A merged worktree stays known as merged."""
    await conn.execute(
        update(Worktree)
        .where(
            Worktree.project_id == project, Worktree.lane == event.data["lane"], Worktree.removed_at.is_(None)
        )
        .values(removed_at=event.at, status=case((Worktree.status == "merged", "merged"), else_="removed"))
    )


@on("check.finished")
async def check_finished(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """Evidence about a tree, tied to the session or the landing that asked for it."""
    data = event.data
    landing = latest_landing(project, event) if data["stage"] == "landing" else None
    await conn.execute(
        insert(CheckResult).values(
            id=as_uuid(event.id),
            project_id=project,
            session_id=select(Session.id).where(Session.id == as_uuid(event.session)).scalar_subquery(),
            landing_id=landing,
            work_item_id=_item_id(project, event),
            source_id=_source(project, data),
            tree=data["tree"],
            command=data["command"],
            environment=data.get("environment") or "",
            stage=data["stage"],
            passed=data["passed"],
            flaky=bool(data.get("flaky")),
            tries=data.get("tries", int(not data.get("reused"))),
            exit_code=data.get("exit_code"),
            seconds=data.get("seconds") or 0,
            log=data.get("log") or "",
            checked_at=event.at,
        )
    )
