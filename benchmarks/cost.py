"""How long a person waits for `yoke cost` when a million costs are kept."""

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
from yokeflow.model import Epic, Plan, Task
from yokeflow.store import items
from yokeflow.store.driver import connection

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

COSTS, DAYS, EPICS, TASKS, MODELS, ROUNDS = 1_000_000, 400, 100, 2_000, 5, 7
BAR = 0.400

REPORTS = (
    (),
    *(("--by", by) for by in ("model", "epic", "task", "category", "day", "operation")),
    ("--by", "task", "--since", "2026-01-10", "--until", "2026-10-20"),
    ("--by", "model", "--run", "last"),
    ("--forecast",),
    ("--json",),
)

_RUN = """
INSERT INTO runs (project_id, started_at) VALUES ($1, date '2025-11-01' + $2::int) RETURNING id
"""
#: One day. Any task on any day with any model: the most sums that so many costs can have.
_DAY = """
INSERT INTO agent_costs (project_id, run_id, work_item_id, model, operation_type, input_tokens, output_tokens,
                         cache_read_tokens, cache_write_tokens, cost_usd, occurred_at)
SELECT $1, $2, ($3::uuid[])[1 + floor(random() * $4)::int], 'model-' || floor(random() * $5),
       CASE WHEN random() < 0.95 THEN 'task' ELSE 'reflection' END, random() * 30000, random() * 4000,
       random() * 900000, random() * 40000, CASE WHEN random() < 0.98 THEN random() END,
       date '2025-11-01' + $6::int + random() * interval '1 day'
FROM generate_series(1, $7::int)
"""


def rows() -> list[Row]:
    """Medians of whole processes, modules compiled and the store warm."""
    with server() as env, repository() as root:
        write_plan(root, {"e": [{"id": "e.0", "title": "No-op", "run": "true"}]}, concurrency=1)
        asyncio.run(_fill(root))
        measured = {words: _measure(root, env, "cost", *words) for words in REPORTS}
    return [
        Row(
            f"`{' '.join(('yoke cost', *words))}` with {COSTS:,} costs of {TASKS:,} tasks on {DAYS} days",
            f"≤ {BAR * 1000:.0f} ms",
            f"{took * 1000:.0f} ms",
            took <= BAR,
        )
        for words, took in measured.items()
    ]


async def _fill(root: Path) -> None:
    project = await Project.open(root)
    async with project.store() as (store, project_id):
        async with store.begin() as conn:
            await items.sync_plan(conn, project_id, _plan())
        await _spend(store.url, project_id)


def _plan() -> Plan:
    each = TASKS // EPICS
    epics = [
        Epic(
            f"e{epic}",
            f"Epic {epic}",
            (),
            tuple(
                Task(f"e{epic}.{place}", f"e{epic}", "A task", category=f"kind-{place % 7}", position=place)
                for place in range(each)
            ),
            position=epic,
        )
        for epic in range(EPICS)
    ]
    return Plan(tuple(epics), Path("plan.yaml"))


async def _spend(url: str, project: UUID) -> None:
    async with connection(url) as opened:
        await opened.execute("UPDATE work_items SET status = 'completed' WHERE position % 2 = 0")
        found = await opened.fetch("SELECT id FROM work_items WHERE kind = 'task' ORDER BY key")
        tasks = [row["id"] for row in found]
        await opened.execute("SELECT setseed(0.5)")
        for day in range(DAYS):
            run = await opened.fetchval(_RUN, project, day)
            await opened.execute(_DAY, project, run, tasks, len(tasks), MODELS, day, COSTS // DAYS)
        await opened.execute("ANALYZE")


def _measure(root: Path, env: Mapping[str, str], *args: str) -> float:
    command = [sys.executable, "-m", "yokeflow", *args]
    times = [_once(root, env, command) for _ in range(ROUNDS + 2)]
    return median(times[2:])


def _once(root: Path, env: Mapping[str, str], command: list[str]) -> float:
    started = perf_counter()
    subprocess.run(command, cwd=root, env=env, check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - started
