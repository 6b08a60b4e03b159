"""Keep sums of the costs and of what budgets count, so that neither a report nor a run reads every row.

Revision: yoke_costs_0003
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from yokeflow.store.statements import statements

revision = "yoke_costs_0003"
down_revision = "yoke_costs_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Tables and triggers, then the sums of what is there; nobody writes costs meanwhile."""
    op.execute("LOCK TABLE sessions, agent_costs, events IN SHARE ROW EXCLUSIVE MODE")
    _run("yoke_costs_0003.sql")


def downgrade() -> None:
    """The view reads the costs themselves again."""
    _run("yoke_costs_0003_down.sql")


def _run(name: str) -> None:
    script = Path(__file__).with_name(name).read_text(encoding="utf-8")
    for statement in statements(script):
        op.execute(statement)
