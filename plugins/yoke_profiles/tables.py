"""The plugin's table."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from yokeflow.store.base import Base, OfProject, one_of

STATES = ("draft", "active", "paused", "archived")
SOURCES = ("config", "store")


class AgentProfile(OfProject, Base):
    """A role in which an agent works. One that is inserted here and active takes part in the next run."""

    __tablename__ = "agent_profiles"
    __table_args__ = (
        UniqueConstraint("project_id", "name"),
        CheckConstraint("name ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'", name="name"),
        one_of("status", STATES),
        one_of("source", SOURCES),
        CheckConstraint("jsonb_typeof(options) = 'object'", name="options"),
    )

    name: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="draft")
    #: Who wrote the row: `config` rows are copies of `agents.profiles`, kept for reports.
    source: Mapped[str] = mapped_column(server_default="store")
    #: The same keys as a profile in the config.
    options: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    version: Mapped[int] = mapped_column(server_default=text("1"))
