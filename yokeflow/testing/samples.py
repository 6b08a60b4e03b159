"""Plans, attempts and results to ask plugins about."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from yokeflow.model import (
    AgentReport,
    Attempt,
    Dependency,
    Epic,
    Failure,
    Plan,
    Resolution,
    SessionResult,
    Strength,
    Task,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SECONDS = 60.0


def sample_plan() -> Plan:
    """Two epics, the second after the first: a diamond, a chain with a soft edge, a task on its own."""
    hard = Dependency
    first = (
        _task("shop.base", files=("src/base/**",), category="database", priority=0, critical=True),
        _task("shop.left", depends_on=(hard("shop.base"),), files=("src/left.py",), category="api"),
        _task("shop.right", depends_on=(hard("shop.base"),), files=("src/right.py",), category="frontend"),
        _task("shop.top", depends_on=(hard("shop.left"), hard("shop.right")), estimate=600.0),
    )
    second = (
        _task("docs.one", category="documentation", priority=9),
        _task("docs.two", depends_on=(Dependency("docs.one", Strength.SOFT),), conflicts_with=("docs.one",)),
    )
    alone = (_task("tools.one", category="testing"),)
    return _plan(
        Epic("shop", "Shop", tasks=first),
        Epic("docs", "Documents", depends_on=(hard("shop"),), tasks=second),
        Epic("tools", "Tools", tasks=alone),
    )


def wide_plan(epics: int = 30, tasks: int = 10) -> Plan:
    """Epics without dependencies, each a chain of tasks."""
    return _plan(*(Epic(f"e{n}", f"Epic {n}", tasks=_chain(f"e{n}", tasks)) for n in range(epics)))


def cyclic_plan() -> Plan:
    """Two tasks that wait for each other."""
    tasks = (
        _task("loop.a", depends_on=(Dependency("loop.b"),)),
        _task("loop.b", depends_on=(Dependency("loop.a"),)),
    )
    return _plan(Epic("loop", "Loop", tasks=tasks))


def sample_resolution(plan: Plan) -> Resolution:
    """What a simple resolver makes of a plan without cycles: every task takes a minute."""
    hard = {name: edges(plan, task, Strength.HARD) for name, task in plan.tasks.items()}
    after: dict[str, list[str]] = {name: [] for name in plan.tasks}
    for name, before in hard.items():
        for each in before:
            after[each].append(name)
    levels = {name: _depth(name, hard) for name in hard}
    remaining = {name: SECONDS * _depth(name, after) for name in hard}
    longest = max(remaining.values(), default=0.0)
    batches = [[name for name in hard if levels[name] == level] for level in sorted({*levels.values()})]
    return Resolution(
        hard=hard,
        soft={name: edges(plan, task, Strength.SOFT) for name, task in plan.tasks.items()},
        batches=tuple(map(tuple, batches)),
        remaining=remaining,
        slack={name: longest - remaining[name] - SECONDS * (levels[name] - 1) for name in hard},
        critical_path=(),
        durations=dict.fromkeys(hard, SECONDS),
        lanes={name: task.epic for name, task in plan.tasks.items()},
    )


def edges(plan: Plan, task: Task, strength: Strength) -> frozenset[str]:
    """Tasks that go before one by its own dependencies or its epic's."""
    named = (*task.depends_on, *plan.epic[task.epic].depends_on)
    before: set[str] = set()
    for each in named:
        if each.strength == strength:
            epic = plan.epic.get(each.predecessor)
            before |= {inner.id for inner in epic.tasks} if epic else {each.predecessor}
    return frozenset(before)


def attempts(run: str = "", *, agent: str = "claude") -> list[Attempt]:
    """A first attempt at every task of the sample plan, and later ones at one of them."""
    run = run or str(uuid4())
    tasks = list(sample_plan().tasks.values())
    failed = (Failure("check failed: pytest", "E   assert 1 == 2"), Failure("timeout"))
    first = [Attempt(task, 1, str(uuid4()), run, agent=agent) for task in tasks]
    later = [Attempt(tasks[0], n, str(uuid4()), run, failed[: n - 1], agent=agent) for n in (2, 3)]
    return [*first, *later]


def racing(count: int, run: str) -> list[Attempt]:
    """First attempts at tasks of one epic, to be started at once."""
    tasks = [_task(f"race.t{n}") for n in range(count)]
    return [Attempt(task, 1, str(uuid4()), run, agent="claude", model="sonnet") for task in tasks]


def result(attempt: Attempt, *, state: str = "completed", cost_usd: float | None = 0.25) -> SessionResult:
    """A finished session of an attempt."""
    ok = state == "completed"
    usage = (Usage("claude-sonnet-4-5", input=1200, output=800, cache_read=5000, cache_write=300),)
    error = "" if ok else "the check failed"
    return SessionResult(
        attempt=attempt,
        agent=attempt.agent or "claude",
        model=attempt.model or "sonnet",
        state=state,
        reason=error,
        seconds=90.0,
        report=AgentReport(ok=ok, error=error, answer="Done.", usage=usage, cost_usd=cost_usd),
        output="" if ok else "E   assert 1 == 2",
        base_commit="0" * 40,
        head_commit=("1" if ok else "0") * 40,
        cost_usd=cost_usd,
    )


def _chain(epic: str, count: int) -> tuple[Task, ...]:
    names = [f"{epic}.t{n}" for n in range(count)]
    before: Mapping[str, tuple[Dependency, ...]] = {
        name: (Dependency(other),) for other, name in pairwise(names)
    }
    return tuple(_task(name, depends_on=before.get(name, ())) for name in names)


def _depth(name: str, neighbours: Mapping[str, Sequence[str] | frozenset[str]]) -> int:
    return 1 + max((_depth(each, neighbours) for each in neighbours[name]), default=0)


def _task(
    name: str,
    *,
    depends_on: tuple[Dependency, ...] = (),
    files: tuple[str, ...] = (),
    conflicts_with: tuple[str, ...] = (),
    category: str = "",
    priority: int = 5,
    estimate: float | None = None,
    critical: bool = False,
) -> Task:
    return Task(
        id=name,
        epic=name.partition(".")[0],
        title=f"Do {name}",
        prompt=f"Do {name} and test it.",
        depends_on=depends_on,
        files=files,
        conflicts_with=conflicts_with,
        category=category,
        priority=priority,
        estimate=estimate,
        critical=critical,
    )


def _plan(*epics: Epic) -> Plan:
    placed = []
    position = 0
    for number, epic in enumerate(epics):
        tasks = tuple(replace(task, position=position + n) for n, task in enumerate(epic.tasks))
        position += len(tasks)
        placed.append(replace(epic, tasks=tasks, position=number))
    return Plan(tuple(placed), Path("plan.yaml"))
