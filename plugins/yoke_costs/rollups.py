"""Sums of costs, kept by triggers, so that reports and starts of runs stay quick however many there are.

Nobody else writes them. Days and months are those of UTC. What is gone leaves a row of zeros behind.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, Numeric, text
from sqlalchemy.orm import Mapped, mapped_column

from yokeflow.store.base import Base, one_of

SPANS = ("day", "month", "ever")


class Sums(Base):
    """What is counted."""

    __abstract__ = True

    operations: Mapped[int] = mapped_column(BigInteger, server_default=text("0"), sort_order=1)
    #: Operations whose cost nobody knows; they add nothing to `cost_usd`.
    unknown_costs: Mapped[int] = mapped_column(BigInteger, server_default=text("0"), sort_order=2)
    input_tokens: Mapped[int] = mapped_column(BigInteger, server_default=text("0"), sort_order=3)
    output_tokens: Mapped[int] = mapped_column(BigInteger, server_default=text("0"), sort_order=4)
    cache_read_tokens: Mapped[int] = mapped_column(BigInteger, server_default=text("0"), sort_order=5)
    cache_write_tokens: Mapped[int] = mapped_column(BigInteger, server_default=text("0"), sort_order=6)
    cost_usd: Mapped[Decimal] = mapped_column(Numeric(18, 6), server_default=text("0"), sort_order=7)


class DailyCost(Sums):
    """A day's operations of one kind on one model."""

    __tablename__ = "daily_costs"

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    operation_type: Mapped[str] = mapped_column(primary_key=True)


class ItemCost(Sums):
    """A work item's operations in a day, in a month, and altogether: few rows answer any question."""

    __tablename__ = "item_costs"
    __table_args__ = (one_of("span", SPANS),)

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    span: Mapped[str] = mapped_column(primary_key=True)
    #: The first day there is where the span is `ever`.
    starts_on: Mapped[date] = mapped_column(primary_key=True)
    #: All zeros for what belongs to no item. No foreign key: the item's costs may outlive it.
    work_item_id: Mapped[UUID] = mapped_column(primary_key=True)


class BudgetSum(Base):
    """What budgets count of sessions that are alike, and of what agents were asked, on a day and for ever.

    Where nobody knows what a session used, what was set aside for it counts. Without that it is in
    `unknown_usd` or `unknown_tokens`, which an estimate is for.
    """

    __tablename__ = "budget_sums"

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    #: On which they started; the first day there is in the sums for ever.
    day: Mapped[date] = mapped_column(primary_key=True)
    #: As that of `ItemCost`.
    work_item_id: Mapped[UUID] = mapped_column(primary_key=True)
    agent: Mapped[str] = mapped_column(primary_key=True)
    tier: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str] = mapped_column(primary_key=True)
    #: Those that run are among them; questions are not.
    sessions: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    usd: Mapped[Decimal] = mapped_column(Numeric(18, 6), server_default=text("0"))
    unknown_usd: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    tokens: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    unknown_tokens: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
