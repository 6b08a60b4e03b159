"""Make the tables of lessons with their log, of how they were used, and of the files compiled from them.

Revision: yoke_expertise_0001
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from yokeflow.store.statements import statements

revision = "yoke_expertise_0001"
down_revision = None
branch_labels = ("yoke_expertise",)
depends_on = None

_TABLES = (
    "expertise_updates",
    "expertise_files",
    "expertise_sessions",
    "memory_uses",
    "memory_embeddings",
    "memory_log",
    "memory_tags",
    "memories",
)
_FUNCTIONS = (
    "note_memory_uses()",
    "uuids_in(jsonb)",
    "log_memory_tags()",
    "log_memory()",
    "memory_action(jsonb, jsonb)",
    "write_memory_log(uuid, uuid, text, jsonb, jsonb)",
    "refuse_removal()",
)


def upgrade() -> None:
    """Tables with what stands on them."""
    script = Path(__file__).with_name("yoke_expertise_0001.sql").read_text(encoding="utf-8")
    for statement in statements(script):
        op.execute(statement)


def downgrade() -> None:
    """The opposite order. The extension `vector` stays: others may use it too."""
    op.execute("DROP TRIGGER note_memory_uses ON events")
    for table in _TABLES:
        op.drop_table(table)
    for function in _FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
