"""Make the table of agent profiles.

Revision: yoke_profiles_0001
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from yokeflow.store.statements import statements

revision = "yoke_profiles_0001"
down_revision = None
branch_labels = ("yoke_profiles",)
depends_on = None


def upgrade() -> None:
    """The table and its trigger."""
    script = Path(__file__).with_name("yoke_profiles_0001.sql").read_text(encoding="utf-8")
    for statement in statements(script):
        op.execute(statement)


def downgrade() -> None:
    """Without the table."""
    op.drop_table("agent_profiles")
