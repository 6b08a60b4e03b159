"""Make the table of turns, and the trigger that fills it from the events.

Revision: yoke_round_robin_0001
"""

from __future__ import annotations

from alembic import op

revision = "yoke_round_robin_0001"
down_revision = None
branch_labels = ("yoke_round_robin",)
depends_on = None

_UP = (
    """
    CREATE TABLE round_robin_turns (
      project_id UUID NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
      run TEXT NOT NULL,
      epic TEXT NOT NULL,
      turns INTEGER NOT NULL,
      PRIMARY KEY (project_id, run, epic)
    )
    """,
    """
    CREATE FUNCTION round_robin_count() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO round_robin_turns (project_id, run, epic, turns)
      VALUES (NEW.project_id, NEW.run, NEW.epic, 1)
      ON CONFLICT (project_id, run, epic) DO UPDATE SET turns = round_robin_turns.turns + 1;
      RETURN NULL;
    END
    $$
    """,
    """
    CREATE TRIGGER round_robin_count AFTER INSERT ON events
      FOR EACH ROW WHEN (NEW.type = 'session.started') EXECUTE FUNCTION round_robin_count()
    """,
)


def upgrade() -> None:
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TRIGGER round_robin_count ON events")
    op.execute("DROP FUNCTION round_robin_count()")
    op.execute("DROP TABLE round_robin_turns")
