"""The newest is what came last in the order of events, also where the clock was set back meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests.store.conftest import COMMIT, TREE, Story
from yoke_costs.queries import last_run
from yoke_models import history
from yokeflow.events import Event
from yokeflow.model import LandingStatus
from yokeflow.store import answered, commits, evidence, items, operations, rebuild, status, unfinished
from yokeflow.store.driver import connection as driver
from yokeflow.store.projection import apply

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from yokeflow.store.connection import Store

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FIRST, SECOND, UNDO = "1" * 40, "2" * 40, "3" * 40


async def tell(store: Store, project: UUID, events: Iterable[Event]) -> None:
    """Every event an hour before the one that was told before it."""
    async with store.begin() as conn:
        back = [replace(event, at=NOW - timedelta(hours=place)) for place, event in enumerate(events)]
        await apply(conn, project, back)


def landing(story: Story, commit: str) -> list[Event]:
    data = {"commit": commit, "tree": TREE, "old_commit": COMMIT, "epic_commit": commit, "target": "main"}
    return [
        story.epic_event("landing.queued", "e1"),
        story.epic_event("landing.landed", "e1", **data, strategy="merge", tasks=["1a"]),
    ]


def undone(story: Story, commit: str) -> Event:
    told = {"landing": commit, "by": "human:ada", "reason": "", "tasks": {"1a": COMMIT}}
    return story.epic_event("landing.undone", "e1", commit=UNDO, target="main", **told)


async def test_the_landing_that_was_queued_last_is_the_epics(store: Store, project: UUID) -> None:
    first, second = Story(), Story()
    taken = Story()
    events = [first.started(), *landing(first, FIRST), undone(taken, FIRST)]
    await tell(store, project, [*events, second.started(), *landing(second, SECOND)])
    async with store.begin() as conn:
        latest = await unfinished.latest_landings(conn, project)
        landed = await operations.landed(conn, project)
        done = await operations.operations(conn, project)
        state = await status.status(conn, project)
        known = await rebuild.landed_commits(conn, project, "main")
    assert (latest["e1"].status, latest["e1"].commit) == (LandingStatus.LANDED, SECOND)
    assert [(each.commit, each.latest, each.standing) for each in landed] == [
        (FIRST, False, False),
        (SECOND, True, True),
    ]
    assert [each.id for each in done] == [first.run, taken.run, second.run]
    assert [(each["status"], each["commit"]) for each in state["landings"]] == [("landed", SECOND)]
    assert known == [SECOND, FIRST]


async def test_the_run_that_began_last_is_the_last(store: Store, project: UUID, database_url: str) -> None:
    runs = [Story(), Story()]
    seen = [{"target_commit": FIRST}, {"target_commit": SECOND}]
    await tell(store, project, [story.started(**more) for story, more in zip(runs, seen, strict=True)])
    async with store.begin() as conn:
        state = await status.status(conn, project)
        assert await rebuild.last_target_commit(conn, project, "main") == SECOND
    assert state["run"]["id"] == runs[1].run
    async with driver(database_url) as opened:
        assert str(await last_run(opened, project)) == runs[1].run


async def test_an_approval_ends_with_what_was_approved(store: Store, project: UUID, story: Story) -> None:
    """Else work that was undone since would be taken up again without anybody being asked."""
    asked, again = str(uuid4()), str(uuid4())
    about: dict[str, Any] = {"kind": "approval", "reason": "look", "choices": ["approve"]}
    await tell(
        store,
        project,
        [
            story.started(),
            story.task_event("intervention.opened", "1a", intervention=asked, **about),
            story.task_event("intervention.resolved", "1a", intervention=asked, choice="approve", by="ada"),
            story.task_event("task.completed", "1a", commit=COMMIT, seconds=1.0),
            story.task_event("intervention.opened", "1b", intervention=again, **about),
            story.task_event("intervention.resolved", "1b", intervention=again, choice="approve", by="bob"),
            story.task_event("intervention.opened", "1b", intervention=str(uuid4()), **about),
        ],
    )
    async with store.begin() as conn:
        assert [each.item for each in await answered.answered(conn, project)] == ["1b"]


async def test_the_last_answer_is_the_one_that_came_last(store: Store, project: UUID, story: Story) -> None:
    events = [story.started()]
    for by in ("ada", "bob"):
        asked = str(uuid4())
        about: dict[str, Any] = {"kind": "question", "reason": "which?", "choices": []}
        events += [
            story.task_event("intervention.opened", "1a", intervention=asked, **about),
            story.task_event("intervention.resolved", "1a", intervention=asked, choice="answer", by=by),
        ]
    await tell(store, project, events)
    async with store.begin() as conn:
        answer = await answered.last_answer(conn, project, "1a")
    assert answer is not None
    assert answer.by == "bob"


async def test_the_check_that_ran_last_is_what_is_known(store: Store, project: UUID, story: Story) -> None:
    checks = [story.check("1a", "", passed=passed) for passed in (True, False)]
    await tell(store, project, [story.started(), *checks])
    key = ("task", TREE, "make test", "env")
    async with store.begin() as conn:
        known = await evidence.known_checks(conn, project)
        newest = await evidence.known_checks(conn, project, limit=1)
    assert (known[key].evidence, known[key].passed) == ("", True)
    assert newest[key].passed is False


async def test_the_rejection_that_came_last_is_red(store: Store, project: UUID, story: Story) -> None:
    def rejected(commit: str) -> list[Event]:
        tested = {"commit": commit, "tree": TREE, "old_commit": COMMIT, "epic_commit": commit}
        return [
            story.epic_event("landing.queued", "e1"),
            story.epic_event("landing.testing", "e1", **tested, target="main"),
            story.epic_event("landing.rejected", "e1", reason="red", output=""),
        ]

    await tell(store, project, [story.started(), *rejected(FIRST), *rejected(SECOND)])
    async with store.begin() as conn:
        assert await commits.red_tips(conn, project) == {"e1": SECOND}


@pytest.mark.parametrize("reopened", [True, False])
async def test_failures_before_a_task_was_reopened_count_no_more(
    store: Store, project: UUID, story: Story, *, reopened: bool
) -> None:
    again = [story.task_event("task.reopened", "1a", by="human:ada", reason="")] if reopened else []
    await tell(store, project, [story.started(), *story.attempt("1a", "failed"), *again])
    async with store.begin() as conn:
        states = await items.load_states(conn, project)
        failures = list(await conn.exec_driver_sql(history._FAILURES, (project,)))
    assert states["1a"].failed_attempts == (0 if reopened else 1)
    assert len(failures) == (0 if reopened else 1)
