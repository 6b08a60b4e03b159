"""The plugin's tables. Lessons are never deleted; every change of one is in the log, written by triggers."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    REAL,
    BigInteger,
    CheckConstraint,
    Computed,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from yokeflow.store.base import Base, OfProject, not_negative, one_of

TYPES = ("semantic", "episodic", "procedural", "agent_private", "shared", "identity", "user_profile")
STATUSES = ("active", "superseded", "archived", "disputed")
TIERS = ("hot", "warm", "cold")
SOURCES = ("extraction", "explicit", "system", "feedback", "consolidation", "compaction")
KINDS = ("failure_fix", "check", "co_change", "command", "conflict", "reflection", "note")
ACTIONS = (
    "created",
    "updated",
    "superseded",
    "promoted",
    "demoted",
    "contradiction_detected",
    "contradiction_resolved",
    "pinned",
    "unpinned",
    "accessed",
    "expired",
    "consolidated",
    "compaction_extracted",
)
CHANGE_TYPES = ("learned", "validated", "pruned", "self_improved", "edited", "rolled_back", "imported")

#: Identifiers and paths are taken apart into words; a query must be treated the same way.
SEARCHED = "to_tsvector('english', translate(subject || ' ' || content, '_./:-', '     '))"
_EMPTY_LIST = text("'[]'::jsonb")


class MemoryRow(OfProject, Base):
    """One lesson."""

    __tablename__ = "memories"
    __table_args__ = (
        UniqueConstraint("project_id", "key"),
        Index(None, "project_id", "status", "domain"),
        Index(None, "project_id", "type", "status"),
        Index(None, "project_id", "subject"),
        Index(None, "project_id", "tier", "last_accessed_at"),
        Index(None, "project_id", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
        Index(None, "superseded_by"),
        Index(None, "files", postgresql_using="gin"),
        Index(None, "search", postgresql_using="gin"),
        CheckConstraint("key <> ''", name="key"),
        one_of("type", TYPES),
        CheckConstraint("char_length(domain) BETWEEN 1 AND 100", name="domain"),
        one_of("status", STATUSES),
        one_of("tier", TIERS),
        one_of("source", SOURCES),
        one_of("kind", KINDS),
        CheckConstraint("char_length(subject) <= 200", name="subject"),
        CheckConstraint("char_length(content) BETWEEN 1 AND 2000", name="content"),
        CheckConstraint("importance BETWEEN 1 AND 10", name="importance"),
        CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence"),
        CheckConstraint("superseded_by <> id", name="superseded_by"),
        not_negative("access_count"),
    )

    #: What makes two lessons the same one; see `memories.key_of`.
    key: Mapped[str]
    type: Mapped[str] = mapped_column(server_default="semantic")
    domain: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="active")
    tier: Mapped[str] = mapped_column(server_default="warm")
    source: Mapped[str] = mapped_column(server_default="extraction")
    kind: Mapped[str] = mapped_column(server_default="note")
    #: What it is about, in a few words.
    subject: Mapped[str] = mapped_column(server_default="")
    content: Mapped[str]
    importance: Mapped[int] = mapped_column(SmallInteger, server_default=text("5"))
    confidence: Mapped[float] = mapped_column(server_default=text("0.5"))
    #: What speaks for it: counts, `sessions`, `effect`.
    evidence: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    #: Kept whatever the evidence says.
    pinned: Mapped[bool] = mapped_column(server_default=text("false"))
    #: Paths it is about.
    files: Mapped[list[str]] = mapped_column(server_default=_EMPTY_LIST)
    #: Categories of tasks it is for.
    categories: Mapped[list[str]] = mapped_column(server_default=_EMPTY_LIST)
    superseded_by: Mapped[UUID | None] = mapped_column(ForeignKey("memories.id", ondelete="RESTRICT"))
    access_count: Mapped[int] = mapped_column(server_default=text("0"))
    last_accessed_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    search: Mapped[str | None] = mapped_column(TSVECTOR, Computed(SEARCHED, persisted=True))


class MemoryTag(Base):
    """A word that groups lessons."""

    __tablename__ = "memory_tags"
    __table_args__ = (
        Index(None, "tag"),
        CheckConstraint("char_length(tag) BETWEEN 1 AND 50", name="tag"),
    )

    memory_id: Mapped[UUID] = mapped_column(ForeignKey("memories.id", ondelete="CASCADE"), primary_key=True)
    tag: Mapped[str] = mapped_column(primary_key=True)


class MemoryLog(Base):
    """One change of one lesson, field by field. Append-only; refers to nothing, so it outlives everything."""

    __tablename__ = "memory_log"
    __table_args__ = (
        Index(None, "memory_id", "seq"),
        Index(None, "project_id", "at"),
        one_of("action", ACTIONS),
    )

    seq: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    project_id: Mapped[UUID]
    memory_id: Mapped[UUID]
    action: Mapped[str]
    #: The fields that changed, before and after; `tags` is one of them.
    old: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    new: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    #: `system`, `user:<name>`, or the part of the program that did it.
    changed_by: Mapped[str]
    reason: Mapped[str] = mapped_column(server_default="")
    session: Mapped[str] = mapped_column(server_default="")
    at: Mapped[datetime]


class MemoryEmbedding(Base):
    """Where a lesson lies among the meanings of one model. Derived, so not logged."""

    __tablename__ = "memory_embeddings"

    memory_id: Mapped[UUID] = mapped_column(ForeignKey("memories.id", ondelete="CASCADE"), primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    #: Any number of dimensions; compared as `embedding::vector` where pgvector is installed.
    embedding: Mapped[list[float]] = mapped_column(ARRAY(REAL))
    #: Of the text that was embedded, to see when it has changed.
    content_hash: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class MemoryUse(OfProject, Base):
    """A lesson that fitted a session, and what came of it. Kept by the trigger `note_memory_uses`."""

    __tablename__ = "memory_uses"
    __table_args__ = (
        UniqueConstraint("memory_id", "session_id"),
        Index(None, "project_id", "epic"),
        Index(None, "project_id", "task"),
        Index(None, "session_id"),
        not_negative("cost_usd"),
    )

    memory_id: Mapped[UUID] = mapped_column(ForeignKey("memories.id", ondelete="RESTRICT"))
    session_id: Mapped[UUID]
    epic: Mapped[str] = mapped_column(server_default="")
    task: Mapped[str] = mapped_column(server_default="")
    #: It was kept from the session, to measure what it does.
    held_out: Mapped[bool]
    recalled_at: Mapped[datetime]
    #: None while the session runs, and for one that was interrupted.
    completed: Mapped[bool | None]
    #: None while that is open; False also for work that a check turned down, a person took back, or another
    #: session did again.
    landed: Mapped[bool | None]
    #: What lands from now on is not its work.
    done_again: Mapped[bool] = mapped_column(server_default=text("false"))
    cost_usd: Mapped[Decimal | None]


class ExpertiseSession(Base):
    """A session that was learned from."""

    __tablename__ = "expertise_sessions"
    __table_args__ = (not_negative("lessons"),)

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="RESTRICT"), primary_key=True)
    session_id: Mapped[UUID] = mapped_column(primary_key=True)
    lessons: Mapped[int] = mapped_column(server_default=text("0"))
    learned_at: Mapped[datetime] = mapped_column(server_default=func.now())


class ExpertiseFile(OfProject, Base):
    """What is known in one domain, compiled from its lessons."""

    __tablename__ = "expertise_files"
    __table_args__ = (
        UniqueConstraint("project_id", "domain"),
        CheckConstraint("char_length(domain) BETWEEN 1 AND 100", name="domain"),
        not_negative("line_count"),
    )

    domain: Mapped[str]
    content: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    version: Mapped[int] = mapped_column(server_default=text("1"))
    line_count: Mapped[int] = mapped_column(server_default=text("0"))
    validated_at: Mapped[datetime | None]


class ExpertiseUpdate(Base):
    """One version of an expertise file. Append-only."""

    __tablename__ = "expertise_updates"
    __table_args__ = (UniqueConstraint("expertise_id", "version"), one_of("change_type", CHANGE_TYPES))

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    expertise_id: Mapped[UUID] = mapped_column(ForeignKey("expertise_files.id", ondelete="RESTRICT"))
    session_id: Mapped[UUID | None]
    version: Mapped[int]
    change_type: Mapped[str]
    change_summary: Mapped[str] = mapped_column(server_default="")
    #: Unified diff of the file against the version before.
    diff: Mapped[str] = mapped_column(server_default="")
    content: Mapped[dict[str, Any]]
    #: Versions of all lessons of the domain by id, the retired ones too: what a rollback brings back.
    #: By the time alone, one that was being written while the file was compiled would be among them.
    lessons: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    #: SHA-256 of the file's text, by which an edited file is known.
    file_hash: Mapped[str]
    at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp()"))
