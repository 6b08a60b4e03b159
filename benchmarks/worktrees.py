"""How many worktrees can be made at once, and what it costs to make and to remove one."""

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
LARGE, QUICK = 5000, 10


def rows() -> list[Row]:
    """In a repository of a few hundred files, and with a pool in one of some thousand."""
    with repository(FILES) as root, chdir(root):
        failures, seconds = asyncio.run(_many(root))
        ours, bare = asyncio.run(_cold(root))
    with repository(LARGE) as root, chdir(root):
        pooled, removal = asyncio.run(_pooled(root))
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
        _quick(f"an epic's worktree from the pool, {LARGE:,} files", pooled),
        _quick(f"removing an epic's worktree while the run waits, {LARGE:,} files", removal),
    ]


def _quick(claim: str, seconds: float) -> Row:
    return Row(claim, f"≤ {QUICK} ms", f"{1000 * seconds:.1f} ms", 1000 * seconds <= QUICK)


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


async def _pooled(root: Path) -> tuple[float, float]:
    """Seconds to open a lane from a pool that is ready, and to close it while the pool does the rest."""
    repo = await Repo.discover(root)
    trees = Worktrees(repo, repo.worktree_folder(".worktrees"))
    start = await repo.resolve("main") or "main"
    opening, closing = [], []
    async with repo.reading(), trees.pool.working(1, "main"):
        for number in range(ROUNDS):
            trees.pool.expect(1)
            while not trees.pool.ready:  # noqa: ASYNC110 - the pool tells nobody when it is ready
                await asyncio.sleep(0.05)
            trees.pool.expect(0)
            began = perf_counter()
            await trees.open(f"p{number}", f"epic/p{number}", start)
            opening.append(perf_counter() - began)
            began = perf_counter()
            await trees.retire(f"p{number}")
            closing.append(perf_counter() - began)
    await trees.pool.empty()
    return median(opening), median(closing)
