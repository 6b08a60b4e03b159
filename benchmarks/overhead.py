"""What a whole run costs beside the git work that any orchestrator must do."""

from __future__ import annotations

import os
import subprocess
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.report import Row
from benchmarks.workshop import output, repository, server, write_plan, yoke

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.workshop import Task

EPICS, TASKS, ROUNDS, BAR = 12, 5, 3, 1.5

#: One after another, as somebody with a shell would do it.
_LOOP = """
set -e
for epic in $(seq 1 $EPICS); do
  git worktree add -q -b "epic/$epic" ".worktrees/$epic" main
  cd ".worktrees/$epic"
  for task in $(seq 1 $TASKS); do
    sh -c "echo done > epic-$epic-task-$task.txt"
    git add -A
    git commit -q -m "Task $task"
  done
  cd ../..
  git merge -q --no-ff -m "Land $epic" "epic/$epic"
  git worktree remove ".worktrees/$epic"
  git branch -q -d "epic/$epic"
done
"""


def rows() -> list[Row]:
    """Median over rounds that alternate between both, so that the machine's mood hits both."""
    with server() as env:
        _ours(env)
        pairs = [(_ours(env), _bare(env)) for _ in range(ROUNDS)]
    ours, bare = (median(times) for times in zip(*pairs, strict=True))
    claim = f"whole run of {EPICS * TASKS} no-op tasks in {EPICS} epics against a bare shell loop"
    measured = f"{ours / bare:.2f}x ({ours:.1f} s against {bare:.1f} s)"
    return [Row(claim, f"≤ {BAR}x", measured, ours / bare <= BAR)]


def _ours(env: Mapping[str, str]) -> float:
    with repository() as root:
        epics: dict[str, list[Task]] = {
            f"e{epic}": [
                {"id": f"e{epic}.{task}", "title": "No-op", "run": f"echo done > epic-{epic}-task-{task}.txt"}
                for task in range(TASKS)
            ]
            for epic in range(EPICS)
        }
        write_plan(root, epics, concurrency=os.cpu_count() or 2)
        started = perf_counter()
        process = yoke(root, env, "run")
        if process.wait():
            raise RuntimeError(output(root).read_text())
        return perf_counter() - started


def _bare(env: Mapping[str, str]) -> float:
    with repository() as root:
        started = perf_counter()
        numbers = {"EPICS": str(EPICS), "TASKS": str(TASKS)}
        subprocess.run(["sh", "-c", _LOOP], cwd=root, check=True, env={**env, **numbers})
        return perf_counter() - started
