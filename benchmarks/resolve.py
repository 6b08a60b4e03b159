"""Resolving a very large plan, in a process of its own so that its memory is counted alone."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Final

from benchmarks.report import Row
from yoke_resolver.resolve import resolve
from yokeflow.model import Dependency, Epic, Plan, Strategy, Task

_TASKS: Final = 100_000
_EDGES_PER_TASK: Final = 5
_EPICS: Final = 1_000


def rows() -> list[Row]:
    output = subprocess.run(
        [sys.executable, "-m", "benchmarks.resolve"],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
    ).stdout
    seconds, megabytes = map(float, output.split())
    return [
        Row(
            "resolving 100,000 tasks / 500,000 edges",
            "≤ 2 s, ≤ 500 MB",
            f"{seconds:.2f} s (best of 3), {megabytes:.0f} MB with the plan",
            seconds <= 2 and megabytes <= 500,
        )
    ]


def big_plan() -> Plan:
    """Epics of a hundred tasks, each task waiting for five of the two thousand before it."""
    random = Random(1)
    size = _TASKS // _EPICS
    return Plan(
        tuple(
            Epic(
                id=f"e{epic}",
                title="",
                tasks=tuple(_task(random, epic, number) for number in range(epic * size, (epic + 1) * size)),
                position=epic,
            )
            for epic in range(_EPICS)
        ),
        Path("plan.yaml"),
    )


def _task(random: Random, epic: int, number: int) -> Task:
    before = range(max(0, number - 2_000), number)
    chosen = random.sample(before, min(len(before), _EDGES_PER_TASK))
    return Task(
        id=f"e{epic}.t{number}",
        epic=f"e{epic}",
        title="",
        depends_on=tuple(Dependency(f"e{name // 100}.t{name}") for name in chosen),
        estimate=float(random.randint(60, 7200)),
        position=number,
    )


def _measure() -> tuple[float, float]:
    plan = big_plan()
    plan.tasks  # noqa: B018 - the plan's own index is not what is measured
    seconds = min(_once(plan) for _ in range(3))
    # Linux counts kilobytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _once(plan: Plan) -> float:
    start = perf_counter()
    resolution = resolve(plan, Strategy.BY_EPIC)
    seconds = perf_counter() - start
    assert len(resolution.hard) == _TASKS
    return seconds


if __name__ == "__main__":
    print(*_measure())
