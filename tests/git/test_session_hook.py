"""What the hook of sessions makes of git's own housekeeping."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.git.conftest import run
from yokeflow.engine.processes.environment import git_settings
from yokeflow.git.hooks import guard_refs, session_hooks

if TYPE_CHECKING:
    from pathlib import Path

    from yokeflow.git.repo import Repo

#: How many refs are packed, and how many of them were loose as well.
PACKED, LOOSE = 600, 5


@pytest.fixture
async def environment(repo: Repo) -> dict[str, str]:
    """That of a session, in a repository with hundreds of kept refs."""
    tip = run(repo.root, "rev-parse", "HEAD")
    refs = "".join(f"create refs/yoke/keep/{number:03} {tip}\n" for number in range(PACKED))
    run(repo.root, "update-ref", "--stdin", stdin=refs)
    run(repo.root, "pack-refs", "--all", "--prune")
    for number in range(LOOSE):
        file = repo.common_dir / f"refs/yoke/keep/{PACKED - 1 - number:03}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{tip}\n")
    guard_refs(repo, "main", "epic/", [])
    settings = git_settings(os.environ, await session_hooks(repo))
    return {**os.environ, **settings, "YOKE_SESSION": "s-1"}


def git(repo: Repo, environment: dict[str, str], *args: str) -> int:
    """The exit code of a session's git."""
    return subprocess.run(["git", *args], cwd=repo.root, env=environment, check=False).returncode


def loose(repo: Repo) -> int:
    return sum(path.is_file() for path in (repo.common_dir / "refs/yoke").rglob("*"))


@pytest.mark.parametrize("grep", [True, False], ids=["grep", "builtins"])
async def test_packing_hundreds_of_refs_goes_through_and_removing_one_does_not(
    repo: Repo, environment: dict[str, str], tmp_path: Path, *, grep: bool
) -> None:
    tools, calls = tmp_path / "tools", tmp_path / "calls"
    tools.mkdir()
    calls.touch()
    (tools / "git").symlink_to(str(shutil.which("git")))
    if grep:
        (tools / "grep").write_text(f'#!/bin/sh\necho "$0" >>{calls}\nexec {shutil.which("grep")} "$@"\n')
        (tools / "grep").chmod(0o755)
    environment["PATH"] = str(tools)
    assert loose(repo) == LOOSE
    assert git(repo, environment, "pack-refs", "--all", "--prune") == 0
    assert loose(repo) == 0
    # One for each, instead of a read for each byte of all that is packed.
    assert len(calls.read_text().splitlines()) == (LOOSE if grep else 0)
    assert git(repo, environment, "update-ref", "-d", "refs/yoke/keep/100") != 0
    assert len(run(repo.root, "for-each-ref", "refs/yoke/keep").splitlines()) == PACKED


async def test_a_person_in_a_shell_of_an_agents_goes_without_the_name_of_the_session(
    repo: Repo, environment: dict[str, str]
) -> None:
    made = ("update-ref", "refs/heads/main", run(repo.root, "commit-tree", "-m", "Mine", "HEAD^{tree}"))
    assert git(repo, environment, *made) != 0
    del environment["YOKE_SESSION"]
    assert git(repo, environment, *made) == 0
    assert git(repo, environment, "commit", "-q", "--allow-empty", "-m", "Mine, too") == 0
    assert git(repo, environment, "push", "-q", "--force", str(repo.root), "HEAD:refs/yoke/keep/mine") == 0
    assert run(repo.root, "log", "-1", "--format=%B") == "Mine, too"
