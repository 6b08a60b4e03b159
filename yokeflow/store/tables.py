"""The core's tables, as declarative models; `Model.__table__` serves statements of Core.

Functions, triggers and views are in `schema/`; the conventions are in `base.py`.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from yokeflow.model import Kind, LandingStatus, Status, Strength
from yokeflow.store.base import Base, Identified, OfProject, is_commit, metadata_column, not_negative, one_of

RUN_STATES = ("running", "paused", "completed", "failed", "cancelled", "interrupted")
SESSION_STATES = ("running", "completed", "failed", "interrupted")
WORKTREE_STATES = ("active", "merged", "conflict", "abandoned", "removed")


class Project(Identified, Base):
    """One repository under YokeFlow."""

    __tablename__ = "projects"
    __table_args__ = (one_of("status", ("active", "paused", "completed", "archived")),)

    #: What makes two checkouts the same project.
    repo_key: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    root: Mapped[str] = mapped_column(server_default="")
    default_branch: Mapped[str] = mapped_column(server_default="")
    plan_path: Mapped[str] = mapped_column(server_default="")
    #: SHA-256 of the plan file that was synced last.
    plan_hash: Mapped[str] = mapped_column(server_default="")
    status: Mapped[str] = mapped_column(server_default="active")
    version: Mapped[int] = mapped_column(server_default=text("1"))
    metadata_json: Mapped[dict[str, Any]] = metadata_column()


class WorkItem(OfProject, Base):
    """A node of the one tree of planned work."""

    __tablename__ = "work_items"
    __table_args__ = (
        UniqueConstraint("project_id", "key"),
        Index(None, "parent_id", "position"),
        Index(None, "project_id", "status", postgresql_where=text("deleted_at IS NULL")),
        one_of("kind", Kind),
        one_of("status", Status),
        is_commit("commit"),
        CheckConstraint("key <> ''", name="key"),
        CheckConstraint("char_length(title) <= 200", name="title"),
        CheckConstraint("priority BETWEEN 0 AND 9", name="priority"),
        CheckConstraint("estimate > 0", name="estimate"),
        CheckConstraint("parent_id <> id", name="parent_id"),
        not_negative("attempts"),
        not_negative("cost_usd"),
        not_negative("position"),
    )

    #: Its id in the plan.
    key: Mapped[str]
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("work_items.id", ondelete="RESTRICT"))
    kind: Mapped[str]
    title: Mapped[str]
    prompt: Mapped[str] = mapped_column(server_default="")
    #: What the `shell` agent runs instead of the prompt.
    run: Mapped[str] = mapped_column(server_default="")
    status: Mapped[str] = mapped_column(server_default="pending")
    #: Why it is blocked or failed; empty otherwise.
    reason: Mapped[str] = mapped_column(server_default="")
    priority: Mapped[int] = mapped_column(SmallInteger, server_default=text("5"))
    category: Mapped[str] = mapped_column(server_default="")
    #: Place in the plan, from 0.
    position: Mapped[int] = mapped_column(server_default=text("0"))
    #: Seconds of work, where somebody estimated it.
    estimate: Mapped[float | None]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    #: What its sessions told; None as long as none of them did.
    cost_usd: Mapped[Decimal | None]
    #: Where its work ended: a task's last commit, an epic's landing commit.
    commit: Mapped[str | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    #: When it was gone from the plan; its history stays.
    deleted_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    #: The rest of what the plan says: files, conflicts_with, verify, agent, model, timeout, …
    metadata_json: Mapped[dict[str, Any]] = metadata_column()


class WorkItemDependency(Base):
    """An edge from a predecessor to its successor."""

    __tablename__ = "work_item_dependencies"
    __table_args__ = (
        Index(None, "successor_id"),
        one_of("strength", Strength),
        CheckConstraint("predecessor_id <> successor_id", name="no_self_edge"),
    )

    predecessor_id: Mapped[UUID] = mapped_column(
        ForeignKey("work_items.id", ondelete="CASCADE"), primary_key=True
    )
    successor_id: Mapped[UUID] = mapped_column(
        ForeignKey("work_items.id", ondelete="CASCADE"), primary_key=True
    )
    strength: Mapped[str] = mapped_column(server_default="hard")
    reason: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Run(OfProject, Base):
    """One invocation of `yoke run`."""

    __tablename__ = "runs"
    __table_args__ = (
        Index(None, "project_id", "started_at"),
        one_of("state", RUN_STATES),
        is_commit("target_commit"),
    )

    state: Mapped[str] = mapped_column(server_default="running")
    reason: Mapped[str] = mapped_column(server_default="")
    #: The branch on which epics land.
    target: Mapped[str] = mapped_column(server_default="")
    target_commit: Mapped[str | None]
    strategy: Mapped[str] = mapped_column(server_default="")
    concurrency: Mapped[int] = mapped_column(server_default=text("1"))
    pid: Mapped[int | None]
    host: Mapped[str] = mapped_column(server_default="")
    exit_code: Mapped[int | None]
    critical_path: Mapped[list[str]] = mapped_column(server_default=text("'[]'::jsonb"))
    options: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    metadata_json: Mapped[dict[str, Any]] = metadata_column()


class ParallelBatch(OfProject, Base):
    """One level of a run's dependency graph. Its state is computed from its items: `v_parallel_progress`."""

    __tablename__ = "parallel_batches"
    __table_args__ = (
        Index(None, "project_id"),
        UniqueConstraint("run_id", "number"),
        CheckConstraint("number >= 1", name="number"),
    )

    run_id: Mapped[UUID] = mapped_column(ForeignKey("runs.id", ondelete="RESTRICT"))
    #: From 1.
    number: Mapped[int]


class ParallelBatchItem(Base):
    """A task's place in a batch."""

    __tablename__ = "parallel_batch_items"
    __table_args__ = (Index(None, "work_item_id"), not_negative("position"))

    batch_id: Mapped[UUID] = mapped_column(
        ForeignKey("parallel_batches.id", ondelete="CASCADE"), primary_key=True
    )
    work_item_id: Mapped[UUID] = mapped_column(
        ForeignKey("work_items.id", ondelete="RESTRICT"), primary_key=True
    )
    #: Starting order in the batch, from 0.
    position: Mapped[int]


class Session(OfProject, Base):
    """One attempt of one agent at one task."""

    __tablename__ = "sessions"
    __table_args__ = (
        UniqueConstraint("project_id", "number"),
        Index(None, "run_id"),
        Index(None, "work_item_id", "attempt"),
        Index(None, "project_id", postgresql_where=text("state = 'running'")),
        Index("uq_sessions_running", "work_item_id", unique=True, postgresql_where=text("state = 'running'")),
        one_of("state", SESSION_STATES),
        is_commit("base_commit"),
        is_commit("head_commit"),
        CheckConstraint("number >= 1", name="number"),
        CheckConstraint("attempt >= 1", name="attempt"),
        not_negative("seconds"),
        not_negative("cost_usd"),
    )

    run_id: Mapped[UUID] = mapped_column(ForeignKey("runs.id", ondelete="RESTRICT"))
    work_item_id: Mapped[UUID] = mapped_column(ForeignKey("work_items.id", ondelete="RESTRICT"))
    #: From 1 in the project, in order of starting.
    number: Mapped[int]
    #: From 1 at its task.
    attempt: Mapped[int]
    agent: Mapped[str] = mapped_column(server_default="")
    model: Mapped[str] = mapped_column(server_default="")
    state: Mapped[str] = mapped_column(server_default="running")
    reason: Mapped[str] = mapped_column(server_default="")
    exit_code: Mapped[int | None]
    seconds: Mapped[float | None]
    #: None when the agent gave no account.
    cost_usd: Mapped[Decimal | None]
    lane: Mapped[str] = mapped_column(server_default="")
    worktree: Mapped[str] = mapped_column(server_default="")
    base_commit: Mapped[str | None]
    head_commit: Mapped[str | None]
    #: Where a failed attempt's commits stay reachable.
    kept_ref: Mapped[str | None]
    #: Its prompt, transcript and check logs.
    folder: Mapped[str] = mapped_column(server_default="")
    answer: Mapped[str] = mapped_column(server_default="")
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    metadata_json: Mapped[dict[str, Any]] = metadata_column()


class Worktree(OfProject, Base):
    """A lane's folder."""

    __tablename__ = "worktrees"
    __table_args__ = (
        Index(None, "project_id"),
        Index(None, "work_item_id"),
        Index(
            "uq_worktrees_open",
            "project_id",
            "lane",
            unique=True,
            postgresql_where=text("status IN ('active', 'conflict')"),
        ),
        one_of("status", WORKTREE_STATES),
        is_commit("base_commit"),
        is_commit("merge_commit"),
    )

    #: The epic.
    work_item_id: Mapped[UUID | None] = mapped_column(ForeignKey("work_items.id", ondelete="RESTRICT"))
    lane: Mapped[str]
    path: Mapped[str]
    branch: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="active")
    base_commit: Mapped[str | None]
    merge_commit: Mapped[str | None]
    merged_at: Mapped[datetime | None]
    removed_at: Mapped[datetime | None]


class Landing(OfProject, Base):
    """An epic's way onto the target branch."""

    __tablename__ = "landings"
    __table_args__ = (
        Index(None, "project_id", "queued_at"),
        Index(None, "run_id"),
        Index(None, "work_item_id", "queued_at"),
        Index(
            "uq_landings_open",
            "work_item_id",
            unique=True,
            postgresql_where=text("status IN ('queued', 'testing')"),
        ),
        one_of("status", LandingStatus),
        is_commit("commit"),
        is_commit("tree"),
        is_commit("old_commit"),
        is_commit("epic_commit"),
        not_negative("seconds"),
    )

    run_id: Mapped[UUID | None] = mapped_column(ForeignKey("runs.id", ondelete="RESTRICT"))
    #: The epic.
    work_item_id: Mapped[UUID] = mapped_column(ForeignKey("work_items.id", ondelete="RESTRICT"))
    status: Mapped[str] = mapped_column(server_default="queued")
    commit: Mapped[str | None]
    tree: Mapped[str | None]
    #: Where the target was before.
    old_commit: Mapped[str | None]
    epic_commit: Mapped[str | None]
    target: Mapped[str] = mapped_column(server_default="")
    strategy: Mapped[str] = mapped_column(server_default="")
    reason: Mapped[str] = mapped_column(server_default="")
    #: What a failed check printed last.
    output: Mapped[str] = mapped_column(server_default="")
    #: Paths in conflict.
    files: Mapped[list[str]] = mapped_column(server_default=text("'[]'::jsonb"))
    seconds: Mapped[float | None]
    queued_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    metadata_json: Mapped[dict[str, Any]] = metadata_column()


class Intervention(OfProject, Base):
    """A question or a stop that waits for a person."""

    __tablename__ = "interventions"
    __table_args__ = (
        Index(None, "project_id", postgresql_where=text("resolved_at IS NULL")),
        Index(None, "project_id", "opened_at"),
        Index(None, "run_id"),
        Index(None, "work_item_id"),
        CheckConstraint("choice IS NULL OR resolved_at IS NOT NULL", name="choice"),
    )

    run_id: Mapped[UUID | None] = mapped_column(ForeignKey("runs.id", ondelete="RESTRICT"))
    work_item_id: Mapped[UUID | None] = mapped_column(ForeignKey("work_items.id", ondelete="RESTRICT"))
    kind: Mapped[str]
    reason: Mapped[str] = mapped_column(server_default="")
    choices: Mapped[list[str]] = mapped_column(server_default=text("'[]'::jsonb"))
    opened_at: Mapped[datetime] = mapped_column(server_default=func.now())
    resolved_at: Mapped[datetime | None]
    choice: Mapped[str | None]
    resolved_by: Mapped[str | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    metadata_json: Mapped[dict[str, Any]] = metadata_column()


class StoredEvent(Base):
    """An event as the journal had it. A trigger refuses to change or delete it."""

    __tablename__ = "events"
    __table_args__ = (
        Index(None, "project_id", "seq"),
        Index(None, "project_id", "run", "seq"),
        Index(None, "project_id", "task", "seq", postgresql_where=text("task <> ''")),
        Index(None, "project_id", "epic", "seq", postgresql_where=text("epic <> ''")),
        Index(None, "project_id", "type", "seq"),
        UniqueConstraint("seq"),
    )

    #: The event's own id, which makes applying it twice harmless.
    id: Mapped[UUID] = mapped_column(primary_key=True)
    #: The order in which events were applied.
    seq: Mapped[int] = mapped_column(BigInteger, Identity())
    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="RESTRICT"))
    #: As in the event: ids as text, empty where they do not apply. No foreign keys: it outlives everything.
    run: Mapped[str] = mapped_column(server_default="")
    epic: Mapped[str] = mapped_column(server_default="")
    task: Mapped[str] = mapped_column(server_default="")
    session: Mapped[str] = mapped_column(server_default="")
    type: Mapped[str]
    at: Mapped[datetime]
    payload: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    recorded_at: Mapped[datetime] = mapped_column(server_default=func.now())
