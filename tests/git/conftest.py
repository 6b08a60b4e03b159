"""Real repositories, copied from one that is made once."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from yokeflow.git.repo import Repo
from yokeflow.git.worktrees import Worktrees

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    #: `shell(folder, *arguments of git)` gives what git prints.
    Shell = Callable[..., str]


def run(folder: Path, *args: str, stdin: str = "", check: bool = True) -> str:
    done = subprocess.run(
        ["git", *args], cwd=folder, input=stdin, capture_output=True, encoding="utf-8", check=False
    )
    if check and done.returncode:
        raise AssertionError(f"git {args}: {done.stderr}")
    return done.stdout.strip()


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def commit(folder: Path, message: str, **files: str) -> str:
    """Commit files as somebody would by hand; `a__b` is the file `a/b`."""
    write(folder, {name.replace("__", "/"): text for name, text in files.items()})
    run(folder, "add", "-A")
    run(folder, "commit", "-q", "--allow-empty", "-m", message)
    return run(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template") / "project"
    folder.mkdir()
    run(folder, "init", "-q", "-b", "main")
    run(folder, "config", "user.name", "Ada")
    run(folder, "config", "user.email", "ada@example.com")
    write(folder, {"a.txt": "one\n", "b.txt": "two\n", "src/c.txt": "three\n", ".gitignore": "*.log\n"})
    commit(folder, "Start")
    run(folder, "config", "--remove-section", "user")
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    """A repository with one commit on main."""
    folder = tmp_path / "project"
    shutil.copytree(template, folder, symlinks=True)
    # The copies are new files to git's index.
    run(folder, "status")
    return folder


@pytest.fixture
async def repo(project: Path) -> Repo:
    return await Repo.discover(project)


@pytest.fixture
def trees(repo: Repo) -> Worktrees:
    return Worktrees(repo, repo.worktree_folder(".worktrees"))


@pytest.fixture
def git_only_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a `git` of one's own first on PATH: its script is the argument."""

    def install(script: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        program = folder / "git"
        program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    return install
