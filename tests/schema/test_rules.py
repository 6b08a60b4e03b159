"""What the schema itself refuses, keeps and computes."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, text, update

from yokeflow.errors import StoreError
from yokeflow.store.tables import (
    ParallelBatch,
    ParallelBatchItem,
    Project,
    Run,
    Session,
    StoredEvent,
    WorkItem,
    WorkItemDependency,
    Worktree,
)

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from yokeflow.store.connection import Store

COMMIT = "a" * 40


class World:
    """A project with one epic, two tasks and a run."""

    def __init__(self, conn: AsyncConnection) -> None:
        self.conn = conn
        self.numbers = iter(range(1, 100))

    async def add(self, table: Any, /, **values: Any) -> UUID:
        found = await self.conn.scalar(insert(table).values(**values).returning(table.id))
        assert isinstance(found, UUID)
        return found

    async def make(self) -> World:
        self.project = await self.add(Project, repo_key="r", name="r")
        self.epic = await self.item("auth", kind="epic")
        self.first = await self.item("auth.model", parent_id=self.epic)
        self.second = await self.item("auth.view", parent_id=self.epic)
        self.run = await self.add(Run, project_id=self.project)
        return self

    async def item(self, key: str, **values: Any) -> UUID:
        return await self.add(
            WorkItem, **{"project_id": self.project, "key": key, "kind": "task", "title": key} | values
        )

    async def session(self, item: UUID, **values: Any) -> UUID:
        given = {"project_id": self.project, "run_id": self.run, "work_item_id": item, "attempt": 1}
        return await self.add(Session, **given | {"number": next(self.numbers)} | values)


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"kind": "story"}, "ck_work_items_kind"),
        ({"status": "ready"}, "ck_work_items_status"),
        ({"priority": 10}, "ck_work_items_priority"),
        ({"title": "x" * 201}, "ck_work_items_title"),
        ({"commit": "abc"}, "ck_work_items_commit"),
        ({"cost_usd": -1}, "ck_work_items_cost_usd"),
        ({"estimate": 0}, "ck_work_items_estimate"),
        ({"key": "auth.model"}, "uq_work_items_project_id_key"),
        ({"parent_id": uuid4()}, "fk_work_items_parent_id"),
    ],
)
async def test_a_work_item_that_makes_no_sense_is_refused(
    store: Store, values: dict[str, Any], constraint: str
) -> None:
    with pytest.raises(StoreError, match=constraint):
        async with store.begin() as conn:
            await (await World(conn).make()).item(**{"key": "odd"} | values)


async def test_commits_of_both_hashes_are_taken(store: Store) -> None:
    async with store.begin() as conn:
        world = await World(conn).make()
        for commit in (COMMIT, "0f" * 32):
            await conn.execute(update(WorkItem).where(WorkItem.id == world.first).values(commit=commit))


async def test_an_item_does_not_depend_on_itself(store: Store) -> None:
    with pytest.raises(StoreError, match="no_self_edge"):
        async with store.begin() as conn:
            world = await World(conn).make()
            await conn.execute(
                insert(WorkItemDependency).values(predecessor_id=world.first, successor_id=world.first)
            )


async def test_at_most_one_session_of_an_item_runs(store: Store) -> None:
    async with store.begin() as conn:
        world = await World(conn).make()
        await world.session(world.first, state="failed")
        await world.session(world.first, attempt=2)
    with pytest.raises(StoreError, match="uq_sessions_running"):
        async with store.begin() as conn:
            world.conn = conn
            await world.session(world.first, attempt=3)


async def test_a_lane_has_one_open_worktree(store: Store) -> None:
    async with store.begin() as conn:
        world = await World(conn).make()
        given = {"project_id": world.project, "lane": "auth", "path": "p", "branch": "b"}
        await world.add(Worktree, **given, status="removed")
        await world.add(Worktree, **given)
    with pytest.raises(StoreError, match="uq_worktrees_open"):
        async with store.begin() as conn:
            world.conn = conn
            await world.add(Worktree, **given)


async def test_what_has_a_history_cannot_be_deleted(store: Store) -> None:
    async with store.begin() as conn:
        world = await World(conn).make()
        await world.session(world.first)
    for statement in ("DELETE FROM work_items WHERE key = 'auth.model'", "DELETE FROM projects"):
        with pytest.raises(StoreError, match="fk_"):
            async with store.begin() as conn:
                await conn.execute(text(statement))


@pytest.mark.parametrize(
    "statement", ["UPDATE events SET type = 'x'", "DELETE FROM events", "TRUNCATE events"]
)
async def test_events_are_append_only(store: Store, statement: str) -> None:
    async with store.begin() as conn:
        world = await World(conn).make()
        given = {"id": uuid4(), "project_id": world.project, "type": "run.started", "at": text("now()")}
        await conn.execute(insert(StoredEvent).values(**given))
    with pytest.raises(StoreError, match="append-only"):
        async with store.begin() as conn:
            await conn.execute(text(statement))


async def test_a_change_moves_updated_at(store: Store) -> None:
    async with store.begin() as conn:
        await World(conn).make()
    async with store.begin() as conn:
        await conn.execute(text("UPDATE projects SET name = 's'"))
        assert await conn.scalar(text("SELECT updated_at > created_at FROM projects"))


async def test_a_batch_shows_its_progress_and_an_empty_one_shows_0(store: Store) -> None:
    async with store.begin() as conn:
        world = await World(conn).make()
        batches = [
            await world.add(ParallelBatch, project_id=world.project, run_id=world.run, number=number)
            for number in (1, 2, 3)
        ]
        for batch, item in ((batches[0], world.first), (batches[1], world.second)):
            await conn.execute(
                insert(ParallelBatchItem).values(batch_id=batch, work_item_id=item, position=0)
            )
        await conn.execute(
            text("""UPDATE work_items SET status = 'completed', started_at = now() - interval '90 seconds',
                    completed_at = now() WHERE key = 'auth.model'""")
        )
        rows = await conn.execute(text("SELECT * FROM v_parallel_progress ORDER BY batch_number"))
        seen = [(row.status, row.total_tasks, row.completed_tasks, row.duration_seconds) for row in rows]
    assert seen == [("completed", 1, 1, 90.0), ("pending", 1, 0, None), ("completed", 0, 0, None)]


async def test_a_worktree_shows_the_tasks_of_its_epic(store: Store) -> None:
    async with store.begin() as conn:
        world = await World(conn).make()
        given = {"project_id": world.project, "work_item_id": world.epic, "lane": "auth", "path": "p"}
        await world.add(Worktree, **given, branch="epic/auth")
        await conn.execute(text("UPDATE work_items SET status = 'completed' WHERE key = 'auth.model'"))
        row = (await conn.execute(text("SELECT * FROM v_worktree_status"))).one()
    assert (row.epic_id, row.epic_name, row.branch) == ("auth", "auth", "epic/auth")
    assert (row.status, row.completed_tasks, row.total_tasks) == ("active", 1, 2)


async def test_epics_and_tasks_leave_out_what_is_gone_from_the_plan(store: Store) -> None:
    async with store.begin() as conn:
        await World(conn).make()
        await conn.execute(text("UPDATE work_items SET deleted_at = now() WHERE key = 'auth.view'"))
        epic = (await conn.execute(text("SELECT key, total_tasks FROM epics"))).all()
        task = (await conn.execute(text("SELECT key, epic FROM tasks"))).all()
    assert [tuple(row) for row in epic] == [("auth", 1)]
    assert [tuple(row) for row in task] == [("auth.model", "auth")]


async def test_costs_are_summed_by_model_and_operation(store: Store) -> None:
    async with store.begin() as conn:
        world = await World(conn).make()
        for cost in ("0.25", "0.75", None):
            await conn.execute(
                text("""INSERT INTO agent_costs
                          (project_id, run_id, model, input_tokens, output_tokens, cost_usd)
                        VALUES (:project, :run, 'sonnet', 10, 2, CAST(:cost AS numeric))"""),
                {"project": world.project, "run": world.run, "cost": cost},
            )
        row = (await conn.execute(text("SELECT * FROM v_project_costs"))).one()
        await conn.execute(text("DELETE FROM runs"))
        assert await conn.scalar(text("SELECT count(*) FROM agent_costs WHERE run_id IS NULL")) == 3
    assert (row.model, row.operation_type, row.operation_count) == ("sonnet", "task", 3)
    assert (row.total_input_tokens, row.total_output_tokens) == (30, 6)
    assert (float(row.total_cost_usd), float(row.avg_cost_usd), row.unknown_cost_count) == (1.0, 0.5, 1)


@pytest.mark.parametrize(
    ("usage", "cost", "rows"),
    [
        (
            [{"model": "haiku", "input": 5}, {"model": "sonnet", "input": 10, "output": 2, "cache_read": 3}],
            "0.5",
            [("haiku", 5, 0, 0, None), ("sonnet", 10, 2, 3, 0.5)],
        ),
        ([{"model": "gpt", "input": -1, "output": 7}], None, [("gpt", 0, 7, 0, None)]),
        ([], "0.25", [("sonnet", 0, 0, 0, 0.25)]),
        ([], None, [("sonnet", 0, 0, 0, None)]),
    ],
)
async def test_a_finished_session_leaves_its_costs(
    store: Store, usage: list[dict[str, Any]], cost: str | None, rows: list[tuple[Any, ...]]
) -> None:
    async with store.begin() as conn:
        world = await World(conn).make()
        session = await world.session(world.first, model="sonnet")
        for state in ("failed", "completed"):
            values = {"state": state, "metadata_json": {"usage": usage}, "cost_usd": cost and Decimal(cost)}
            await conn.execute(update(Session).where(Session.id == session).values(**values))
        found = await conn.execute(
            text("""SELECT model, input_tokens, output_tokens, cache_read_tokens, cost_usd::float
                    FROM agent_costs WHERE session_id = :session AND work_item_id = :item ORDER BY model"""),
            {"session": session, "item": world.first},
        )
        assert [tuple(row) for row in found] == rows
