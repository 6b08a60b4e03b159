"""Keep what is known about commits, flaky checks, forecasts and undone landings.

Revision: core_0002
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from yokeflow.store.statements import statements

revision = "core_0002"
down_revision = "core_0001"
branch_labels = None
depends_on = None

_SQL = Path(__file__).parents[1] / "sql"


def upgrade() -> None:
    """Columns, tables and constraints."""
    _run("core_0002.sql")


def downgrade() -> None:
    """The opposite."""
    _run("core_0002_down.sql")


def _run(name: str) -> None:
    for statement in statements((_SQL / name).read_text(encoding="utf-8")):
        op.execute(statement)
