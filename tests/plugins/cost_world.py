"""A project with two epics and three tasks, that money is spent on."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid4

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[Any]

START = datetime(2026, 1, 20, 12, tzinfo=UTC)


class World(NamedTuple):
    """A project with two epics, and tasks by their key."""

    connection: Connection
    project: UUID
    items: dict[str, UUID]

    async def run(self, started: datetime = START) -> UUID:
        made: UUID = await self.connection.fetchval(
            "INSERT INTO runs (project_id, started_at) VALUES ($1, $2) RETURNING id", self.project, started
        )
        return made

    async def spend(
        self,
        usd: str | None,
        *,
        task: str = "",
        model: str = "sonnet",
        at: datetime = START,
        run: UUID | None = None,
        tokens: int = 0,
    ) -> None:
        await self.connection.execute(
            """INSERT INTO agent_costs (project_id, work_item_id, model, cost_usd, occurred_at, run_id,
                                        input_tokens, output_tokens)
               VALUES ($1, $2, $3, $4, $5, $6, $7, 1)""",
            self.project,
            self.items.get(task),
            model,
            usd and Decimal(usd),
            at,
            run,
            tokens,
        )

    async def finish(self, *keys: str) -> None:
        await self.connection.execute(
            "UPDATE work_items SET status = 'completed', attempts = 1 WHERE key = ANY($1)", keys
        )


async def make_world(opened: Connection, project: UUID | None = None) -> World:
    if project is None:
        project = await opened.fetchval(
            "INSERT INTO projects (repo_key, name) VALUES ($1, 'shop') RETURNING id", str(uuid4())
        )
    items: dict[str, UUID] = {}
    for key, category in {
        "pay": "",
        "pay.api": "api",
        "pay.docs": "docs",
        "ui": "",
        "ui.form": "api",
    }.items():
        items[key] = await opened.fetchval(
            """INSERT INTO work_items (project_id, key, kind, title, category, parent_id)
               VALUES ($1, $2, $3, $2, $4, $5) RETURNING id""",
            project,
            key,
            "task" if "." in key else "epic",
            category,
            items[key.partition(".")[0]] if "." in key else None,
        )
    assert project is not None
    return World(opened, project, items)
