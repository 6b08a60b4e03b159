"""What a run that starts must know about those before it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, cast, func, select, text

from yokeflow.events import Event
from yokeflow.model import LandingStatus
from yokeflow.store.tables import Intervention, Run, Session, StoredEvent, WorkItem, Worktree

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

#: The newest landing of every epic.
_LATEST_LANDINGS = text("""
SELECT DISTINCT ON (landing.work_item_id)
       CAST(landing.id AS text) AS id, epic.key AS epic, landing.status, landing.commit, landing.tree,
       landing.old_commit, landing.epic_commit, landing.target, landing.reason
FROM landings landing JOIN work_items epic ON epic.id = landing.work_item_id
LEFT JOIN events queued ON queued.id = landing.id
WHERE landing.project_id = CAST(:project AS uuid)
ORDER BY landing.work_item_id, queued.seq DESC NULLS LAST, landing.id
""")

#: What agents were asked in some runs, without an answer.
_UNANSWERED = text("""
SELECT CAST(asking.id AS text) AS id, asking.at, asking.run, asking.epic, asking.task, asking.session,
       asking.payload
FROM events asking
WHERE asking.project_id = CAST(:project AS uuid) AND asking.type = 'agent.asking' AND asking.run = ANY(:runs)
  AND NOT EXISTS (SELECT FROM events asked
                  WHERE asked.project_id = asking.project_id AND asked.type = 'agent.asked'
                    AND asked.session = asking.session)
ORDER BY asking.seq
""")


@dataclass(frozen=True, slots=True)
class OpenIntervention:
    """Something that waits for a person."""

    id: str
    kind: str
    #: A task or an epic; empty for the run as a whole.
    item: str
    reason: str
    choices: tuple[str, ...]
    opened: datetime
    #: What belongs to the question.
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EpicLanding:
    """How far an epic is on its way onto the target branch."""

    id: str
    epic: str
    status: LandingStatus
    commit: str | None
    tree: str | None
    #: Where the target was before.
    old_commit: str | None
    epic_commit: str | None
    target: str
    reason: str


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session of which no end is known."""

    id: str
    run: str
    task: str
    attempt: int
    agent: str
    model: str
    lane: str
    worktree: str
    base_commit: str | None
    folder: str
    started: datetime


@dataclass(frozen=True, slots=True)
class OpenWorktree:
    """A worktree that was made and not removed."""

    lane: str
    epic: str
    path: str
    branch: str
    #: `active`, `merged` or `conflict`
    status: str
    base_commit: str | None


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run of which no end is known."""

    id: str
    state: str
    pid: int | None
    host: str
    started: datetime
    target: str
    #: Where the target was when it began.
    target_commit: str | None


async def open_interventions(conn: AsyncConnection, project_id: UUID) -> list[OpenIntervention]:
    """What waits for a person, oldest first."""
    rows = await conn.execute(
        select(Intervention.__table__, WorkItem.key.label("item"))
        .outerjoin(WorkItem, WorkItem.id == Intervention.work_item_id)
        .where(Intervention.project_id == project_id, Intervention.resolved_at.is_(None))
        .order_by(Intervention.opened_at, Intervention.id)
    )
    return [
        OpenIntervention(str(r.id), r.kind, r.item or "", r.reason, tuple(r.choices), r.opened_at, r.metadata)
        for r in rows
    ]


async def latest_landings(conn: AsyncConnection, project_id: UUID) -> dict[str, EpicLanding]:
    """The landing of every epic that was ever queued, by the epic's id."""
    rows = await conn.execute(_LATEST_LANDINGS, {"project": str(project_id)})
    landings = [
        EpicLanding(
            id=row.id,
            epic=row.epic,
            status=LandingStatus(row.status),
            commit=row.commit,
            tree=row.tree,
            old_commit=row.old_commit,
            epic_commit=row.epic_commit,
            target=row.target,
            reason=row.reason,
        )
        for row in rows
    ]
    return {landing.epic: landing for landing in landings}


async def unfinished_sessions(conn: AsyncConnection, project_id: UUID) -> list[OpenSession]:
    """Sessions that started and did not finish, oldest first."""
    rows = await conn.execute(
        select(Session.__table__, WorkItem.key.label("task"))
        .join(WorkItem, WorkItem.id == Session.work_item_id)
        .where(Session.project_id == project_id, Session.state == "running")
        .order_by(Session.number)
    )
    return [
        OpenSession(
            id=str(row.id),
            run=str(row.run_id),
            task=row.task,
            attempt=row.attempt,
            agent=row.agent,
            model=row.model,
            lane=row.lane,
            worktree=row.worktree,
            base_commit=row.base_commit,
            folder=row.folder,
            started=row.started_at,
        )
        for row in rows
    ]


async def open_worktrees(conn: AsyncConnection, project_id: UUID) -> list[OpenWorktree]:
    """Worktrees that were made and not removed, by lane."""
    rows = await conn.execute(
        select(Worktree.__table__, WorkItem.key.label("epic"))
        .outerjoin(WorkItem, WorkItem.id == Worktree.work_item_id)
        .where(Worktree.project_id == project_id, Worktree.removed_at.is_(None))
        .order_by(Worktree.lane, Worktree.created_at)
    )
    return [OpenWorktree(r.lane, r.epic or "", r.path, r.branch, r.status, r.base_commit) for r in rows]


async def unfinished_runs(conn: AsyncConnection, project_id: UUID) -> list[OpenRun]:
    """Runs that started and did not finish, oldest first."""
    began = select(func.max(StoredEvent.seq)).where(
        StoredEvent.project_id == project_id,
        StoredEvent.type == "run.started",
        StoredEvent.run == cast(Run.id, Text),
    )
    rows = await conn.execute(
        select(Run.__table__)
        .where(Run.project_id == project_id, Run.state.in_(("running", "paused")))
        .order_by(began.scalar_subquery(), Run.started_at)
    )
    return [OpenRun(str(r.id), r.state, r.pid, r.host, r.started_at, r.target, r.target_commit) for r in rows]


async def unanswered(conn: AsyncConnection, project_id: UUID, runs: Sequence[OpenRun]) -> list[Event]:
    """The `agent.asking` events of these runs whose agents have not answered, oldest first."""
    if not runs:
        return []
    rows = await conn.execute(_UNANSWERED, {"project": str(project_id), "runs": [run.id for run in runs]})
    return [
        Event("agent.asking", r.run, r.epic, r.task, r.session, r.payload, id=r.id, at=r.at) for r in rows
    ]
