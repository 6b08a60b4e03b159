"""A small project in the store, and events that could have happened in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from yokeflow.events import Event
from yokeflow.model import Dependency, Epic, Plan, Strength, Task
from yokeflow.store import items, projects
from yokeflow.store.journal import Journal

if TYPE_CHECKING:
    from uuid import UUID

    from yokeflow.store.connection import Store

COMMIT = "c" * 40
TREE = "7" * 40


@dataclass
class Story:
    """Makes the events of one run."""

    run: str = field(default_factory=lambda: str(uuid4()))

    def run_event(self, type_: str, **data: Any) -> Event:
        return Event(type_, run=self.run, data=data)

    def epic_event(self, type_: str, epic: str, **data: Any) -> Event:
        return Event(type_, run=self.run, epic=epic, data=data)

    def task_event(self, type_: str, task: str, session: str = "", **data: Any) -> Event:
        return Event(type_, run=self.run, epic=f"e{task[0]}", task=task, session=session, data=data)

    def started(self, **data: Any) -> Event:
        return self.run_event("run.started", target="main", **data)

    def attempt(self, task: str, state: str = "completed", number: int = 1, **finished: Any) -> list[Event]:
        """A session from start to end; without a `state` it is left running."""
        session = str(uuid4())
        begin = self.task_event("session.started", task, session, attempt=number, agent="shell", folder="f")
        if not state:
            return [begin]
        end = {"reason": "", "exit_code": 0, "seconds": 2.0, "usage": [], "answer": "", **finished}
        return [begin, self.task_event("session.finished", task, session, state=state, **end)]

    def check(self, task: str, session: str, *, passed: bool = True) -> Event:
        data = {"command": "make test", "tree": TREE, "environment": "env", "passed": passed}
        more = {"exit_code": int(not passed), "seconds": 0.5, "log": "check.log", "reused": False}
        return self.task_event("check.finished", task, session, stage="task", **data, **more)


@pytest.fixture
def plan() -> Plan:
    """Epic e1 with tasks 1a before 1b, and epic e2, which waits for e1, with task 2a."""
    first = Epic(
        "e1",
        "First",
        tasks=(
            Task("1a", "e1", "One A", category="code", prompt="do it"),
            Task("1b", "e1", "One B", category="code", depends_on=(Dependency("1a"),), position=1),
        ),
    )
    second = Epic(
        "e2",
        "Second",
        depends_on=(Dependency("e1", reason="needs it"),),
        tasks=(Task("2a", "e2", "Two A", depends_on=(Dependency("1a", Strength.SOFT),)),),
        position=1,
    )
    return Plan((first, second), Path("plan.yaml"))


@pytest.fixture
async def project(store: Store, plan: Plan, tmp_path: Path) -> UUID:
    """The id of a project that has the plan."""
    async with store.begin() as conn:
        project_id = await projects.register(conn, "key", "sample", tmp_path)
        await items.sync_plan(conn, project_id, plan)
    return project_id


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "state" / "journal.jsonl")
