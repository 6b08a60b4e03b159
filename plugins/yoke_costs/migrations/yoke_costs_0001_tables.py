"""Make the tables of costs and reservations, the view on them, and the trigger that fills in costs.

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
    """Tables, then what stands on them."""
    script = Path(__file__).with_name("yoke_costs_0001.sql").read_text(encoding="utf-8")
    for statement in statements(script):
        op.execute(statement)


def downgrade() -> None:
    """The opposite order."""
    op.execute("DROP TRIGGER record_agent_costs ON sessions")
    op.execute("DROP FUNCTION record_agent_costs()")
    op.execute("DROP VIEW v_project_costs")
    op.drop_table("budget_reservations")
    op.drop_table("agent_costs")
