"""Memory of the orchestrator while many agents live."""

from __future__ import annotations

from time import monotonic, sleep
from typing import TYPE_CHECKING

import psutil

from benchmarks.report import Row
from benchmarks.workshop import repository, server, write_plan, yoke

if TYPE_CHECKING:
    from benchmarks.workshop import Task

AGENTS, BAR_MB, PATIENCE = 200, 250, 120.0


def rows() -> list[Row]:
    """Resident size of the one process, when all agents have started."""
    with server() as env, repository() as root:
        go, started = root.parent / "go", root.parent / "started"
        started.mkdir()
        wait = f"touch {started}/%s; until test -e {go}; do sleep 1; done; echo done > %s.txt"
        epics: dict[str, list[Task]] = {
            f"e{number}": [{"id": f"e{number}.t", "title": "Wait", "run": wait % (number, number)}]
            for number in range(AGENTS)
        }
        write_plan(root, epics, concurrency=AGENTS)
        process = yoke(root, env, "run", "--json")
        deadline = monotonic() + PATIENCE
        while len(list(started.iterdir())) < AGENTS and monotonic() < deadline and process.poll() is None:
            sleep(0.2)
        alive = len(list(started.iterdir()))
        size = psutil.Process(process.pid).memory_info().rss / 1e6
        go.touch()
        process.wait()
    claim = f"orchestrator memory with {AGENTS} live agents"
    ok = alive == AGENTS and process.returncode == 0 and size <= BAR_MB
    return [Row(claim, f"≤ {BAR_MB} MB", f"{size:.0f} MB with {alive} agents", ok)]
