"""What a store knows of a project, and items that come back without a plan."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from yokeflow.engine.facts.git_facts import Facts
from yokeflow.events import Event
from yokeflow.git.history import History, Landing, Undo, Work
from yokeflow.store.journal import Journal
from yokeflow.store.projection import apply
from yokeflow.store.projects import register
from yokeflow.store.rebuild import (
    Lost,
    has_items,
    known,
    landed_commits,
    restore_items,
    show_finished,
)
from yokeflow.store.requests import kept_requests

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yokeflow.store.connection import Store

COMMIT = "c" * 40
TREE = "7" * 40
AT = datetime(2026, 1, 1, tzinfo=UTC)
HISTORY = History(
    "main",
    (Landing(COMMIT, TREE, "0" * 40, "e" * 40, "e", "E", str(uuid4()), {"e.1": "One"}, (), False, AT),),
    (
        Work("e.1", str(uuid4()), "1" * 40, "1" * 40, "0" * 40, AT, counts=True),
        Work("e.1", str(uuid4()), "2" * 40, "2" * 40, "0" * 40, AT, counts=False, kept_ref="refs/x"),
    ),
    (Undo("d" * 40, "7" * 40, COMMIT, (COMMIT,), str(uuid4()), "Ada", AT + timedelta(seconds=9)),),
)
ITEMS = [Lost("e", "The epic", is_epic=True), Lost("e.1", "One", "e"), Lost("x.1", "")]


@pytest.fixture
async def project(store: Store, tmp_path: Path) -> UUID:
    async with store.begin() as connection:
        return await register(connection, str(tmp_path), "shop", tmp_path)


async def shown(connection: AsyncConnection) -> dict[str, tuple[str, bool]]:
    rows = await connection.execute(text("SELECT key, title, deleted_at IS NULL AS shown FROM work_items"))
    return {row.key: (row.title, row.shown) for row in rows}


async def test_items_come_back_out_of_sight_until_they_are_finished(store, project):
    async with store.begin() as connection:
        assert not await has_items(connection, project)
        await restore_items(connection, project, ITEMS)
        assert await has_items(connection, project)
        assert await shown(connection) == {
            "e": ("The epic", False), "e.1": ("One", False), "x.1": ("x.1", False),
        }  # fmt: skip
        done = Event("task.completed", epic="e", task="e.1", data={"commit": COMMIT})
        await apply(connection, project, [done])
        await show_finished(connection, project, ITEMS)
        assert {key for key, (_, visible) in (await shown(connection)).items() if visible} == {"e", "e.1"}


async def test_ids_of_another_project_are_told_apart(store, project, tmp_path):
    run, session = str(uuid4()), str(uuid4())
    async with store.begin() as connection:
        await restore_items(connection, project, ITEMS)
        where: dict[str, Any] = {"run": run, "epic": "e", "task": "e.1"}
        await apply(
            connection,
            project,
            [
                Event("run.started", run=run),
                Event("session.started", **where, session=session),
                Event("landing.queued", run=run, epic="e"),
                Event("landing.landed", run=run, epic="e", data={"commit": COMMIT, "target": "main"}),
            ],
        )
        other = await register(connection, str(tmp_path / "clone"), "clone", tmp_path / "clone")
        ours = await known(connection, project, {run, session})
        theirs = await known(connection, other, {run, session, str(uuid4())})
        assert await landed_commits(connection, project, "main") == [COMMIT]
        assert await landed_commits(connection, project, "other") == []
    assert (*ours.runs, *ours.sessions, *ours.landings) == (run, session, COMMIT)
    assert (ours.attempts, ours.others) == ({"e.1": 1}, frozenset())
    assert not theirs.runs
    assert not theirs.sessions
    assert set(theirs.others) == {run, session}


async def test_only_requests_without_an_answer_are_kept(store, project):
    def asked(action: str, **more: object) -> Event:
        return Event("control.requested", data={"action": action, "item": "e.1", "by": "me", **more})

    waits, answered = asked("retry", confirm=True), asked("skip", confirm=True)
    applied = Event("control.applied", data={"request": answered.id, "outcome": "done"})
    async with store.begin() as connection:
        # An older program asked for no confirmation, and nobody can cancel what has ended.
        await apply(
            connection, project, [waits, answered, applied, asked("retry"), asked("cancel", confirm=True)]
        )
        assert [request.id for request in await kept_requests(connection, project)] == [waits.id]


def test_facts_are_the_same_every_time_and_the_project_s_own(tmp_path):
    def told(key: str) -> list[str]:
        return [event.id for event in Facts(HISTORY, None, key, tmp_path).events()]

    assert told("here") == told("here")
    assert not {*told("here")} & {*told("there")}
    assert len({*told("here")}) == len(told("here"))


def test_journal_of_facts_can_be_read_back(tmp_path):
    events = Facts(HISTORY, None, "here", tmp_path).events()
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append(*events)
    assert [event.type for event in journal.read("", 0).events] == [event.type for event in events]
