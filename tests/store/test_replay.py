"""However a history is cut up and repeated, the tables come out the same."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from yokeflow.events import Event
from yokeflow.store.projection import apply

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

COMMIT = "c" * 40
LANDED = "d" * 40
TREE = "7" * 40

RUNS = [str(uuid4()) for _ in range(2)]
SESSIONS = [str(uuid4()) for _ in range(3)]
QUESTION = str(uuid4())


def _of_runs() -> list[Event]:
    events = []
    for run in RUNS:
        events += [Event("run.paused", run=run), Event("run.continued", run=run)]
        events.append(
            Event("run.started", run=run, data={"target": "main", "batches": [["1a"], ["1b", "?"]]})
        )
        events.append(Event("run.finished", run=run, data={"state": "completed", "exit_code": 0}))
    return events


def _of_task(task: str, epic: str) -> list[Event]:
    where: dict[str, Any] = {"run": RUNS[0], "task": task, "epic": epic}
    events = [Event(f"task.{type_}", **where) for type_ in ("ready", "failed", "skipped", "reopened")]
    for session in SESSIONS:
        events.append(Event("session.started", **where, session=session, data={"attempt": 1}))
        for state in ("completed", "failed", "interrupted"):
            end = {"state": state, "seconds": 1.5, "cost_usd": 0.25, "reason": "r"}
            events.append(Event("session.finished", **where, session=session, data=end))
    events.append(Event("task.completed", **where, data={"commit": COMMIT}))
    events.append(Event("task.blocked", **where, data={"by": ["x"]}))
    return events


def _of_epic(epic: str) -> list[Event]:
    landing = {"commit": LANDED, "tree": TREE}
    check = {"stage": "landing", "command": "x", "tree": TREE, "passed": True}
    question = {"intervention": QUESTION, "kind": "k"}
    events = [
        Event("check.finished", epic=epic, session=SESSIONS[0], data=check),
        Event("epic.completed", epic=epic),
        Event("intervention.opened", epic=epic, data=question),
        Event("intervention.resolved", data={"intervention": QUESTION, "choice": "c", "by": "b"}),
    ]
    for type_ in ("queued", "testing", "landed", "rejected", "conflicted"):
        events += [Event(f"landing.{type_}", run=RUNS[0], epic=epic, data=landing)]
    for lane in ("l1", "l2"):
        place = {"lane": lane, "path": "/w", "branch": "b"}
        events += [Event(f"worktree.{word}", epic=epic, data=place) for word in ("created", "removed")]
    return events


#: One event of each type and subject. They may come in any order, and nothing may break.
POSSIBLE = [
    *_of_runs(),
    *(
        event
        for pair in (("1a", "e1"), ("1b", "e1"), ("2a", "e2"), ("gone", "gone"))
        for event in _of_task(*pair)
    ),
    *(event for epic in ("e1", "e2", "gone") for event in _of_epic(epic)),
]


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Event], list[tuple[int, int]]]:
    """Events, and slices of them that cover all in order, some more than once."""
    kinds = draw(st.lists(st.sampled_from(POSSIBLE), min_size=1, max_size=40))
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    events = [
        replace(kind, id=str(uuid4()), at=begin + timedelta(seconds=place))
        for place, kind in enumerate(kinds)
    ]
    slices, reached = [], 0
    while reached < len(events):
        start = draw(st.integers(0, reached))
        reached = draw(st.integers(reached + 1, len(events)))
        slices.append((start, reached))
    return events, slices


_DUMPS = (
    (
        "SELECT key, status, reason, attempts, cost_usd, commit, started_at, completed_at, version"
        " FROM work_items"
    ),
    "SELECT id, state, reason, exit_code, started_at, finished_at, critical_path FROM runs",
    (
        "SELECT id, work_item_id, number, attempt, state, reason, seconds, cost_usd, started_at, finished_at"
        " FROM sessions"
    ),
    (
        "SELECT run_id, number, work_item_id, position"
        " FROM parallel_batches b JOIN parallel_batch_items ON b.id = batch_id"
    ),
    "SELECT id, work_item_id, status, commit, tree, reason, queued_at, finished_at, run_id FROM landings",
    "SELECT id, work_item_id, lane, path, status, merge_commit, merged_at, removed_at FROM worktrees",
    "SELECT id, work_item_id, session_id, landing_id, passed, checked_at FROM check_results",
    "SELECT id, work_item_id, kind, opened_at, resolved_at, choice FROM interventions",
    "SELECT id, type, at, payload, row_number() OVER (ORDER BY seq) FROM events",
)


async def _dump(conn: AsyncConnection) -> list[list[str]]:
    return [sorted(repr(tuple(row)) for row in await conn.execute(text(query))) for query in _DUMPS]


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=histories())
async def test_any_split_and_replay_gives_the_same_tables(store, project, caplog, history):
    events, slices = history
    dumps = []
    for parts in ([(0, len(events))], slices):
        async with store.engine.connect() as conn, conn.begin() as transaction:
            for start, end in parts:
                await apply(conn, project, events[start:end])
            dumps.append(await _dump(conn))
            await transaction.rollback()
    assert dumps[0] == dumps[1]
    assert len(dumps[0][-1]) == len(events)
    assert caplog.text == "", "no order of events may break a constraint"
