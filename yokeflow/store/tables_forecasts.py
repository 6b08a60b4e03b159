"""What is known about conflicts before they happen, and which files had many. Nobody edits these rows."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, text
from sqlalchemy.orm import Mapped, mapped_column

from yokeflow.store.base import Base, not_negative


class ConflictForecast(Base):
    """Two epics, or an epic and the target branch, that do not merge, or did not once."""

    __tablename__ = "conflict_forecasts"
    __table_args__ = (not_negative("more"),)

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="RESTRICT"), primary_key=True)
    #: Ids in the plan, the first in plan order first; `with_epic` is empty where it is the target.
    epic: Mapped[str] = mapped_column(primary_key=True)
    with_epic: Mapped[str] = mapped_column(primary_key=True)
    #: The branch on which epics land.
    target: Mapped[str] = mapped_column(server_default="")
    files: Mapped[list[str]] = mapped_column(server_default=text("'[]'::jsonb"))
    #: Files beyond those.
    more: Mapped[int] = mapped_column(server_default=text("0"))
    #: Ids by epic of the tasks that changed these files.
    tasks: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    opened_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    #: When they were found to merge, or one of them had landed; None while they conflict.
    cleared_at: Mapped[datetime | None]


class ConflictFile(Base):
    """A file that was in conflict, and how often."""

    __tablename__ = "conflict_files"
    __table_args__ = (not_negative("forecasts"), not_negative("hand_overs"), not_negative("landings"))

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="RESTRICT"), primary_key=True)
    path: Mapped[str] = mapped_column(primary_key=True)
    #: Conflicts by where they were met.
    forecasts: Mapped[int] = mapped_column(server_default=text("0"))
    hand_overs: Mapped[int] = mapped_column(server_default=text("0"))
    landings: Mapped[int] = mapped_column(server_default=text("0"))
    #: Who took part, as ids in the plan.
    epics: Mapped[list[str]] = mapped_column(server_default=text("'[]'::jsonb"))
    last_at: Mapped[datetime]
