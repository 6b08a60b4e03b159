"""What our hooks add to `git commit`: alone, with a hook of the user's behind them, and in a session."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from contextlib import chdir
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.report import Row
from benchmarks.workshop import repository
from yokeflow.git.hooks import GUARD, Hooks, guard_refs
from yokeflow.git.repo import Repo

ROUNDS, ALONE_MS, CHAINED_MS = 100, 3, 6
_COMMIT = ("git", "-c", "gc.auto=0", "commit", "-q", "--allow-empty", "-m", "Change")
#: Of a process of a session, on a branch of its own.
_SESSION = {"YOKE_SESSION": "bench", "YOKE_BRANCH": "epic/bench"}
_USERS = "#!/bin/sh\n:\n"


def rows() -> list[Row]:
    """Differences of medians of commits that are made in turns, so that all meet the same machine."""
    with repository() as root, chdir(root):
        ms = _medians(_variants(root / ".git"), root / ".git" / "hooks")
    alone, chained = ms["ours"] - ms["none"], ms["chained"] - ms["users"]
    three, empty = ms["all"] - ms["none"], ms["users"] - ms["none"]
    return [
        _row("what our post-commit adds to `git commit`", alone, ALONE_MS, f"; an empty one {empty:.1f} ms"),
        _row("the same before a post-commit hook of the user's", chained, CHAINED_MS),
        _row("what our three hooks of a commit add", three, 3 * ALONE_MS),
        _row("what a session's watch over branches adds to `git commit`", ms["guard"] - ms["none"], ALONE_MS),
    ]


def _row(name: str, ms: float, most: int, more: str = "") -> Row:
    return Row(name, f"≤ {most} ms", f"{ms:.1f} ms{more}", ms <= most)


def _variants(git: Path) -> dict[str, Path]:
    """Folders of hooks by what is in them."""
    found = {name: git / f"hooks-{name}" for name in ("none", "users", "ours", "chained", "all", "guard")}
    hooks = git / "hooks"
    _empty(hooks)
    shutil.copytree(hooks, found["none"])
    asyncio.run(_install())
    shutil.copytree(hooks, found["all"])
    _only_post_commit(hooks)
    shutil.copytree(hooks, found["ours"])
    found["guard"].mkdir()
    shutil.copy(hooks / "post-commit", found["guard"] / GUARD)
    _empty(hooks)
    _users_hook(hooks)
    shutil.copytree(hooks, found["users"])
    asyncio.run(_install())
    _only_post_commit(hooks)
    shutil.copytree(hooks, found["chained"], symlinks=True)
    shutil.rmtree(hooks)
    return found


def _medians(variants: dict[str, Path], place: Path) -> dict[str, float]:
    """Milliseconds of a commit with each folder in its place."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(ROUNDS):
        for name, folder in variants.items():
            folder.rename(place)
            began = perf_counter()
            subprocess.run(_COMMIT, check=True, env={**os.environ, **_SESSION} if name == "guard" else None)
            times[name].append(1000 * (perf_counter() - began))
            place.rename(folder)
    return {name: median(taken) for name, taken in times.items()}


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def _users_hook(folder: Path) -> None:
    hook = folder / "post-commit"
    hook.write_text(_USERS, encoding="utf-8")
    hook.chmod(0o755)


def _only_post_commit(folder: Path) -> None:
    for name in ("prepare-commit-msg", "commit-msg"):
        (folder / name).unlink()


async def _install() -> None:
    repo = await Repo.discover(Path.cwd())
    await Hooks(repo).install()
    guard_refs(repo, "landing", "epic/", [f"epic/{number}" for number in range(50)])
