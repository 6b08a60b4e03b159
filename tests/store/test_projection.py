from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from yokeflow.events import Event
from yokeflow.store import items
from yokeflow.store.projection import apply
from yokeflow.store.projections.registry import on

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

COMMIT = "c" * 40
LANDED = "d" * 40
TREE = "7" * 40


@pytest.fixture
def tell(store, project):
    """Apply events in one transaction."""

    async def tell(*events: Event) -> list[Event]:
        async with store.begin() as conn:
            return await apply(conn, project, events)

    return tell


@pytest.fixture
def rows(store):
    async def rows(query: str, **values: Any) -> list[dict[str, Any]]:
        async with store.begin() as conn:
            return [dict(row._mapping) for row in await conn.execute(text(query), values)]

    return rows


@pytest.fixture
def item(rows):
    async def item(key: str) -> dict[str, Any]:
        [row] = await rows("SELECT * FROM work_items WHERE key = :key", key=key)
        return dict(row)

    return item


async def test_a_started_run_has_its_batches(tell, rows, story):
    await tell(
        story.run_event(
            "run.started",
            target="main",
            target_commit=COMMIT,
            strategy="smart",
            concurrency=3,
            pid=7,
            host="h",
            batches=[["1a"], ["1b", "2a", "unknown"]],
            critical_path=["1a", "1b"],
            options={"epic": None},
        )
    )
    [run] = await rows("SELECT * FROM runs")
    assert (run["id"], run["state"], run["target"], run["target_commit"]) == (
        UUID(story.run),
        "running",
        "main",
        COMMIT,
    )
    assert (run["strategy"], run["concurrency"], run["pid"], run["critical_path"]) == (
        "smart",
        3,
        7,
        ["1a", "1b"],
    )
    places = await rows(
        "SELECT number, key, i.position FROM parallel_batch_items i JOIN parallel_batches b"
        " ON b.id = batch_id JOIN work_items w ON w.id = work_item_id ORDER BY number, i.position"
    )
    assert [tuple(place.values()) for place in places] == [(1, "1a", 0), (2, "1b", 0), (2, "2a", 1)]


async def test_a_run_pauses_goes_on_and_ends(tell, rows, story):
    states = []
    for event in (
        story.started(),
        story.run_event("run.paused", by="me"),
        story.run_event("run.continued", by="me"),
        story.run_event("run.finished", state="failed", exit_code=1, reason="a task failed"),
        story.run_event("run.paused", by="too late"),
    ):
        await tell(event)
        states += await rows("SELECT state, exit_code, reason FROM runs")
    assert [state["state"] for state in states] == ["running", "paused", "running", "failed", "failed"]
    assert (states[-1]["exit_code"], states[-1]["reason"]) == (1, "a task failed")


async def test_a_run_that_never_ended_is_interrupted_by_the_next(tell, rows, story):
    await tell(story.started())
    await tell(replace(story.started(), run=str(uuid4())))
    states = await rows("SELECT state, finished_at IS NULL AS open FROM runs ORDER BY started_at")
    assert [tuple(state.values()) for state in states] == [("interrupted", False), ("running", True)]


async def test_a_session_starts_its_task_and_epic(tell, item, rows, story):
    before = (await item("1a"))["version"]
    await tell(story.started(), *story.attempt("1a", ""))
    task, epic = await item("1a"), await item("e1")
    assert (task["status"], task["attempts"], task["version"]) == ("in_progress", 1, before + 1)
    assert task["started_at"] is not None
    assert (epic["status"], epic["attempts"]) == ("in_progress", 0)
    assert (await item("e2"))["status"] == "pending"
    [session] = await rows("SELECT * FROM sessions")
    assert (session["state"], session["number"], session["attempt"], session["agent"]) == (
        "running",
        1,
        1,
        "shell",
    )


async def test_a_finished_session_brings_its_cost_up_the_tree(tell, item, rows, story):
    await tell(story.started())
    usage = [{"model": "m", "input": 1, "output": 2, "cache_read": 3, "cache_write": 4}]
    await tell(*story.attempt("1a", "failed", cost_usd=0.25, reason="red", head_commit=COMMIT, usage=usage))
    await tell(
        *story.attempt("1a", "completed", 2, cost_usd=0.5, kept_ref="refs/yoke/keep/1a/x", answer="ok")
    )
    await tell(*story.attempt("1b", "completed", cost_usd=None))
    first, second, third = await rows("SELECT * FROM sessions ORDER BY number")
    assert (first["state"], first["reason"], first["head_commit"]) == ("failed", "red", COMMIT)
    assert first["metadata"]["usage"] == usage
    assert (second["kept_ref"], second["answer"], second["seconds"]) == ("refs/yoke/keep/1a/x", "ok", 2.0)
    assert third["cost_usd"] is None
    assert [(await item(key))["cost_usd"] for key in ("1a", "1b", "e1")] == [
        Decimal("0.75"),
        None,
        Decimal("0.75"),
    ]
    assert (await item("1a"))["status"] == "in_progress", "whether it is done is for another event to say"


async def test_a_cost_is_unknown_until_a_session_tells_it_and_a_true_zero_is_one(tell, item, story):
    await tell(story.started(), *story.attempt("1a", "failed", cost_usd=None))
    assert [(await item(key))["cost_usd"] for key in ("1a", "e1")] == [None, None]
    await tell(*story.attempt("1a", "failed", 2, cost_usd=0.0))
    assert [(await item(key))["cost_usd"] for key in ("1a", "e1")] == [0, 0]
    await tell(*story.attempt("1a", "completed", 3, cost_usd=None))
    assert [(await item(key))["cost_usd"] for key in ("1a", "e1")] == [0, 0]
    await tell(*story.attempt("1b", "completed", cost_usd=0.5))
    assert [(await item(key))["cost_usd"] for key in ("1a", "1b", "e1")] == [
        0,
        Decimal("0.5"),
        Decimal("0.5"),
    ]


async def test_a_session_counts_once_even_if_it_ends_twice(tell, item, story):
    start, end = story.attempt("1a", "completed", cost_usd=1.0)
    again = replace(end, id=str(uuid4()))
    await tell(story.started(), start, end, again)
    assert float((await item("1a"))["cost_usd"]) == 1.0


async def test_an_interrupted_session_gives_its_task_back(tell, item, story):
    await tell(story.started(), *story.attempt("1a", "interrupted", cost_usd=0.1))
    task = await item("1a")
    assert (task["status"], task["attempts"], float(task["cost_usd"])) == ("pending", 1, 0.1)


async def test_an_interrupted_session_does_not_reopen_a_finished_task(tell, item, story):
    start, end = story.attempt("1a", "interrupted")
    await tell(story.started(), start, story.task_event("task.completed", "1a", commit=COMMIT), end)
    assert (await item("1a"))["status"] == "completed"


async def test_one_session_of_a_task_runs(tell, rows, story):
    await tell(story.started(), *story.attempt("1a", ""), *story.attempt("1a", "", 2))
    states = await rows("SELECT state FROM sessions ORDER BY number")
    assert [row["state"] for row in states] == ["interrupted", "running"]


@pytest.mark.parametrize(
    ("type_", "data", "status", "reason"),
    [
        ("task.completed", {"commit": COMMIT}, "completed", ""),
        ("task.failed", {"reason": "three times red", "attempts": 3}, "failed", "three times red"),
        ("task.blocked", {"by": ["1a", "e1"]}, "blocked", "waits for 1a, e1"),
        ("task.skipped", {"by": "me", "reason": "not needed"}, "cancelled", "not needed"),
        ("task.reopened", {"by": "me", "reason": "again"}, "pending", ""),
    ],
)
async def test_a_task_takes_the_status_of_its_event(tell, item, story, type_, data, status, reason):
    before = await item("1b")
    event = story.task_event(type_, "1b", **data)
    await tell(event)
    after = await item("1b")
    assert (after["status"], after["reason"], after["version"]) == (status, reason, before["version"] + 1)
    assert after["commit"] == data.get("commit")
    assert after["completed_at"] == (event.at if status in {"completed", "cancelled"} else None)


async def test_a_ready_task_is_no_longer_blocked(tell, item, story):
    await tell(story.task_event("task.blocked", "1b", by=["1a"]), story.task_event("task.ready", "1b"))
    assert ((await item("1b"))["status"], (await item("1b"))["reason"]) == ("pending", "")
    await tell(story.task_event("task.completed", "1b", commit=COMMIT), story.task_event("task.ready", "1b"))
    assert (await item("1b"))["status"] == "completed"


async def test_a_reopened_task_reopens_its_epic(tell, item, story):
    await tell(
        story.task_event("task.completed", "1a", commit=COMMIT), story.epic_event("epic.completed", "e1")
    )
    assert (await item("e1"))["status"] == "completed"
    await tell(story.task_event("task.reopened", "1a", by="me", reason=""))
    assert [(await item(key))["status"] for key in ("1a", "e1")] == ["pending", "in_progress"]
    assert (await item("1a"))["commit"] is None


async def test_a_landing_goes_its_way(tell, item, rows, story):
    await tell(
        story.started(),
        story.epic_event(
            "worktree.created", "e1", lane="e1", path="/w", branch="epic/e1", base_commit=COMMIT
        ),
        story.epic_event("landing.queued", "e1"),
    )
    assert [row["status"] for row in await rows("SELECT status FROM landings")] == ["queued"]
    commits = {"commit": LANDED, "tree": TREE, "old_commit": COMMIT, "target": "main"}
    await tell(story.epic_event("landing.testing", "e1", **commits, epic_commit="e" * 40, clean_paths=["a"]))
    [testing] = await rows("SELECT * FROM landings")
    assert (testing["status"], testing["commit"], testing["epic_commit"]) == ("testing", LANDED, "e" * 40)
    assert testing["metadata"] == {"clean_paths": ["a"]}
    done = story.epic_event("landing.landed", "e1", **commits, strategy="merge", seconds=1.5, tasks=["1a"])
    await tell(done)
    [landed] = await rows("SELECT * FROM landings")
    assert (landed["status"], landed["tree"], landed["seconds"]) == ("landed", TREE, 1.5)
    assert landed["finished_at"] == done.at
    epic = await item("e1")
    assert (epic["status"], epic["commit"]) == ("completed", LANDED)
    [worktree] = await rows("SELECT * FROM worktrees")
    assert (worktree["status"], worktree["merge_commit"], worktree["merged_at"]) == (
        "merged",
        LANDED,
        done.at,
    )


async def test_every_queueing_makes_a_landing(tell, rows, story):
    await tell(
        story.epic_event("worktree.created", "e1", lane="e1", path="/w", branch="epic/e1"),
        story.epic_event("landing.queued", "e1"),
        story.epic_event("landing.rejected", "e1", reason="make test failed", output="1 failed"),
        story.epic_event("landing.queued", "e1"),
        story.epic_event("landing.conflicted", "e1", files=["a.py", "b.py"], with_commit=COMMIT),
        story.epic_event("landing.queued", "e1"),
        story.epic_event("landing.queued", "e1"),
    )
    landings = await rows("SELECT status, reason, output, files FROM landings ORDER BY queued_at")
    assert [tuple(landing.values()) for landing in landings] == [
        ("rejected", "make test failed", "1 failed", []),
        ("conflict", "conflict in a.py, b.py", "", ["a.py", "b.py"]),
        ("rejected", "queued again", "", []),
        ("queued", "", "", []),
    ]
    assert [row["status"] for row in await rows("SELECT status FROM worktrees")] == ["conflict"]


async def test_a_worktree_comes_and_goes(tell, rows, story):
    place = {"lane": "l1", "path": "/w", "branch": "lane/l1"}
    await tell(
        story.epic_event("worktree.created", "e1", **place, base_commit=COMMIT),
        story.epic_event("worktree.created", "e1", **(place | {"path": "/moved"}), base_commit=COMMIT),
    )
    [worktree] = await rows("SELECT path, status, removed_at FROM worktrees")
    assert tuple(worktree.values()) == ("/moved", "active", None)
    gone = story.epic_event("worktree.removed", "e1", **place)
    await tell(gone)
    await tell(story.epic_event("worktree.created", "e1", **place, base_commit=COMMIT))
    worktrees = await rows("SELECT status, removed_at FROM worktrees ORDER BY created_at")
    assert [tuple(row.values()) for row in worktrees] == [("removed", gone.at), ("active", None)]


async def test_check_results_belong_to_their_session_or_landing(tell, rows, story):
    start, end = story.attempt("1a")
    await tell(story.started(), start, story.check("1a", start.session, passed=False), end)
    landing = {"stage": "landing", "command": "make", "tree": TREE, "passed": True, "seconds": 1.0}
    await tell(story.epic_event("landing.queued", "e1"), story.epic_event("check.finished", "e1", **landing))
    first, second = await rows("SELECT * FROM check_results ORDER BY checked_at")
    assert (first["session_id"], first["landing_id"], first["passed"]) == (UUID(start.session), None, False)
    assert (first["tree"], first["command"], first["environment"]) == (TREE, "make test", "env")
    assert second["session_id"] is None
    assert [second["landing_id"]] == [row["id"] for row in await rows("SELECT id FROM landings")]


@pytest.mark.parametrize("id_", ["5146f4dd-42c5-442e-b807-08c33696a28c", "a word"])
async def test_an_intervention_is_answered_once(tell, rows, story, id_):
    await tell(
        story.task_event(
            "intervention.opened", "1a", intervention=id_, kind="failed", reason="r", choices=["retry"]
        ),
        story.run_event("intervention.resolved", intervention=id_, choice="retry", by="me"),
        story.run_event("intervention.resolved", intervention=id_, choice="skip", by="late"),
    )
    [row] = await rows("SELECT * FROM interventions")
    assert (row["kind"], row["choices"], row["choice"], row["resolved_by"]) == (
        "failed",
        ["retry"],
        "retry",
        "me",
    )
    assert row["resolved_at"] is not None


async def test_what_is_unknown_is_stored_only(tell, rows, caplog):
    nowhere: dict[str, Any] = {"run": str(uuid4()), "epic": "gone", "task": "gone", "session": str(uuid4())}
    events = [
        Event("something.new", data={"any": ["thing"]}),
        Event("session.started", **nowhere, data={"attempt": 1}),
        Event("session.finished", **nowhere, data={"state": "completed"}),
        Event("task.completed", **nowhere, data={"commit": COMMIT}),
        Event("landing.queued", **nowhere),
        Event("landing.landed", **nowhere, data={"commit": COMMIT}),
        Event("run.finished", **nowhere, data={"state": "completed"}),
        Event(
            "check.finished",
            run="no uuid",
            data={"stage": "task", "command": "x", "tree": TREE, "passed": True},
        ),
        Event("intervention.resolved", data={"intervention": str(uuid4())}),
    ]
    assert await tell(*events) == events
    stored = await rows("SELECT type, payload FROM events ORDER BY seq")
    assert [row["type"] for row in stored] == [event.type for event in events]
    assert stored[0]["payload"] == {"any": ["thing"]}
    assert await rows("SELECT 1 FROM sessions UNION ALL SELECT 1 FROM landings") == []
    assert caplog.text == ""


async def test_an_event_that_does_not_fit_does_not_hold_up_the_others(tell, item, rows, caplog, story):
    await tell(
        story.run_event("run.finished"),
        story.task_event("task.completed", "1a", commit=COMMIT),
        story.epic_event("worktree.created", "e1", lane="l"),
        story.epic_event("check.finished", "e1", stage="landing", tree="no tree", command="x", passed=True),
        story.task_event("task.completed", "1b", commit=COMMIT),
    )
    assert [(await item(key))["status"] for key in ("1a", "1b")] == ["completed", "completed"]
    assert len(await rows("SELECT 1 FROM events")) == 5
    assert caplog.text.count("not projected") == 3


_TRIGGER = (
    """
    CREATE FUNCTION count_deploys() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM CAST(NEW.payload ->> 'number' AS integer); RETURN NULL; END $$
    """,
    """
    CREATE TRIGGER count_deploys AFTER INSERT ON events FOR EACH ROW
    WHEN (NEW.type IN ('deploy.done', 'task.skipped')) EXECUTE FUNCTION count_deploys()
    """,
)


async def test_a_plugins_trigger_that_fails_does_not_hold_up_the_journal(
    store, tell, item, rows, caplog, story
):
    async with store.begin() as conn:
        for statement in _TRIGGER:
            await conn.execute(text(statement))
    bad = story.run_event("deploy.done", number="many")
    skipped = story.task_event("task.skipped", "1a", by="human", number="many")
    told = await tell(story.run_event("deploy.done", number="7"), bad, skipped)
    assert [event.type for event in told] == ["deploy.done", "deploy.done", "task.skipped"]
    found = await rows("SELECT type, payload FROM events ORDER BY seq")
    assert [row["type"] for row in found] == ["deploy.done", "event.refused", "event.refused"]
    assert found[1]["payload"]["event_type"] == "deploy.done"
    assert found[1]["payload"]["data"] == {"number": "many"}
    assert "integer" in found[1]["payload"]["error"]
    assert (await item("1a"))["status"] == "cancelled"
    assert "refuses" in caplog.text
    assert await tell(bad, skipped) == []


async def test_text_that_postgres_cannot_hold_is_cleaned(tell, rows, story):
    data = {"text": "a\0b \ud800", "list": [float("nan"), {"k\0": 1}]}
    await tell(replace(story.run_event("session.output", **data), task="t\0"))
    [row] = await rows("SELECT task, payload FROM events")
    assert row == {"task": "t", "payload": {"text": "ab ?", "list": [None, {"k": 1}]}}


async def test_a_plugin_may_add_a_handler(tell, story, monkeypatch):
    seen = []
    monkeypatch.setattr("yokeflow.store.projections.registry._HANDLERS", {"budget.reserved": []})

    @on("budget.reserved")
    async def reserved(_conn: AsyncConnection, _project: UUID, event: Event) -> None:
        seen.append(event.data["amount_usd"])

    event = story.task_event("budget.reserved", "1a", amount_usd=0.5)
    await tell(event)
    await tell(event)
    assert seen == [0.5]


async def test_states_are_what_the_events_say(store, project, tell, story):
    """The fold as the engine sees it."""
    await tell(story.started(), *story.attempt("1a", "failed", reason="one", answer="out"))
    await tell(story.task_event("task.reopened", "1a", by="me"))
    await tell(*story.attempt("1a", "failed", 2, reason="two"), *story.attempt("1a", "interrupted", 3))
    async with store.begin() as conn:
        state = (await items.load_states(conn, project))["1a"]
    assert [failure.reason for failure in state.failures] == ["one", "two"]
    assert state.failures[0].output == "out"
    assert (state.attempts, state.failed_attempts, state.status) == (3, 1, "pending")
