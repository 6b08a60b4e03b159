"""How long a person waits for `yoke --help`, and for `yoke status` of a large project."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.report import Row
from benchmarks.workshop import repository, server, write_plan
from yokeflow.engine.project import Project
from yokeflow.model import Dependency, Epic, Plan, Task
from yokeflow.store import items

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ITEMS, TASKS, ROUNDS = 10_000, 24, 15
HELP_BAR, STATUS_BAR = 0.120, 0.400


def rows() -> list[Row]:
    """Medians of whole processes, modules compiled and the store warm."""
    with server() as env, repository() as root:
        write_plan(root, {"e": [{"id": "e.0", "title": "No-op", "run": "true"}]}, concurrency=1)
        asyncio.run(_fill(root))
        measured = {
            "`yoke --help`": (_measure(root, env, "--help"), HELP_BAR),
            f"`yoke status` on a project with {ITEMS:,} items": (_measure(root, env, "status"), STATUS_BAR),
        }
    return [
        Row(claim, f"≤ {bar * 1000:.0f} ms", f"{took * 1000:.0f} ms", took <= bar)
        for claim, (took, bar) in measured.items()
    ]


async def _fill(root: Path) -> None:
    project = await Project.open(root)
    async with project.store() as (store, project_id), store.begin() as connection:
        await items.sync_plan(connection, project_id, _plan())


def _plan() -> Plan:
    """Epics of chained tasks, each epic after the one before it."""
    epics = []
    for number in range(ITEMS // (TASKS + 1)):
        name = f"e{number}"
        tasks = tuple(
            Task(
                f"{name}.{each}",
                name,
                f"Task {each} of {name}",
                depends_on=(Dependency(f"{name}.{each - 1}"),) if each else (),
                position=each,
            )
            for each in range(TASKS)
        )
        before = (Dependency(f"e{number - 1}"),) if number else ()
        epics.append(Epic(name, f"Epic {number}", before, tasks, position=number))
    return Plan(tuple(epics), Path("plan.yaml"))


def _measure(root: Path, env: Mapping[str, str], *args: str) -> float:
    # Compiled modules, as an installed program has them.
    env = {name: value for name, value in env.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "yokeflow", *args]
    times = [_once(root, env, command) for _ in range(ROUNDS + 2)]
    return median(times[2:])


def _once(root: Path, env: Mapping[str, str], command: Sequence[str]) -> float:
    started = perf_counter()
    subprocess.run(command, cwd=root, env=env, check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - started
