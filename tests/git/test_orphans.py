"""Git that outlived the YokeFlow that started it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

from yokeflow.git.orphans import end_orphans
from yokeflow.git.owner import own_name
from yokeflow.git.runner import STARTED_BY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

NAMES_ITSELF = "from yokeflow.git.owner import own_name; print(own_name(), flush=True); input()"


@contextmanager
def git_of(owner: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A git that waits for questions, as if somebody had started it."""
    env = {**os.environ, STARTED_BY: owner}
    with subprocess.Popen(["git", "cat-file", "--batch"], cwd=folder, env=env, stdin=subprocess.PIPE) as git:
        try:
            yield git
        finally:
            git.kill()


@contextmanager
def somebody() -> Iterator[str]:
    """The name of another process, which ends with the block."""
    command = [sys.executable, "-c", NAMES_ITSELF]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate("\n")


def gone() -> str:
    with somebody() as name:
        pass
    return name


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


async def test_it_may_end_just_before_it_is_told_to(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tell = psutil.Process.terminate

    def late(process: psutil.Process) -> None:
        git.kill()
        git.wait()
        tell(process)

    with git_of(gone(), project) as git:
        monkeypatch.setattr(psutil.Process, "terminate", late)
        await end_orphans([project])
        assert git.returncode == -signal.SIGKILL


async def test_that_of_others_stays(project: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=elsewhere, check=True)
    with (
        somebody() as other,
        git_of(other, project) as alive,
        git_of(own_name(), project) as own,
        git_of("?", project) as unknown,
        git_of(gone(), elsewhere) as away,
    ):
        await end_orphans([project])
        assert [each.poll() for each in (alive, own, unknown, away)] == [None, None, None, None]


async def test_a_number_that_another_process_got_is_not_its_first_owner(project: Path) -> None:
    with somebody() as other:
        before = re.sub(r"\(\d+", "(1", other)
        with git_of(before, project) as git:
            await end_orphans([project])
            assert git.poll() is not None


def test_a_fork_names_itself() -> None:
    code = """
import os
from yokeflow.git.runner import STARTED_BY, clean_environment
for _ in range(2):
    child = os.fork()
    os.write(1, f"{os.getpid()} {clean_environment()[STARTED_BY]}\\n".encode())
    if child:
        os.wait()
    else:
        os._exit(0)
"""
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    numbers = [line.split() for line in said.splitlines()]
    assert len({pid for pid, *_ in numbers}) == 3
    assert all(pid == named for pid, named, _ in numbers)
