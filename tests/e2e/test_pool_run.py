"""Runs that use the worktree pool."""

from __future__ import annotations

import json

from tests.e2e.conftest import Workshop, epic, task

#: Says by the number of lines in HEAD's log whether the worktree came from the pool: one; else two.
_TELL = "wc -l < $(git rev-parse --git-dir)/logs/HEAD | tr -d ' '"


def large(workshop: Workshop) -> None:
    for number in range(1000):
        workshop.write(f"src/part{number % 10}/file{number}.txt", f"{number}\n")
    workshop.write(".gitignore", "plan.yaml\n.yokeflow.yaml\n*.log\n")
    workshop.commit("A thousand files")


async def test_without_a_pool_every_worktree_is_made_by_git(workshop: Workshop) -> None:
    large(workshop)
    names = ["e0", "e1", "e2"]
    workshop.plan(*(epic(name, task(f"{name}.t", f"{_TELL} > {name}.txt")) for name in names))
    workshop.config(parallel={"max_concurrency": 1, "pool": 0})
    await workshop.run()
    assert {(workshop.root / f"{name}.txt").read_text().strip() for name in names} == {"2"}
    workshop.assert_tidy()


async def test_a_run_that_is_killed_leaves_no_pool_to_the_next(workshop: Workshop) -> None:
    large(workshop)
    workshop.plan(
        epic("e0", task("e0.t", "echo 0 > e0.txt")),
        epic("e1", task("e1.t", "sleep 1; echo 1 > e1.txt")),
        epic("e2", task("e2.t")),
        epic("e3", task("e3.t")),
    )
    workshop.config(parallel={"max_concurrency": 1})
    process = workshop.start("run", "--json")
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        if event["type"] == "worktree.created" and event["lane"] == "e1":
            break
    process.kill()
    process.communicate()
    report = await workshop.run()
    assert report.state == "completed"
    workshop.assert_tidy()
    assert not workshop.git("for-each-ref", "refs/yoke/keep/lane/")
