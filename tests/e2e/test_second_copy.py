"""Git is the second copy: a store that is gone comes back, and nothing that landed is done again."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.engine.rebuild import rebuild
from yokeflow.store.driver import connect

if TYPE_CHECKING:
    from pathlib import Path

#: What git does not know: when a run began and what it was told, and what sessions cost.
_OF_RUN = ("strategy", "started", "elapsed", "cost_usd")
_OF_ITEM = ("cost_usd",)


def known_to_git(state: dict[str, Any]) -> dict[str, Any]:
    """The state without what git does not know."""
    run = {key: value for key, value in (state["run"] or {}).items() if key not in _OF_RUN}
    items = [{key: value for key, value in item.items() if key not in _OF_ITEM} for item in state["items"]]
    return {**state, "run": run, "items": items}


async def lose_store(shop: Workshop, database_url: str) -> None:
    """Everything the store had is gone; the schema comes back with the next command."""
    opened = await connect(database_url, 10.0)
    try:
        await opened.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    finally:
        await opened.close()


def forget_journal(shop: Workshop) -> None:
    """As after the journal was emptied, or on another machine."""
    for name in ("journal.jsonl", "status.json", "settings.good"):
        (shop.root / ".git/yoke" / name).unlink(missing_ok=True)


@pytest.fixture
async def worked(workshop: Workshop) -> Workshop:
    """A project with landed epics, a failed attempt, and a task that waits for a person."""
    workshop.config(agents={"max_attempts": 2})
    flaky = "test -e {0} && echo b > b.txt || {{ touch {0}; echo half > half.txt; exit 1; }}"
    workshop.plan(
        epic("a", task("a.1"), task("a.2", depends_on=["a.1"])),
        epic("b", task("b.1", flaky.format(workshop.root.parent / "second"))),
        epic("c", task("c.1"), task("c.2", "exit 1", depends_on=["c.1"])),
    )
    await workshop.run()
    return workshop


@pytest.mark.parametrize("strategy", ["by_epic", "by_task"])
@pytest.mark.parametrize("merge", ["merge", "squash"])
async def test_status_comes_back_from_git_alone(workshop, database_url, strategy, merge):
    workshop.config(parallel={"strategy": strategy, "merge_strategy": merge, "max_concurrency": 2})
    second = workshop.root.parent / "second"
    workshop.plan(
        epic("a", task("a.1"), task("a.2", depends_on=["a.1"]), task("a.3")),
        epic("b", task("b.1", f"test -e {second} && echo b > b || {{ touch {second}; echo > half; exit 1; }}")),
        epic("c", task("c.1", depends_on=["b"])),
    )
    assert (await workshop.run()).exit_code == 0
    before = await workshop.status()
    assert {item["id"]: item["attempts"] for item in before["items"]}["b.1"] == 2
    await lose_store(workshop, database_url)
    forget_journal(workshop)
    after = await workshop.status()
    assert known_to_git(after) == known_to_git(before)
    assert (await workshop.run()).completed == ()
    assert "session.started" not in workshop.types()
