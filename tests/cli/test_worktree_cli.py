"""`yoke worktree`: list, clean, repair."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from yokeflow.__main__ import main
from yokeflow.engine.lock import hold_project, holder


def git(folder, *args):
    done = subprocess.run(["git", *args], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A repository with two epics' worktrees, one landed and one not."""
    root = tmp_path / "shop"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    git(root, "commit", "-q", "--allow-empty", "-m", "Start")
    for epic in ("auth", "cart"):
        git(root, "worktree", "add", "-q", "-b", f"epic/{epic}", f".worktrees/{epic}")
    git(root / ".worktrees" / "cart", "commit", "-q", "--allow-empty", "-m", "Work")
    monkeypatch.chdir(root)
    return root


def asked(capsys, *args):
    assert main(["worktree", *args, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_list_tells_lane_branch_and_state(root, capsys):
    found = asked(capsys, "list")
    assert [(one["lane"], one["branch"], one["broken"]) for one in found] == [
        ("auth", "epic/auth", ""),
        ("cart", "epic/cart", ""),
    ]
    shutil.rmtree(root / ".worktrees" / "auth")
    assert main(["worktree", "list"]) == 0
    told = capsys.readouterr().out
    assert "its folder is gone" in told
    assert "idle" in told


def test_clean_removes_what_landed_and_says_why_it_kept_the_rest(root, capsys):
    assert asked(capsys, "clean", "--dry-run")["removed"] == ["epic/auth"]
    assert (root / ".worktrees" / "auth").exists()
    assert main(["worktree", "clean"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "removed epic/auth",
        "kept epic/cart: 1 of its commits are not in main",
    ]
    assert not (root / ".worktrees" / "auth").exists()
    assert git(root, "branch", "--format=%(refname:short)").split() == ["epic/cart", "main"]


def test_repair_reports_each_thing_it_did(root, capsys):
    (root / ".worktrees" / "cart" / ".git").unlink()
    assert asked(capsys, "repair") == {"repaired": ["cart: its .git file is wrong: put right"]}
    assert asked(capsys, "repair") == {"repaired": []}


def test_what_a_run_had_no_time_to_delete_is_shown_and_deleted(root, capsys):
    trash = root / ".worktrees" / ".trash" / "queue-1234"
    trash.mkdir(parents=True)
    (trash / "file").touch()
    assert main(["worktree", "list"]) == 0
    assert "1 that were removed are still to be deleted" in capsys.readouterr().err
    git(root / ".worktrees" / "auth", "commit", "-q", "--allow-empty", "-m", "More")
    assert asked(capsys, "clean")["emptied"] == 1
    assert not trash.exists()


@pytest.mark.parametrize("name", ["clean", "repair"])
def test_a_run_that_is_going_on_is_not_disturbed(root, capsys, name):
    with hold_project(root / ".git" / "yoke" / "run.lock", "a run"):
        assert main(["worktree", name]) == 1
    assert "already going on" in capsys.readouterr().err


def test_outside_a_repository(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["worktree", "list"]) == 2
    assert "git init" in capsys.readouterr().err


@pytest.mark.parametrize("action", ["clean", "repair"])
def test_no_run_can_start_meanwhile(root, tmp_path, monkeypatch, action):
    real, folder = shutil.which("git"), tmp_path / "bin"
    folder.mkdir()
    lock, held = root / ".git" / "yoke" / "run.lock", tmp_path / "held"
    script = f'#!/bin/sh\n[ -e {lock} ] && ! flock -n {lock} true && echo "$@" >> {held}\nexec {real} "$@"\n'
    (folder / "git").write_text(script)
    (folder / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    (root / ".worktrees" / "auth" / "left").write_text("1")
    shutil.rmtree(root / ".git" / "worktrees" / "auth")
    assert main(["worktree", action]) == 0
    assert held.read_text()
    assert holder(lock) is None
