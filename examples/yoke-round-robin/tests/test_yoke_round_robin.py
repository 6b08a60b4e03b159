"""The contract checks, and what this plugin does beyond them."""

import asyncio

import yoke_round_robin
from sqlalchemy import text
from yoke_round_robin.order import Round
from yoke_round_robin.settings import RoundRobin

from yokeflow.events import Event
from yokeflow.testing import check_plugin, host, sample_plan, temporary_database


def test_it_keeps_every_promise():
    with temporary_database(yoke_round_robin) as url:
        checked = check_plugin(yoke_round_robin, database_url=url)
    assert "order_ready" in checked
    assert "register_migrations" in checked


def test_epics_take_turns():
    tasks = list(sample_plan().tasks.values())
    shop, docs, tools = ([task for task in tasks if task.epic == epic] for epic in ("shop", "docs", "tools"))
    turns = Round()
    assert turns.order([*shop[:2], *docs, *tools]) == [
        *("shop.base", "docs.one", "tools.one"),
        *("shop.left", "docs.two"),
    ]
    turns.count("shop")
    turns.count("docs")
    assert turns.order([*shop[1:3], docs[1], *tools])[0] == "tools.one"
    turns.begin(RoundRobin(first=("docs",), tasks=2))
    assert turns.order([*shop[:2], *docs]) == ["docs.one", "docs.two", "shop.base", "shop.left"]
    turns.begin(RoundRobin(enabled=False))
    assert turns.order(shop) is None


def test_the_table_counts_each_start_once():
    async def count(url: str) -> dict[str, int]:
        async with host(url) as lent:
            started = [Event("session.started", run=lent.run, epic=epic) for epic in ("a", "b", "a")]
            await lent.store_events(*started)
            await lent.store_events(*started)  # as when a process ends between two steps
            async with lent.begin() as conn:
                rows = await conn.execute(
                    text("SELECT epic, turns FROM round_robin_turns WHERE project_id = :id"),
                    {"id": lent.project_id},
                )
                return {row.epic: row.turns for row in rows}

    with temporary_database(yoke_round_robin) as url:
        assert asyncio.run(count(url)) == {"a": 2, "b": 1}
