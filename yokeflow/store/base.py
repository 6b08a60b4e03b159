"""What all tables share: names of constraints, types, the columns every row has, and checks.

Conventions: every row has a UUID made by the database and its times with time zone; value sets are text with
a check, so that a new value needs no new type; every foreign key has an index; nothing that tells what
happened or what it cost goes away with what it points to. Rows that several writers edit have a `version`.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    MetaData,
    Numeric,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMES = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}


class Base(DeclarativeBase):
    """Base of the core's tables."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        UUID: Uuid(),
        str: Text(),
        float: Double(),
        datetime: DateTime(timezone=True),
        Decimal: Numeric(12, 6),
        dict[str, Any]: JSONB(),
        list[str]: JSONB(),
    }


def one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    """A check that a column holds one of these words."""
    allowed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({allowed})", name=column)


def is_commit(column: str) -> CheckConstraint:
    """A check that a column holds an object id of git, SHA-1 or SHA-256, in full."""
    return CheckConstraint(f"{column} ~ '^([0-9a-f]{{40}}|[0-9a-f]{{64}})$'", name=column)


def not_negative(column: str) -> CheckConstraint:
    """A check that a column is 0 or more."""
    return CheckConstraint(f"{column} >= 0", name=column)


class Identified:
    """A row with a UUID and its times."""

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid(), sort_order=-2)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), sort_order=90)
    #: Kept by the trigger `trigger_set_updated_at`.
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), sort_order=91)


class OfProject(Identified):
    """A row that belongs to one project."""

    @declared_attr
    def project_id(self) -> Mapped[UUID]:
        """The project; it cannot be deleted while anything refers to it."""
        return mapped_column(ForeignKey("projects.id", ondelete="RESTRICT"), sort_order=-1)


def metadata_column() -> Mapped[dict[str, Any]]:
    """The column `metadata`, whose attribute needs another name in a declarative model."""
    return mapped_column("metadata", server_default=text("'{}'::jsonb"), sort_order=80)
