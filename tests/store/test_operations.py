"""What persons and runs did, one line each, and what of it can be undone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.store.conftest import COMMIT, TREE, Story
from yokeflow.cli.log import operation_line
from yokeflow.cli.output import clean
from yokeflow.events import Event
from yokeflow.store import operations
from yokeflow.store.projection import apply

if TYPE_CHECKING:
    from uuid import UUID

    from yokeflow.store.connection import Store

LANDING, UNDO, BACK = "1" * 40, "2" * 40, "3" * 40
UNDO_ID = "aaaaaaaa-0000-4000-8000-000000000000"
BACK_ID = "bbbbbbbb-0000-4000-8000-000000000000"


def landed(story: Story, commit: str, run: str, **more: Any) -> list[Event]:
    data = {"commit": commit, "tree": TREE, "old_commit": COMMIT, "target": "main", "strategy": "merge"}
    more = {"epic_commit": COMMIT, "tasks": ["1a"], "seconds": 1.0, **more}
    return [
        Event("landing.queued", run=run, epic="e1"),
        Event("landing.landed", run=run, epic="e1", data={**data, **more}),
    ]


async def done(store: Store, project: UUID, *events: Event) -> list[operations.Operation]:
    async with store.begin() as conn:
        await apply(conn, project, events)
        return await operations.operations(conn, project)


async def test_a_landing_is_undone_and_brought_back(store: Store, project: UUID, story: Story) -> None:
    (run,) = await done(store, project, story.started(), *landed(story, LANDING, story.run))
    assert (run.id, run.kind, run.landed, run.can_undo) == (story.run, "run", {"e1": LANDING}, True)
    undone = {"commit": UNDO, "landing": LANDING, "by": "human:ada", "tasks": {"1a": COMMIT}}
    run, undo = await done(store, project, Event("landing.undone", run=UNDO_ID, epic="e1", data=undone))
    assert (run.can_undo, undo.id, undo.kind, undo.by) == (False, UNDO_ID, "undo", "human:ada")
    assert (undo.undone, undo.can_undo) == ({"e1": UNDO}, True)
    run, undo, back = await done(store, project, *landed(story, BACK, BACK_ID, brings_back=UNDO))
    assert [each.can_undo for each in (run, undo, back)] == [False, False, True]
    assert (back.id, back.kind, back.landed) == (BACK_ID, "undo", {"e1": BACK})
    async with store.begin() as conn:
        first, second = await operations.landed(conn, project)
    assert (first.standing, first.undone_by, first.undone_tasks) == (False, UNDO, {"1a": COMMIT})
    assert (first.latest, second.latest, second.standing, second.tasks) == (False, True, True, ("1a",))


async def test_what_people_ask_for_is_listed(store: Store, project: UUID, story: Story) -> None:
    listed = await done(
        store,
        project,
        story.started(),
        story.run_event("control.requested", action="pause", item="", by="human:ada"),
        story.run_event("control.requested", action="skip", item="1a", by="human:ada"),
        story.run_event("plan.changed", added=["1a"], changed=[], gone=["1b"]),
        story.task_event("task.reopened", "1a", by="system", reason="unblocked"),
        Event("task.reopened", epic="e1", task="1a", data={"by": "human:ada", "reason": ""}),
    )
    assert [(each.kind, each.by, each.items, each.can_undo) for each in listed] == [
        ("run", "", [], False),
        ("pause", "human:ada", [], False),
        ("skip", "human:ada", ["1a"], False),
        ("plan", "", ["1a", "1b"], False),
        ("retry", "human:ada", ["1a"], False),
    ]
    assert clean(operation_line(listed[2])).endswith(f"skip {listed[2].id[:8]}: by human:ada, 1a")


async def test_an_undo_that_a_run_found_is_not_the_runs(store: Store, project: UUID, story: Story) -> None:
    """Git told it, and whoever asked git tells the events."""
    undone = {"commit": UNDO, "landing": LANDING, "by": "Ada", "tasks": {"1a": COMMIT}}
    run, undo, back = await done(
        store,
        project,
        story.started(),
        *landed(story, LANDING, story.run),
        Event("landing.undone", run=story.run, epic="e1", data=undone),
        *landed(story, BACK, story.run, brings_back=UNDO),
    )
    assert (run.kind, run.undone, run.landed) == ("run", {}, {"e1": LANDING})
    assert (undo.id, undo.undone, back.id, back.landed) == (UNDO, {"e1": UNDO}, BACK, {"e1": BACK})


async def test_what_landed_by_no_commit_of_its_own_cannot_be_undone(
    store: Store, project: UUID, story: Story
) -> None:
    """Somebody else had brought it to the target."""
    (run,) = await done(store, project, story.started(), *landed(story, COMMIT, story.run))
    assert (run.landed, run.can_undo) == ({"e1": COMMIT}, False)
    assert "can be undone" not in operation_line(run)
