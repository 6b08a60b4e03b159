"""A plan and the events of a run made by hand."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from yokeflow.__main__ import main
from yokeflow.cli.live import LiveState
from yokeflow.events import Event
from yokeflow.model import Dependency, Epic, Plan, Task

if TYPE_CHECKING:
    from collections.abc import Callable

START = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def _edges(names: tuple[str, ...]) -> tuple[Dependency, ...]:
    return tuple(Dependency(name) for name in names)


def make_epic(name: str, tasks: dict[str, tuple[str, ...]], *after: str) -> Epic:
    """An epic `name` with tasks `name.x`, each with what it depends on."""
    made = tuple(
        Task(f"{name}.{task}", name, f"Do {task}", depends_on=_edges(before))
        for task, before in tasks.items()
    )
    return Epic(name, f"The {name}", _edges(after), made)


class Story:
    """Events one second apart, folded into a state as they are told."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.state = LiveState.of(plan)
        self.now = START
        self.events: list[Event] = []

    def tell(self, type_: str, *, epic: str = "", task: str = "", **data: object) -> Event:
        """One more event."""
        self.now += timedelta(seconds=1)
        if task and not epic:
            epic = self.plan.tasks[task].epic
        event = Event(type_, run="r", epic=epic, task=task, data=data, at=self.now)
        self.events.append(event)
        self.state.apply(event)
        return event

    def begin(self) -> None:
        """The run starts with all tasks of the plan."""
        self.tell(
            "run.started",
            target="main",
            strategy="by_epic",
            concurrency=3,
            batches=[list(self.plan.tasks)],
        )

    def start(self, task: str, attempt: int = 1) -> None:
        """A session starts."""
        self.tell("session.started", task=task, attempt=attempt, agent="claude", model="sonnet", lane="a")

    def end(self, task: str, cost: float | None = 0.25) -> None:
        """A session ends well, and with it the task."""
        self.tell("session.finished", task=task, state="completed", seconds=10.0, cost_usd=cost)
        self.tell("task.completed", task=task, commit="c0ffee" + "0" * 34, seconds=10.0)

    def fail(self, task: str) -> None:
        """No attempt is left for a task."""
        why = "check `make test` failed (2)"
        self.tell("session.finished", task=task, state="failed", reason=why, seconds=5.0, cost_usd=None)
        self.tell("task.failed", task=task, reason=why, attempts=3)
        self.tell(
            "intervention.opened",
            task=task,
            intervention=f"i-{task}",
            kind="retry_limit",
            reason=why,
            choices=["retry", "skip"],
        )

    def land(self, epic: str) -> None:
        """An epic lands."""
        tasks = [task.id for task in self.plan.epic[epic].tasks]
        self.tell("landing.queued", epic=epic)
        self.tell("landing.testing", epic=epic)
        self.tell("landing.landed", epic=epic, commit=epic.ljust(40, "0"), tasks=tasks)


@pytest.fixture
def story() -> Story:
    """Two epics; the second needs a task of the first, then all of it."""
    plan = Plan(
        (
            make_epic("core", {"one": (), "two": ("core.one",)}),
            make_epic("app", {"main": ("core.one",), "help": ("app.main", "core")}),
        ),
        Path("plan.yaml"),
    )
    return Story(plan)


@pytest.fixture
def large_story() -> Story:
    """Forty epics of five tasks, each behind the one three before it."""
    epics = []
    for number in range(40):
        name = f"area{number:02}"
        tasks: dict[str, tuple[str, ...]] = {f"t{i}": ((f"{name}.t{i - 1}",) if i else ()) for i in range(5)}
        epics.append(make_epic(name, tasks, *((f"area{number - 3:02}",) if number > 2 else ())))
    return Story(Plan(tuple(epics), Path("plan.yaml")))


@pytest.fixture
def here(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`here(folder, *arguments)` is the command line in this process: starting one is most of its cost."""

    def call(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(folder)
        capfd.readouterr()
        code = main(args)
        said = capfd.readouterr()
        return subprocess.CompletedProcess(args, code, said.out, said.err)

    return call
