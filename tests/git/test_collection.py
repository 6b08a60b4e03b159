"""No garbage is collected while a run goes on."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from typing import TYPE_CHECKING

from tests.git.conftest import run
from yokeflow.git import collection
from yokeflow.git.collection import no_collection

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from yokeflow.git.repo import Repo


def gc(project: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", "gc", "--prune=now"], cwd=project, capture_output=True, text=True, check=False
    )


async def test_git_begins_none_until_the_end(repo: Repo, project: Path) -> None:
    loose = run(project, "hash-object", "-w", "--stdin", stdin="new")
    async with no_collection(repo):
        refused = gc(project)
        assert refused.returncode
        assert "gc is already running" in refused.stderr
        assert run(project, "cat-file", "-p", loose) == "new"
    assert gc(project).returncode == 0
    assert not (project / ".git/gc.pid").exists()


async def test_what_a_killed_run_left_is_nobodys(repo: Repo, project: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    (project / ".git/gc.pid").write_text(f"{ended.pid} {socket.gethostname()}")
    async with no_collection(repo):
        assert gc(project).returncode
    assert not (project / ".git/gc.pid").exists()


async def test_one_that_is_going_on_is_left_alone_and_followed(
    repo: Repo, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "_SOON", 0.01)
    file = project / ".git/gc.pid"
    theirs = f"{os.getppid()} {socket.gethostname()}"
    file.write_text(theirs)
    async with no_collection(repo):
        assert file.read_text() == theirs
        file.unlink()
        while not file.exists():
            await asyncio.sleep(0.01)
        assert gc(project).returncode
    assert not file.exists()
