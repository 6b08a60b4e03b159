from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from yokeflow.errors import StoreError
from yokeflow.store import history
from yokeflow.store.drain import drain
from yokeflow.store.driver import connection
from yokeflow.store.fold_item import fold_item
from yokeflow.store.projection import apply
from yokeflow.store.status import status

COMMIT = "c" * 40
TREE = "7" * 40


@pytest.fixture
def told(store, project):
    async def told(*events):
        async with store.begin() as conn:
            await apply(conn, project, events)

    return told


@pytest.fixture
def log(store, project):
    async def log(**filters):
        async with store.begin() as conn:
            return [entry.event for entry in await history.log(conn, project, **filters)]

    return log


async def test_the_log_gives_events_as_they_were(told, log, story):
    events = [story.started(), *story.attempt("1a"), story.epic_event("landing.queued", "e1")]
    await told(*events)
    assert await log() == events
    assert await log(limit=2) == events[-2:]


async def test_the_log_can_be_narrowed(told, log, story):
    other = type(story)()
    start, end = story.attempt("1a")
    queued = story.epic_event("landing.queued", "e1")
    foreign = other.task_event("task.ready", "2a")
    await told(start, end, queued, foreign)
    assert await log(run=other.run) == [foreign]
    assert await log(item="1a") == [start, end]
    assert await log(item="e1") == [start, end, queued]
    assert await log(type="session.finished") == [end]
    assert await log(type="session.finished", item="2a") == []


async def test_the_log_goes_on_behind_an_entry(store, project, told, story):
    await told(*story.attempt("1a"))
    async with store.begin() as conn:
        first, second = await history.log(conn, project)
        assert await history.log(conn, project, after=first.seq) == [second]


async def test_followers_get_what_was_and_what_comes(store, project, journal, story):
    events = [story.task_event("task.ready", "1a", n=n) for n in range(6)]
    journal.append(*events[:2])
    await drain(store, project, journal)
    seen = []
    async with asyncio.timeout(10), aclosing(history.follow(store, project, 0)) as following:
        async for entry in following:
            seen.append(entry.event)
            if len(seen) in {2, 4}:
                journal.append(*events[len(seen) : len(seen) + 2])
                await drain(store, project, journal)
            if len(seen) == 6:
                break
    assert seen == events


async def test_a_waiting_follower_is_told_when_the_database_goes_away(store, project, told, story):
    event = story.task_event("task.ready", "1a")
    await told(event)
    async with asyncio.timeout(10), aclosing(history.follow(store, project, 0)) as following:
        assert (await anext(following)).event == event
        waiting = asyncio.ensure_future(anext(following))
        await asyncio.sleep(0.1)
        async with connection(store.url) as other:
            await other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        with pytest.raises(StoreError, match="was lost"):
            await waiting


async def test_an_item_is_shown_with_all_that_belongs_to_it(store, project, told, story):
    failed_start, failed_end = story.attempt(
        "1a", "failed", reason="red", cost_usd=0.5, kept_ref="refs/yoke/keep/x"
    )
    start, end = story.attempt("1a", "completed", 2, cost_usd=0.25, head_commit=COMMIT)
    question = {"intervention": "q", "kind": "attempts", "reason": "red", "choices": ["retry"]}
    await told(
        story.started(),
        failed_start,
        story.check("1a", failed_start.session, passed=False),
        failed_end,
        story.task_event("intervention.opened", "1a", **question),
        story.run_event("intervention.resolved", intervention="q", choice="retry", by="me"),
        start,
        story.check("1a", start.session),
        end,
        story.task_event("task.completed", "1a", commit=COMMIT),
        story.epic_event("landing.queued", "e1"),
        story.epic_event("landing.landed", "e1", commit="d" * 40, target="main", strategy="merge"),
    )
    async with store.begin() as conn:
        task = await history.show(conn, project, "1a")
        successor = await history.show(conn, project, "1b")
        epic = await history.show(conn, project, "e1")
        assert await history.show(conn, project, "nobody") is None
    assert task is not None
    assert successor is not None
    assert epic is not None
    assert (task["title"], task["epic"], task["status"], task["cost_usd"]) == (
        "One A",
        "e1",
        "completed",
        0.75,
    )
    assert [
        (s["attempt"], s["state"], s["reason"], s["cost_usd"], s["folder"]) for s in task["sessions"]
    ] == [
        (1, "failed", "red", 0.5, "f"),
        (2, "completed", "", 0.25, "f"),
    ]
    assert [(check["session"], check["passed"], check["log"]) for check in task["checks"]] == [
        (failed_start.session, False, "check.log"),
        (start.session, True, "check.log"),
    ]
    assert task["commits"] == [COMMIT]
    assert [(q["kind"], q["choice"], q["by"]) for q in task["interventions"]] == [("attempts", "retry", "me")]
    assert successor["depends_on"] == [
        {"id": "1a", "type": "hard", "reason": "", "status": "completed", "of": "1b"}
    ]
    assert [(landing["status"], landing["commit"]) for landing in epic["landings"]] == [("landed", "d" * 40)]
    assert [task["id"] for task in epic["tasks"]] == ["1a", "1b"]
    assert epic["commits"] == [COMMIT, "d" * 40]


async def test_costs_that_nobody_knows_are_counted_for_a_task_and_its_epic(store, project, told, story):
    events = [
        story.started(),
        *story.attempt("1a", "failed", cost_usd=None),
        *story.attempt("1a", number=2, cost_usd=0.25),
        *story.attempt("1b", state=""),
    ]
    await told(*events)
    async with store.begin() as conn:
        found = {item: await history.show(conn, project, item) for item in ("e1", "1a", "1b", "e2")}
        state = await status(conn, project)
    known = [(each["cost_usd"], each["unknown_costs"]) for each in found.values() if each]
    assert known == [(0.25, 1), (0.25, 1), (None, 0), (None, 0)]
    # What is told without the store says the same.
    for item, stored in found.items():
        alone = fold_item(state, None, events, item)
        assert stored is not None
        assert alone is not None
        assert alone["unknown_costs"] == stored["unknown_costs"]
