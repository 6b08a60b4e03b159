"""Git that outlived the YokeFlow that started it."""

from __future__ import annotations

import asyncio
import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from yokeflow.git.orphans import end_orphans
from yokeflow.git.runner import STARTED_BY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def git_of(owner: int, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A git that waits for questions, as if somebody had started it."""
    env = {**os.environ, STARTED_BY: str(owner)}
    with subprocess.Popen(["git", "cat-file", "--batch"], cwd=folder, env=env, stdin=subprocess.PIPE) as git:
        try:
            yield git
        finally:
            git.kill()


def gone() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen(["true"]) as ended:
        pass
    return ended.pid


async def test_what_does_not_end_is_ended(project: Path) -> None:
    with git_of(gone(), project) as git:
        await end_orphans([project])
        assert git.poll() is not None


async def test_it_may_end_by_itself(project: Path) -> None:
    with git_of(gone(), project) as git:
        assert git.stdin is not None
        asyncio.get_running_loop().call_later(0.05, git.stdin.close)
        await end_orphans([project])
        assert git.wait() == 0


async def test_that_of_others_stays(project: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=elsewhere, check=True)
    with (
        git_of(os.getppid(), project) as alive,
        git_of(os.getpid(), project) as own,
        git_of(gone(), elsewhere) as other,
    ):
        await end_orphans([project])
        assert [each.poll() for each in (alive, own, other)] == [None, None, None]
