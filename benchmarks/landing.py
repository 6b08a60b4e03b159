"""How long git keeps a landing of a finished epic that needs no checks."""

from __future__ import annotations

import json
import subprocess
from statistics import median
from typing import TYPE_CHECKING

import yaml

from benchmarks.report import Row
from benchmarks.workshop import output, repository, server, write_plan, yoke

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.workshop import Task

EPICS, FILES, BAR_MS = 7, 5000, 25
#: Seconds in which all worktrees are made, and between landings, so that each has the machine for itself.
FIRST, APART = 5.0, 0.8


def rows() -> list[Row]:
    """Epics land one by one while nothing else goes on; a checkout of the target moves along."""
    with server() as env:
        alone, moved = _landings(env, checked_out=False), _landings(env, checked_out=True)
    claim = f"landing a finished epic at {FILES:,} files, without checks"
    return [
        Row(claim, f"≤ {BAR_MS} ms", f"{alone:.0f} ms", alone <= BAR_MS),
        Row(f"{claim}, and bringing the checkout along", "none", f"{moved:.0f} ms", ok=True),
    ]


def _landings(env: Mapping[str, str], *, checked_out: bool) -> float:
    """Milliseconds from the start of a merge until the target has it, the median of some."""
    with repository(FILES) as root:
        epics: dict[str, list[Task]] = {
            f"e{number}": [{"id": f"e{number}.t", "title": "Work", "run": _work(number)}]
            for number in range(EPICS)
        }
        write_plan(root, epics, concurrency=EPICS)
        config = yaml.safe_load((root / ".yokeflow.yaml").read_text())
        (root / ".yokeflow.yaml").write_text(yaml.safe_dump({**config, "project": {"target": "main"}}))
        if not checked_out:
            subprocess.run(["git", "checkout", "-q", "--detach"], cwd=root, check=True)
        process = yoke(root, env, "run", "--json")
        if process.wait():
            raise RuntimeError(output(root).read_text())
        events = [json.loads(line) for line in output(root).read_text().splitlines()]
    landed: list[float] = [event["seconds"] for event in events if event["type"] == "landing.landed"]
    # The first one also starts what stays open.
    return 1000 * median(landed[1:])


def _work(number: int) -> str:
    return f"sleep {FIRST + number * APART:.1f}; echo {number} > file-{number}.txt"
