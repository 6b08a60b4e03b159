"""What the store remembers of checks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.store.conftest import TREE, Story
from yokeflow.store import evidence, history
from yokeflow.store.projection import apply

if TYPE_CHECKING:
    from uuid import UUID

    from yokeflow.events import Event
    from yokeflow.store.connection import Store

KEY = ("task", TREE, "make test", "env")


async def known(store: Store, project: UUID, *events: Event) -> Any:
    async with store.begin() as conn:
        await apply(conn, project, events)
        return (await evidence.known_checks(conn, project)).get(KEY)


def check(story: Story, minutes: int = 0, *, passed: bool = True, **data: Any) -> Event:
    made = story.check("1a", "", passed=passed)
    return replace(made, at=made.at + timedelta(minutes=minutes), data={**made.data, **data})


async def test_what_passed_can_be_reused(store: Store, project: UUID, story: Story) -> None:
    event = check(story)
    found = await known(store, project, event)
    assert (found.evidence, found.passed) == (event.id, True)


async def test_reused_evidence_leads_to_what_proved_it(store: Store, project: UUID, story: Story) -> None:
    start, finish = story.attempt("1a")
    first = replace(story.check("1a", start.session))
    again = check(story, 1, reused=True, source=first.id, tries=0)
    found = await known(store, project, story.started(), start, first, finish, again)
    assert found.evidence == first.id
    async with store.begin() as conn:
        shown = await history.show(conn, project, "1a")
    assert shown is not None
    one, two = shown["checks"]
    assert one["reused"] is None
    assert (one["environment"], one["tries"], one["flaky"]) == ("env", 1, False)
    assert (two["reused"]["session"], two["reused"]["item"]) == (start.session, "1a")
    assert (two["reused"]["attempt"], two["reused"]["log"], two["tries"]) == (1, "check.log", 0)


async def test_flaky_is_no_evidence_whatever_came_before(store: Store, project: UUID, story: Story) -> None:
    found = await known(store, project, check(story), check(story, 1, flaky=True, tries=2))
    assert (found.evidence, found.passed) == ("", True)
    found = await known(store, project, check(story, 2))
    assert found.evidence == ""


async def test_the_newest_result_counts(store: Store, project: UUID, story: Story) -> None:
    found = await known(store, project, check(story), check(story, 1, passed=False))
    assert (found.evidence, found.passed) == ("", True)
    last = check(story, 2)
    assert (await known(store, project, last)).evidence == last.id


async def test_a_landing_tells_what_it_passed_on_its_tree(store: Store, project: UUID, story: Story) -> None:
    landing = {**story.check("1a", "").data, "stage": "landing"}
    queued = story.epic_event("landing.queued", "e1")
    events = [
        story.epic_event("check.finished", "e1", **landing),
        story.epic_event("check.finished", "e1", **{**landing, "command": "lint", "flaky": True}),
        story.epic_event("check.finished", "e1", **{**landing, "command": "red", "passed": False}),
        story.epic_event("check.finished", "e1", **{**landing, "command": "else", "tree": "8" * 40}),
    ]
    async with store.begin() as conn:
        await apply(conn, project, [queued, *events])
        found = await evidence.passed_by_landing(conn, project, queued.id, TREE)
        again = {**landing, "reused": True, "source": events[0].id, "seconds": 0.0, "tries": 0}
        await apply(conn, project, [story.epic_event("check.finished", "e1", **again)])
        reused = await evidence.passed_by_landing(conn, project, queued.id, TREE)
    assert [(passed.command, passed.flaky) for passed in found] == [("lint", True), ("make test", False)]
    assert reused == found
