"""Locks that a killed git has left, and those that somebody's git still needs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.git.conftest import run
from yokeflow.git.shared_locks import free_shared_locks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from yokeflow.git.repo import Repo

NOBODY = 65534
LOOKS = """
import os
import sys
from pathlib import Path
from yokeflow.git import shared_locks
import psutil
if os.geteuid() == 0:
    os.setuid(int(sys.argv[3]))
git = psutil.Process(int(sys.argv[1]))
print([shared_locks._may_be_in(git, {Path("/nowhere")}, {int(owner)}) for owner in sys.argv[2:]])
"""


@pytest.fixture
def lock(project: Path) -> Path:
    path = project / ".git/packed-refs.lock"
    path.touch()
    return path


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yokeflow.git.shared_locks._PAUSES", (0.2, 0.05, 0.05))


@contextmanager
def git_of_a_person(folder: Path) -> Iterator[int]:
    """A git that waits for what to read, and is no child of ours; its number."""
    script = ["sh", "-c", "exec 3<&0; git hash-object --stdin <&3 & echo $!; wait"]
    with subprocess.Popen(
        script, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as shell:
        assert shell.stdout is not None
        number = int(shell.stdout.readline())
        try:
            yield number
        finally:
            psutil.Process(number).kill()
            shell.communicate()


async def test_what_nobody_needs_is_removed(repo: Repo, lock: Path) -> None:
    ref, head = repo.common_dir / "refs/heads/main.lock", repo.common_dir / "HEAD.lock"
    ref.touch()
    head.touch()
    assert [line.partition(":")[0] for line in await free_shared_locks(repo)] == [
        "HEAD.lock",
        "packed-refs.lock",
        "refs/heads/main.lock",
    ]
    assert not head.exists()
    assert not lock.exists()
    assert not ref.exists()
    assert await free_shared_locks(repo) == ()


@pytest.mark.parametrize("place", ["project", "feature"])
async def test_a_persons_git_keeps_its_locks(repo: Repo, lock: Path, tmp_path: Path, place: str) -> None:
    """Also in a worktree that lies elsewhere."""
    run(repo.root, "worktree", "add", "-q", str(tmp_path / "feature"))
    with git_of_a_person(tmp_path / place):
        assert await free_shared_locks(repo) == ()
    assert lock.exists()


async def test_git_in_another_repository_keeps_nothing(repo: Repo, lock: Path, tmp_path: Path) -> None:
    with git_of_a_person(tmp_path):
        assert len(await free_shared_locks(repo)) == 1
    assert not lock.exists()


async def test_a_lock_that_is_taken_anew_is_in_use(repo: Repo, lock: Path) -> None:
    """By a program that has git built in, which no list of processes tells."""

    def anew() -> None:
        lock.rename(lock.with_name("old"))
        lock.touch()

    asyncio.get_running_loop().call_later(0.05, anew)
    assert await free_shared_locks(repo) == ()
    assert lock.exists()


def test_git_of_another_user_counts_where_a_lock_is_that_users(tmp_path: Path) -> None:
    """Nobody may see where it works."""
    with git_of_a_person(tmp_path) as number:
        git = [str(number), str(os.geteuid()), str(NOBODY)]
        asked = subprocess.run(
            [sys.executable, "-c", LOOKS, *git], check=True, capture_output=True, text=True
        )
    assert asked.stdout.strip() == ("[True, False]" if os.geteuid() == 0 else "[False, False]")
