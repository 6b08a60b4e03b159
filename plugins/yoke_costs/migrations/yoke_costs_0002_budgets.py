"""Keep reservations by triggers, share the cost of a session among its models, count what was asked.

Revision: yoke_costs_0002
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from yokeflow.store.statements import statements

revision = "yoke_costs_0002"
down_revision = "yoke_costs_0001"
branch_labels = None
depends_on = None

_FOLDER = Path(__file__).parent
_FUNCTIONS = (
    "record_asked_costs()",
    "settle_budget_reservation()",
    "yoke_costs_asked_at(timestamp with time zone, jsonb)",
    "make_budget_reservation()",
    "yoke_costs_tokens(numeric, jsonb)",
    "yoke_costs_released(text, numeric, jsonb)",
    "yoke_costs_shares(jsonb, numeric, text)",
    "yoke_costs_usage(jsonb)",
    "yoke_costs_count(jsonb)",
    "yoke_costs_usd(jsonb)",
    "yoke_costs_number(jsonb, numeric)",
)


def upgrade() -> None:
    """Columns and functions, then the triggers that use them."""
    for statement in _statements("yoke_costs_0002.sql"):
        op.execute(statement)


def downgrade() -> None:
    """The opposite order. A reservation of tokens alone becomes one of no dollars."""
    op.execute("DROP TRIGGER record_asked_costs ON events")
    op.execute("DROP TRIGGER settle_budget_reservation ON sessions")
    op.execute("DROP TRIGGER make_budget_reservation ON sessions")
    before = next(
        each for each in _statements("yoke_costs_0001.sql") if "record_agent_costs() RETURNS" in each
    )
    op.execute(before.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    for function in _FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    op.drop_index("ix_budget_reservations_unknown", "budget_reservations")
    for name in ("amount", "amount_tokens", "settled_tokens"):
        op.drop_constraint(f"ck_budget_reservations_{name}", "budget_reservations")
    op.drop_column("budget_reservations", "amount_tokens")
    op.drop_column("budget_reservations", "settled_tokens")
    op.execute("UPDATE budget_reservations SET amount_usd = 0 WHERE amount_usd IS NULL")
    op.alter_column("budget_reservations", "amount_usd", nullable=False)


def _statements(name: str) -> list[str]:
    return statements((_FOLDER / name).read_text(encoding="utf-8"))
