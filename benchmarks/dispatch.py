"""How soon a successor's process runs after its predecessor is completed."""

from __future__ import annotations

import json
from datetime import datetime
from statistics import median

from benchmarks.report import Row
from benchmarks.workshop import output, repository, server, write_plan, yoke

CHAIN, BAR_MS = 30, 50


def rows() -> list[Row]:
    """A chain of tasks in one worktree; each writes the time at which its process began."""
    with server() as env, repository() as root:
        tasks: list[dict[str, object]] = [
            {
                "id": f"t{number}",
                "title": "Tell the time",
                "run": f"date +%s.%N > t{number}.txt",
                "depends_on": [f"t{number - 1}"] if number else [],
            }
            for number in range(CHAIN)
        ]
        write_plan(root, {"chain": tasks}, concurrency=2)
        process = yoke(root, env, "run", "--json")
        if process.wait():
            raise RuntimeError(output(root).read_text())
        events = [json.loads(line) for line in output(root).read_text().splitlines()]
        completed = {
            event["task"]: datetime.fromisoformat(event["at"]).timestamp()
            for event in events
            if event["type"] == "task.completed"
        }
        began = {f"t{number}": float((root / f"t{number}.txt").read_text()) for number in range(CHAIN)}
    waits = [1000 * (began[f"t{n}"] - completed[f"t{n - 1}"]) for n in range(1, CHAIN)]
    measured = f"{median(waits):.0f} ms (worst {max(waits):.0f} ms of {len(waits)})"
    claim = "from “predecessor completed” to “successor's process runs”, worktree ready"
    return [Row(claim, f"≤ {BAR_MS} ms median", measured, median(waits) <= BAR_MS)]
