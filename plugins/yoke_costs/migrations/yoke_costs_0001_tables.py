"""Make the tables of costs and reservations, and the view on them.

Revision: yoke_costs_0001
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from yokeflow.store.statements import statements

revision = "yoke_costs_0001"
down_revision = None
branch_labels = ("yoke_costs",)
depends_on = None


def upgrade() -> None:
    """Tables, then the view."""
    script = Path(__file__).with_name("yoke_costs_0001.sql").read_text(encoding="utf-8")
    for statement in statements(script):
        op.execute(statement)


def downgrade() -> None:
    """The opposite order."""
    op.execute("DROP VIEW v_project_costs")
    op.drop_table("budget_reservations")
    op.drop_table("agent_costs")
