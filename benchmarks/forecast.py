"""What it costs to know conflicts beforehand: the git part, over many epics that are worked on at once."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import AsyncExitStack
from itertools import combinations
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.report import Row
from benchmarks.workshop import repository
from yokeflow.git.forecast import Trials, trials
from yokeflow.git.repo import Repo

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

EPICS, FILES, FOLDERS, ROUNDS = 20, 5000, 100, 9
FULL_MS, ONE_MS = 400, 50


def rows() -> list[Row]:
    """All pairs of the epics and the target, and one epic against all others and the target."""
    with repository() as root:
        _fill(root)
        full, one, conflicts = asyncio.run(_measure(root))
    return [
        Row(
            f"forecast of {EPICS} epics at {FILES:,} files ({conflicts} conflicts), git part, median",
            f"≤ {FULL_MS} ms",
            f"{1000 * full:.0f} ms",
            1000 * full <= FULL_MS,
        ),
        Row(
            f"forecast of one of {EPICS} epics at {FILES:,} files, git part, median",
            f"≤ {ONE_MS} ms",
            f"{1000 * one:.0f} ms",
            1000 * one <= ONE_MS,
        ),
    ]


async def _measure(root: Path) -> tuple[float, float, int]:
    """Seconds of a first forecast, and of the next one after an epic has gone on."""
    repo = await Repo.discover(root)
    full, one, conflicts = [], [], 0
    async with AsyncExitStack() as stack:
        for number in range(ROUNDS):
            # Each in a folder of its own, or a round would find the objects of the one before. A run keeps
            # its folder to its end, so nothing is removed in between here either.
            on_trial = await stack.enter_async_context(trials(repo, repo.state_dir / f"forecast-{number}"))
            tips = await _tips(repo)
            seconds, conflicts = await _merge(on_trial, list(combinations(tips, 2)))
            full.append(seconds)
            await asyncio.to_thread(_go_on, root, number)
            tips = await _tips(repo)
            seconds, _ = await _merge(on_trial, [(tips[0], other) for other in tips[1:]])
            one.append(seconds)
    return median(full), median(one), conflicts


async def _tips(repo: Repo) -> list[str]:
    return [tip for _, tip in sorted((await repo.refs("refs/heads/")).items())]


async def _merge(on_trial: Trials, pairs: Sequence[tuple[str, str]]) -> tuple[float, int]:
    """Seconds, and how many pairs conflict."""
    began = perf_counter()
    found = await on_trial.merge(pairs)
    seconds = perf_counter() - began
    assert None not in found
    return seconds, sum(not clash.clean for clash in found if clash is not None)


def _go_on(root: Path, number: int) -> None:
    """One more commit on the first epic, in files that it changed before, one of them shared with another."""
    files = [(f"part-0/file-{n}.txt", f"file {n}\nround {number}\n") for n in (0, 4000)]
    stream = _commit("epic/e00", files)
    stream[0] = stream[0].replace("data 6\nChange\n", "data 6\nChange\nfrom refs/heads/epic/e00^0\n")
    _import(root, stream)


def _fill(root: Path) -> None:
    """Files in folders, and for each epic three commits: a new file, two changed ones, one that two share.

    The target has gone on meanwhile.
    """
    names = [f"part-{n % FOLDERS}/file-{n}.txt" for n in range(FILES)]
    stream = ["reset refs/heads/main\nfrom refs/heads/main^0\n"]
    stream += _commit("main", [(name, f"{name}\n" * 20) for name in names])
    for number in range(EPICS):
        branch, mine = f"epic/e{number:02}", names[40 * number : 40 * number + 40]
        shared = names[4000 + number // 2]
        stream.append(f"reset refs/heads/{branch}\nfrom refs/heads/main\n\n")
        for step in range(3):
            changed = [mine[step], mine[step + 10]]
            files = [(name, f"{name}\n" * 20 + f"{branch} {step}\n") for name in changed]
            stream += _commit(branch, [*files, (f"new/{number}-{step}.txt", "new\n")])
        stream += _commit(branch, [(shared, f"{shared}\n" * 20 + f"{branch}\n")])
    stream += _commit("main", [(name, f"{name} changed\n") for name in names[-5:]])
    _import(root, stream)


def _import(root: Path, stream: Sequence[str]) -> None:
    command = ["git", "fast-import", "--quiet", "--force"]
    subprocess.run(command, cwd=root, input="".join(stream).encode(), check=True)


def _commit(branch: str, files: Sequence[tuple[str, str]]) -> list[str]:
    who = "committer A Person <person@example.org> 1700000000 +0000"
    parts = [f"commit refs/heads/{branch}\n{who}\ndata 6\nChange\n"]
    parts += [f"M 100644 inline {name}\ndata {len(text)}\n{text}\n" for name, text in files]
    return [*parts, "\n"]
