"""How many worktrees can be made at once, and what one costs."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import chdir
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.report import Row
from benchmarks.workshop import repository
from yokeflow.git.repo import Repo
from yokeflow.git.worktrees import Worktrees

if TYPE_CHECKING:
    from pathlib import Path

MANY, ROUNDS, FILES, RATIO = 100, 7, 300, 1.1


def rows() -> list[Row]:
    """Both in a repository of a few hundred files."""
    with repository(FILES) as root, chdir(root):
        failures, seconds = asyncio.run(_many(root))
        ours, bare = asyncio.run(_cold(root))
    return [
        Row(
            f"{MANY} worktrees at once", "0 failures", f"{failures} failures, {seconds:.1f} s", failures == 0
        ),
        Row(
            "an epic's worktree, cold, against `git worktree add`",
            f"≤ {RATIO}x",
            f"{ours / bare:.2f}x ({1000 * ours:.0f} ms against {1000 * bare:.0f} ms)",
            ours / bare <= RATIO,
        ),
    ]


async def _many(root: Path) -> tuple[int, float]:
    repo = await Repo.discover(root)
    trees = Worktrees(repo, repo.worktree_folder(".worktrees"))
    began = perf_counter()
    paths = await asyncio.gather(
        *(trees.open(f"e{number}", f"epic/e{number}", "main") for number in range(MANY)),
        return_exceptions=True,
    )
    seconds = perf_counter() - began
    whole = [
        path for path in paths if not isinstance(path, BaseException) and (path / "file-0.txt").is_file()
    ]
    await asyncio.gather(*(trees.close(f"e{number}") for number in range(MANY)))
    await trees.empty_trash()
    return MANY - len(whole), seconds


async def _cold(root: Path) -> tuple[float, float]:
    """Seconds of ours and of plain git, in turns so that both meet the same machine."""
    repo = await Repo.discover(root)
    trees = Worktrees(repo, repo.worktree_folder(".worktrees"))
    start = await repo.resolve("main") or "main"
    ours, bare = [], []
    for number in range(ROUNDS):
        began = perf_counter()
        await trees.open(f"c{number}", f"epic/c{number}", start)
        ours.append(perf_counter() - began)
        command = ("git", "worktree", "add", "-q", "-b", f"bare/{number}", f".worktrees/b{number}")
        began = perf_counter()
        await asyncio.to_thread(subprocess.run, command, cwd=root, check=True)
        bare.append(perf_counter() - began)
    return median(ours), median(bare)
