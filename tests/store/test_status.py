from __future__ import annotations

import json
from datetime import datetime
from uuid import uuid4

import pytest

from yokeflow.model import Plan, Status
from yokeflow.store import items
from yokeflow.store.projection import apply
from yokeflow.store.status import STATUS, status

COMMIT = "c" * 40


@pytest.fixture
def look(store, project):
    """The status after some more events."""

    async def look(*events):
        async with store.begin() as conn:
            await apply(conn, project, events)
            return await status(conn, project)

    return look


def waits(answer) -> dict[str, list[str]]:
    return {item["id"]: item["waits_for"] for item in answer["items"]}


async def test_a_plan_before_its_first_run(look):
    assert await look() == {
        "project": "sample",
        "run": None,
        "items": [
            _item("e1", "epic", None, "First", []),
            _item("1a", "task", "e1", "One A", []),
            _item("1b", "task", "e1", "One B", ["1a"]),
            _item("e2", "epic", None, "Second", ["e1"]),
            _item("2a", "task", "e2", "Two A", ["e1"]),
        ],
        "landings": [],
        "interventions": [],
        "forecasts": [],
        "hot_files": [],
        "source": {"layer": "postgres", "age_seconds": 0.0},
    }


def _item(id_: str, kind: str, epic: str | None, title: str, waits_for: list[str]) -> dict[str, object]:
    return {
        "id": id_,
        "kind": kind,
        "epic": epic,
        "title": title,
        "status": "pending",
        "attempts": 0,
        "cost_usd": None,
        "commit": None,
        "waits_for": waits_for,
    }


async def test_a_run_with_its_cost(look, story):
    started = story.started()
    first = await look(
        started, *story.attempt("1a", cost_usd=0.5), *story.attempt("1b", "failed", cost_usd=0.25)
    )
    run = first["run"]
    assert (run["id"], run["state"], run["cost_usd"]) == (story.run, "running", 0.75)
    assert datetime.fromisoformat(run["started"]) == started.at
    assert run["elapsed"] >= 0
    end = story.run_event("run.finished", state="completed", exit_code=0)
    run = (await look(end))["run"]
    assert run["state"] == "completed"
    assert run["elapsed"] == pytest.approx((end.at - started.at).total_seconds(), abs=1e-5)


async def test_a_cost_that_nobody_told_is_null(look, story):
    before = await look(story.started(), *story.attempt("2a", state=""))
    assert (before["run"]["cost_usd"], before["run"]["unknown_costs"]) == (None, 0)
    answer = await look(*story.attempt("1a", cost_usd=None))
    assert (answer["run"]["cost_usd"], answer["run"]["unknown_costs"]) == (None, 1)
    assert {item["cost_usd"] for item in answer["items"]} == {None}
    answer = await look(*story.attempt("1b", cost_usd=0))
    assert (answer["run"]["cost_usd"], answer["run"]["unknown_costs"]) == (0, 1)
    assert [item["cost_usd"] for item in answer["items"]] == [0, None, 0, None, None]


async def test_items_stop_waiting_as_their_predecessors_finish(look, story):
    answer = await look(story.task_event("task.completed", "1a", commit=COMMIT))
    assert waits(answer) == {"e1": [], "1a": [], "1b": [], "e2": ["e1"], "2a": ["e1"]}
    assert answer["items"][1]["commit"] == COMMIT
    answer = await look(
        story.task_event("task.skipped", "1b", by="me", reason=""), story.epic_event("epic.completed", "e1")
    )
    assert set(map(tuple, waits(answer).values())) == {()}


async def test_what_runs_waits_for_nobody(look, story):
    answer = await look(story.started(), *story.attempt("1b", ""))
    assert waits(answer)["1b"] == []
    assert {item["id"]: item["status"] for item in answer["items"]}["1b"] == Status.IN_PROGRESS


async def test_items_wait_for_open_interventions(look, story):
    question = str(uuid4())
    failed = story.task_event("task.failed", "1a", reason="red", attempts=3)
    opened = story.task_event(
        "intervention.opened",
        "1a",
        intervention=question,
        kind="attempts",
        reason="red",
        choices=["retry", "skip"],
    )
    answer = await look(failed, opened)
    assert waits(answer)["1a"] == [question]
    [shown] = answer["interventions"]
    assert datetime.fromisoformat(shown.pop("opened")) == opened.at
    assert shown == {
        "id": question,
        "kind": "attempts",
        "item": "1a",
        "reason": "red",
        "choices": ["retry", "skip"],
    }
    answer = await look(
        story.run_event("intervention.resolved", intervention=question, choice="retry", by="me")
    )
    assert (waits(answer)["1a"], answer["interventions"]) == ([], [])


async def test_an_epic_has_its_latest_landing(look, story):
    answer = await look(
        story.epic_event("landing.queued", "e1"),
        story.epic_event("landing.rejected", "e1", reason="red"),
        story.epic_event("landing.queued", "e2"),
        story.epic_event("landing.queued", "e1"),
        story.epic_event("landing.landed", "e1", commit=COMMIT),
    )
    assert answer["landings"] == [
        {"epic": "e2", "status": "queued", "commit": None, "reason": ""},
        {"epic": "e1", "status": "landed", "commit": COMMIT, "reason": ""},
    ]


async def test_what_is_gone_from_the_plan_is_not_shown_and_not_waited_for(store, project, plan, look):
    async with store.begin() as conn:
        await items.sync_plan(conn, project, Plan(plan.epics[1:], plan.path))
    assert waits(await look()) == {"e2": [], "2a": []}


async def test_any_client_can_ask(store, project, look):
    """The statement needs no SQLAlchemy: one parameter, one text."""
    async with store.engine.connect() as conn:
        driver = (await conn.get_raw_connection()).driver_connection
        answer = await driver.fetchval(STATUS.replace(":project", "$1"), str(project))
    assert json.loads(answer) == await look()
