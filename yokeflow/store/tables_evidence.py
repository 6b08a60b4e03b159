"""The table of what checks found out."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from yokeflow.store.base import Base, OfProject, is_commit, not_negative, one_of

CHECK_STAGES = ("task", "landing")


class CheckResult(OfProject, Base):
    """Evidence: a command on a tree in an environment."""

    __tablename__ = "check_results"
    __table_args__ = (
        # The command can be longer than an index entry may be; a tree has few results.
        Index(None, "project_id", "tree"),
        Index(None, "project_id", "checked_at"),
        Index(None, "session_id"),
        Index(None, "landing_id"),
        Index(None, "work_item_id"),
        Index(None, "source_id"),
        one_of("stage", CHECK_STAGES),
        is_commit("tree"),
        not_negative("seconds"),
        not_negative("tries"),
    )

    session_id: Mapped[UUID | None] = mapped_column(ForeignKey("sessions.id", ondelete="RESTRICT"))
    landing_id: Mapped[UUID | None] = mapped_column(ForeignKey("landings.id", ondelete="RESTRICT"))
    work_item_id: Mapped[UUID | None] = mapped_column(ForeignKey("work_items.id", ondelete="RESTRICT"))
    #: The result that was reused; None where the command ran.
    source_id: Mapped[UUID | None] = mapped_column(ForeignKey("check_results.id", ondelete="RESTRICT"))
    tree: Mapped[str]
    command: Mapped[str]
    #: Digest of what the command's outcome depends on beside the tree.
    environment: Mapped[str] = mapped_column(server_default="")
    stage: Mapped[str]
    #: What counts: the last try, unless it is `flaky`.
    passed: Mapped[bool]
    #: It failed and passed on the same tree: no evidence for either.
    flaky: Mapped[bool] = mapped_column(server_default=text("false"))
    #: How often it ran; 0 where older evidence was reused.
    tries: Mapped[int] = mapped_column(server_default=text("1"))
    exit_code: Mapped[int | None]
    seconds: Mapped[float]
    #: Path of the file with what it printed.
    log: Mapped[str] = mapped_column(server_default="")
    checked_at: Mapped[datetime] = mapped_column(server_default=func.now())
