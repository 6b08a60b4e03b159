"""Count what agents are asked from the start on, so that the death of a run does not hide what it spent.

Revision: yoke_costs_0004
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from yokeflow.store.statements import statements

revision = "yoke_costs_0004"
down_revision = "yoke_costs_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Triggers on events; nobody writes any meanwhile."""
    op.execute("LOCK TABLE events IN SHARE ROW EXCLUSIVE MODE")
    _run("yoke_costs_0004.sql")


def downgrade() -> None:
    """Count answers alone again."""
    _run("yoke_costs_0004_down.sql")


def _run(name: str) -> None:
    script = Path(__file__).with_name(name).read_text(encoding="utf-8")
    for statement in statements(script):
        op.execute(statement)
