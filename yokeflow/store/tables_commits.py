"""The table of what git hooks and the reader of their notes found out about commits."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from yokeflow.store.base import Base, OfProject, is_commit, one_of

COMMIT_KINDS = ("commit", "merge")
WRITERS = ("agent", "person", "yoke")


class RecordedCommit(OfProject, Base):
    """A commit of a work item, or a merge of it."""

    __tablename__ = "commits"
    __table_args__ = (
        UniqueConstraint("work_item_id", "commit"),
        Index(None, "project_id", "commit"),
        one_of("kind", COMMIT_KINDS),
        one_of("writer", WRITERS),
        is_commit("commit"),
        is_commit("replaced_by"),
    )

    work_item_id: Mapped[UUID] = mapped_column(ForeignKey("work_items.id", ondelete="RESTRICT"))
    commit: Mapped[str]
    kind: Mapped[str] = mapped_column(server_default="commit")
    subject: Mapped[str] = mapped_column(server_default="")
    author: Mapped[str] = mapped_column(server_default="")
    #: Who made it: an agent in a session, a person, or YokeFlow itself.
    writer: Mapped[str] = mapped_column(server_default="person")
    #: The branch on which it was seen first.
    branch: Mapped[str] = mapped_column(server_default="")
    #: As its trailer says; empty where there is none.
    session: Mapped[str] = mapped_column(server_default="")
    #: Whether its message names the item, which may complete it.
    named: Mapped[bool] = mapped_column(server_default=text("false"))
    authored_at: Mapped[datetime | None]
    #: Since when no branch has it any more, by what, and how that came: `amend`, `rebase` or `gone`.
    replaced_at: Mapped[datetime | None]
    replaced_by: Mapped[str | None]
    replaced_how: Mapped[str] = mapped_column(server_default="")
