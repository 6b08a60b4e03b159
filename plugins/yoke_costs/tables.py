"""The plugin's tables. Accounts outlive what they are about: references become empty, rows stay."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from yokeflow.store.base import Base, OfProject, not_negative, one_of

RESERVATION_STATES = ("reserved", "settled", "released")


class AgentCost(OfProject, Base):
    """What one model did in one session."""

    __tablename__ = "agent_costs"
    __table_args__ = (
        Index(None, "project_id", "occurred_at"),
        Index(None, "run_id"),
        Index(None, "session_id"),
        Index(None, "work_item_id"),
        CheckConstraint("char_length(operation_type) <= 50", name="operation_type"),
        not_negative("input_tokens"),
        not_negative("output_tokens"),
        not_negative("cache_read_tokens"),
        not_negative("cache_write_tokens"),
        not_negative("cost_usd"),
    )

    run_id: Mapped[UUID | None] = mapped_column(ForeignKey("runs.id", ondelete="SET NULL"))
    session_id: Mapped[UUID | None] = mapped_column(ForeignKey("sessions.id", ondelete="SET NULL"))
    work_item_id: Mapped[UUID | None] = mapped_column(ForeignKey("work_items.id", ondelete="SET NULL"))
    model: Mapped[str]
    #: What the tokens were spent on: `task` for sessions, else the `operation` of an `agent.asked` event.
    operation_type: Mapped[str] = mapped_column(server_default="task")
    #: The four counts do not overlap.
    input_tokens: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    output_tokens: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    cache_read_tokens: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    cache_write_tokens: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    #: None means unknown, which is not free of charge.
    cost_usd: Mapped[Decimal | None]
    occurred_at: Mapped[datetime] = mapped_column(server_default=func.now())


class BudgetReservation(OfProject, Base):
    """Dollars and tokens set aside for one session. Triggers on `sessions` write it."""

    __tablename__ = "budget_reservations"
    __table_args__ = (
        Index(None, "project_id", postgresql_where=text("state = 'reserved'")),
        Index(
            "ix_budget_reservations_unknown",
            "project_id",
            postgresql_where=text("state = 'settled' AND settled_usd IS NULL"),
        ),
        Index(None, "project_id", "reserved_at"),
        Index(None, "run_id"),
        Index(None, "work_item_id"),
        one_of("state", RESERVATION_STATES),
        not_negative("amount_usd"),
        not_negative("settled_usd"),
        not_negative("amount_tokens"),
        not_negative("settled_tokens"),
        CheckConstraint("amount_usd IS NOT NULL OR amount_tokens IS NOT NULL", name="amount"),
        CheckConstraint("(state = 'reserved') = (settled_at IS NULL)", name="settled_at"),
    )

    run_id: Mapped[UUID | None] = mapped_column(ForeignKey("runs.id", ondelete="SET NULL"))
    work_item_id: Mapped[UUID | None] = mapped_column(ForeignKey("work_items.id", ondelete="SET NULL"))
    #: No foreign key: the money is set aside before the session begins.
    session: Mapped[UUID] = mapped_column(unique=True)
    state: Mapped[str] = mapped_column(server_default="reserved")
    #: None where only tokens are limited; `amount_tokens` where only dollars are.
    amount_usd: Mapped[Decimal | None]
    #: What it came to; None while reserved, or where the cost is unknown.
    settled_usd: Mapped[Decimal | None]
    amount_tokens: Mapped[int | None] = mapped_column(BigInteger)
    settled_tokens: Mapped[int | None] = mapped_column(BigInteger)
    reserved_at: Mapped[datetime] = mapped_column(server_default=func.now())
    settled_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
