from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from yokeflow.model import Dependency, Epic, Kind, Plan, Status, Strength, Task
from yokeflow.store import items, learned, projects, unfinished
from yokeflow.store.projection import apply

if TYPE_CHECKING:
    from yokeflow.events import Event

COMMIT = "c" * 40
TREE = "7" * 40


@pytest.fixture
def rows(store):
    async def rows(query: str) -> list[tuple[Any, ...]]:
        async with store.begin() as conn:
            return [tuple(row) for row in await conn.execute(text(query))]

    return rows


@pytest.fixture
def sync(store, project):
    async def sync(plan: Plan) -> None:
        async with store.begin() as conn:
            await items.sync_plan(conn, project, plan)

    return sync


@pytest.fixture
def tell(store, project):
    async def tell(*events: Event) -> None:
        async with store.begin() as conn:
            await apply(conn, project, events)

    return tell


@pytest.fixture
def ask(store, project):
    async def ask(question: Any) -> Any:
        async with store.begin() as conn:
            return await question(conn, project)

    return ask


def without(plan: Plan, task: str) -> Plan:
    epics = [replace(epic, tasks=tuple(t for t in epic.tasks if t.id != task)) for epic in plan.epics]
    return Plan(tuple(epics), plan.path)


async def test_a_project_is_known_by_its_key(store, project, tmp_path):
    async with store.begin() as conn:
        again = await projects.register(conn, "key", "renamed", tmp_path / "moved")
        other = await projects.register(conn, "other", "sample", tmp_path)
        found = await conn.execute(text("SELECT name, root FROM projects WHERE repo_key = 'key'"))
        assert tuple(found.one()) == ("renamed", str(tmp_path / "moved"))
    assert again == project != other


async def test_the_plan_is_in_the_store(rows, project):
    found = await rows(
        "SELECT w.key, w.kind, p.key, w.title, w.prompt, w.category, w.status, w.position"
        " FROM work_items w LEFT JOIN work_items p ON p.id = w.parent_id ORDER BY w.key"
    )
    assert found == [
        ("1a", "task", "e1", "One A", "do it", "code", "pending", 0),
        ("1b", "task", "e1", "One B", "", "code", "pending", 1),
        ("2a", "task", "e2", "Two A", "", "", "pending", 0),
        ("e1", "epic", None, "First", "", "", "pending", 0),
        ("e2", "epic", None, "Second", "", "", "pending", 1),
    ]
    edges = await rows(
        "SELECT p.key, s.key, strength, d.reason FROM work_item_dependencies d"
        " JOIN work_items p ON p.id = predecessor_id JOIN work_items s ON s.id = successor_id ORDER BY 1, 2"
    )
    assert edges == [("1a", "1b", "hard", ""), ("1a", "2a", "soft", ""), ("e1", "e2", "hard", "needs it")]


async def test_what_the_plan_says_of_a_task_is_kept(sync, rows):
    task = Task(
        "x",
        "e",
        "X",
        run="make",
        files=("src/*",),
        conflicts_with=("y",),
        priority=2,
        estimate=90.0,
        agent="codex",
        model="m",
        profile="p",
        needs=("n",),
        critical=True,
        verify=("true",),
        timeout=60.0,
        allow_empty=True,
        approve="before",
    )
    await sync(Plan((Epic("e", "E", tasks=(task,), approve="after"),), Path("p")))
    [(run, priority, estimate, metadata)] = await rows(
        "SELECT run, priority, estimate, metadata FROM work_items WHERE key = 'x'"
    )
    assert (run, priority, estimate) == ("make", 2, 90.0)
    assert metadata == {
        "files": ["src/*"],
        "conflicts_with": ["y"],
        "verify": ["true"],
        "agent": "codex",
        "model": "m",
        "profile": "p",
        "needs": ["n"],
        "critical": True,
        "timeout": 60.0,
        "allow_empty": True,
        "approve": "before",
    }
    assert await rows("SELECT metadata FROM work_items WHERE key = 'e'") == [({"approve": "after"},)]


async def test_the_same_plan_changes_nothing(sync, rows, plan):
    before = await rows("SELECT key, version, updated_at FROM work_items ORDER BY key")
    edges = await rows("SELECT xmin, * FROM work_item_dependencies ORDER BY predecessor_id, successor_id")
    await sync(plan)
    assert await rows("SELECT key, version, updated_at FROM work_items ORDER BY key") == before
    again = await rows("SELECT xmin, * FROM work_item_dependencies ORDER BY predecessor_id, successor_id")
    assert again == edges


async def test_a_changed_plan_keeps_what_happened(sync, rows, tell, plan, story):
    await tell(story.started(), *story.attempt("1a", "failed", cost_usd=0.5))
    first, second = plan.epics
    moved = replace(first.tasks[0], epic="e2", title="Moved", position=1, depends_on=(Dependency("1b"),))
    await sync(
        Plan(
            (
                replace(first, tasks=(replace(first.tasks[1], depends_on=()),)),
                replace(
                    second,
                    depends_on=(Dependency("e1", Strength.RELATED),),
                    tasks=(replace(second.tasks[0], depends_on=()), moved),
                ),
            ),
            plan.path,
        )
    )
    [found] = await rows(
        "SELECT w.title, p.key, w.status, w.attempts, CAST(w.cost_usd AS text), w.version"
        " FROM work_items w JOIN work_items p ON p.id = w.parent_id WHERE w.key = '1a'"
    )
    assert found == ("Moved", "e2", "in_progress", 1, "0.500000", 3)
    edges = await rows(
        "SELECT p.key, s.key, strength FROM work_item_dependencies"
        " JOIN work_items p ON p.id = predecessor_id JOIN work_items s ON s.id = successor_id ORDER BY 1"
    )
    assert edges == [("1b", "1a", "hard"), ("e1", "e2", "related")]


async def test_what_is_gone_from_the_plan_comes_back(sync, rows, ask, plan):
    await sync(without(plan, "1b"))
    assert await rows("SELECT key FROM work_items WHERE deleted_at IS NOT NULL") == [("1b",)]
    assert "1b" not in await ask(items.load_states)
    await sync(plan)
    assert await rows("SELECT key FROM work_items WHERE deleted_at IS NOT NULL") == []
    assert "1b" in await ask(items.load_states)


async def test_finished_work_stays_when_it_is_gone_from_the_plan(sync, rows, tell, plan, story):
    await tell(story.task_event("task.completed", "1b", commit=COMMIT))
    await sync(without(plan, "1b"))
    assert await rows("SELECT key FROM work_items WHERE deleted_at IS NOT NULL") == []


async def test_projects_do_not_see_each_other(store, project, plan, tmp_path, rows):
    async with store.begin() as conn:
        other = await projects.register(conn, "other", "other", tmp_path)
        await items.sync_plan(conn, other, without(plan, "1a"))
        assert set(await items.load_states(conn, project)) == {"e1", "e2", "1a", "1b", "2a"}
        assert set(await items.load_states(conn, other)) == {"e1", "e2", "1b", "2a"}


async def test_a_large_plan_is_synced(store, project):
    def task(epic: int, number: int) -> Task:
        before = (Dependency(f"{epic}.{number - 1}"),) if number else ()
        return Task(f"{epic}.{number}", f"epic{epic}", "T", depends_on=before, position=number)

    epics = tuple(
        Epic(f"epic{n}", "E", tasks=tuple(task(n, m) for m in range(99)), position=n) for n in range(100)
    )
    async with store.begin() as conn:
        await items.sync_plan(conn, project, Plan(epics, Path("p")))
        states = await items.load_states(conn, project)
        edges = await conn.scalar(text("SELECT count(*) FROM work_item_dependencies"))
    assert len(states) == 10_000
    assert edges == 9800


async def test_states_tell_what_happened(ask, tell, story):
    await tell(story.started())
    for number in range(1, 5):
        await tell(
            *story.attempt("1a", "failed", number, reason=f"r{number}", answer=f"a{number}", cost_usd=0.5)
        )
    await tell(story.task_event("task.completed", "1b", commit=COMMIT))
    states = await ask(items.load_states)
    failed = states["1a"]
    assert (failed.id, failed.kind, failed.status) == ("1a", Kind.TASK, Status.IN_PROGRESS)
    assert (failed.attempts, failed.failed_attempts, failed.cost_usd) == (4, 4, 2.0)
    assert [(failure.reason, failure.output) for failure in failed.failures] == [
        ("r2", "a2"),
        ("r3", "a3"),
        ("r4", "a4"),
    ]
    assert (states["1b"].status, states["1b"].commit, states["1b"].failures) == (Status.COMPLETED, COMMIT, ())
    assert (states["e1"].kind, states["e1"].cost_usd) == (Kind.EPIC, 2.0)


async def test_a_run_that_starts_sees_what_was_left(ask, tell, story):
    place = {"lane": "e1", "path": "/w", "branch": "epic/e1", "base_commit": COMMIT}
    testing = {
        "commit": "d" * 40,
        "tree": TREE,
        "old_commit": COMMIT,
        "epic_commit": "e" * 40,
        "target": "main",
    }
    [start] = story.attempt("1a", "")
    await tell(
        story.started(),
        story.epic_event("worktree.created", "e1", **place),
        start,
        story.check("1a", start.session),
        story.check("1a", start.session, passed=False),
        story.epic_event("landing.queued", "e2"),
        story.epic_event("landing.rejected", "e2", reason="red"),
        story.epic_event("landing.queued", "e2"),
        story.epic_event("landing.testing", "e2", **testing),
        story.task_event(
            "intervention.opened", "1a", intervention="q", kind="failed", reason="r", choices=["x"]
        ),
    )
    [run] = await ask(unfinished.unfinished_runs)
    assert (run.id, run.state) == (story.run, "running")
    [session] = await ask(unfinished.unfinished_sessions)
    assert (session.id, session.task, session.attempt, session.folder) == (start.session, "1a", 1, "f")
    [worktree] = await ask(unfinished.open_worktrees)
    assert (worktree.lane, worktree.epic, worktree.branch, worktree.status) == (
        "e1",
        "e1",
        "epic/e1",
        "active",
    )
    landings = await ask(unfinished.latest_landings)
    assert list(landings) == ["e2"]
    assert (landings["e2"].status, landings["e2"].commit) == ("testing", "d" * 40)
    [question] = await ask(unfinished.open_interventions)
    assert (question.item, question.kind, question.choices) == ("1a", "failed", ("x",))


async def test_nothing_is_left_of_what_ended(ask, tell, story):
    place = {"lane": "e1", "path": "/w", "branch": "epic/e1"}
    await tell(
        story.started(),
        story.epic_event("worktree.created", "e1", **place),
        *story.attempt("1a", "failed"),
        story.task_event(
            "intervention.opened", "1a", intervention="q", kind="failed", reason="r", choices=[]
        ),
        story.run_event("intervention.resolved", intervention="q", choice="", by="me"),
        story.epic_event("worktree.removed", "e1", **place),
        story.run_event("run.finished", state="completed", exit_code=0),
    )
    for question in (
        unfinished.unfinished_runs,
        unfinished.unfinished_sessions,
        unfinished.open_worktrees,
        unfinished.open_interventions,
    ):
        assert await ask(question) == []


async def test_durations_are_medians_of_completed_sessions(ask, tell, story):
    await tell(story.started())
    for seconds in (1.0, 3.0, 100.0):
        await tell(*story.attempt("1a", "completed", seconds=seconds))
    await tell(*story.attempt("1a", "failed", seconds=5000.0), *story.attempt("1b", "completed", seconds=7.0))
    assert await ask(learned.durations) == {"1a": 3.0, "1b": 7.0, "category:code": 5.0}


async def test_what_a_plan_changes_is_told(store, project, plan):
    async with store.begin() as conn:
        assert not await items.sync_plan(conn, project, plan)
        told = await items.sync_plan(conn, project, without(plan, "1b"))
        assert (told.added, told.gone) == ((), ("1b",))
        back = await items.sync_plan(conn, project, plan)
        assert (back.added, back.changed, back.gone) == ((), ("1b",), ())
