"""Make the core's tables and views.

Revision: core_0001
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from yokeflow.store.statements import statements

revision = "core_0001"
down_revision = None
branch_labels = ("core",)
depends_on = None

_SCHEMA = Path(__file__).parents[1]
_VIEWS = ("v_worktree_status", "v_parallel_progress", "tasks", "epics")
_TABLES = (
    "events",
    "interventions",
    "check_results",
    "landings",
    "worktrees",
    "sessions",
    "parallel_batch_items",
    "parallel_batches",
    "runs",
    "work_item_dependencies",
    "work_items",
    "projects",
)
_FUNCTIONS = ("refuse_change", "trigger_set_updated_at")


def upgrade() -> None:
    """Tables in order of dependency, then the views on them."""
    for file in (_SCHEMA / "sql" / "core_0001.sql", _SCHEMA / "views.sql"):
        for statement in statements(file.read_text(encoding="utf-8")):
            op.execute(statement)


def downgrade() -> None:
    """The opposite order; extensions stay."""
    for view in _VIEWS:
        op.execute(f"DROP VIEW {view}")
    for table in _TABLES:
        op.drop_table(table)
    for function in _FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}()")
