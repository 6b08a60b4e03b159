"""Landings: a row for every queueing, of which the latest is the epic's landing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import literal, select, update
from sqlalchemy.dialects.postgresql import insert

from yokeflow.store.projections.registry import as_uuid, change_item, commit, on
from yokeflow.store.tables import Landing, Run, StoredEvent, WorkItem, Worktree

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import ScalarSelect
    from sqlalchemy.ext.asyncio import AsyncConnection

    from yokeflow.events import Event


def epic_id(project: UUID, event: Event) -> ScalarSelect[UUID]:
    """The epic that an event is about."""
    return (
        select(WorkItem.id)
        .where(WorkItem.project_id == project, WorkItem.key == event.epic)
        .scalar_subquery()
    )


def latest_landing(project: UUID, event: Event) -> ScalarSelect[UUID]:
    """The landing of the epic that an event is about."""
    return (
        select(Landing.id)
        # A landing has the id of the event that queued it. What was applied last is the newest, whatever
        # clocks said.
        .outerjoin(StoredEvent, StoredEvent.id == Landing.id)
        .where(Landing.work_item_id == epic_id(project, event))
        .order_by(StoredEvent.seq.desc().nulls_last(), Landing.id)
        .limit(1)
        .scalar_subquery()
    )


async def _change(conn: AsyncConnection, project: UUID, event: Event, **values: object) -> None:
    await conn.execute(update(Landing).where(Landing.id == latest_landing(project, event)).values(**values))


async def _change_worktrees(conn: AsyncConnection, project: UUID, event: Event, **values: object) -> None:
    await conn.execute(
        update(Worktree)
        .where(Worktree.work_item_id == epic_id(project, event), Worktree.status.in_(("active", "conflict")))
        .values(**values)
    )


@on("landing.queued")
async def queued(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """An earlier landing of the epic that never ended was taken back."""
    await conn.execute(
        update(Landing)
        .where(Landing.work_item_id == epic_id(project, event), Landing.status.in_(("queued", "testing")))
        .values(status="rejected", reason="queued again", finished_at=event.at)
    )
    run = select(Run.id).where(Run.id == as_uuid(event.run)).scalar_subquery()
    epic = select(
        literal(as_uuid(event.id)),
        literal(project),
        run,
        WorkItem.id,
        literal(event.at, Landing.queued_at.type),
    ).where(WorkItem.project_id == project, WorkItem.key == event.epic)
    columns = ["id", "project_id", "run_id", "work_item_id", "queued_at"]
    await conn.execute(insert(Landing).from_select(columns, epic))


@on("landing.testing")
async def testing(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """The merged tree exists; a crash from here on is mended with these commits and paths."""
    data = event.data
    await _change(
        conn,
        project,
        event,
        status="testing",
        commit=commit(data),
        tree=commit(data, "tree"),
        old_commit=commit(data, "old_commit"),
        epic_commit=commit(data, "epic_commit"),
        target=data.get("target") or "",
        metadata_json={"clean_paths": list(data.get("clean_paths") or ())},
    )


@on("landing.landed")
async def landed(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """What is in the target is done: landing, epic and worktree say so."""
    data = event.data
    await _change(
        conn,
        project,
        event,
        status="landed",
        commit=commit(data),
        tree=commit(data, "tree"),
        old_commit=commit(data, "old_commit"),
        target=data.get("target") or "",
        strategy=data.get("strategy") or "",
        seconds=data.get("seconds"),
        reason="",
        finished_at=event.at,
    )
    await change_item(
        conn, project, event.epic, status="completed", completed_at=event.at, commit=commit(data), reason=""
    )
    await _change_worktrees(
        conn, project, event, status="merged", merge_commit=commit(data), merged_at=event.at
    )


@on("landing.rejected")
async def rejected(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """A check on the merged tree failed, or the target refused."""
    data = event.data
    await _change(
        conn,
        project,
        event,
        status="rejected",
        reason=data.get("reason") or "",
        output=data.get("output") or "",
        finished_at=event.at,
    )


@on("landing.conflicted")
async def conflicted(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """The epic and the target changed the same lines."""
    data = event.data
    files = list(data.get("files") or ())
    await _change(
        conn,
        project,
        event,
        status="conflict",
        files=files,
        reason=f"conflict in {', '.join(files)}" if files else "conflict",
        # As long as both are there, another try would end the same.
        old_commit=commit(data, "old_commit"),
        epic_commit=commit(data, "epic_commit"),
        metadata_json={"with_commit": data.get("with_commit") or ""},
        finished_at=event.at,
    )
    await _change_worktrees(conn, project, event, status="conflict")


@on("landing.undone")
async def undone(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """A commit on the target took it back: the epic is to be done again."""
    data = event.data
    told = {"undone_by": data["commit"], "undone_tasks": dict(data.get("tasks") or {})}
    await conn.execute(
        update(Landing)
        .where(
            Landing.work_item_id == epic_id(project, event),
            Landing.commit == data["landing"],
            Landing.status == "landed",
        )
        .values(
            status="undone",
            reason=f"taken back by {data['commit'][:12]}",
            metadata_json=Landing.metadata_json.op("||")(told),
        )
    )
    await change_item(conn, project, event.epic, status="in_progress", completed_at=None, commit=None)
