"""`yoke hooks` as it is typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def yoke(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "yokeflow", "hooks", *args]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", "Start"], cwd=folder, check=True)
    return folder


def test_the_whole_way_needs_no_store_and_no_plan(shop: Path) -> None:
    absent = yoke(shop, "status")
    assert (absent.returncode, absent.stdout) == (0, "The hooks are not installed.\n")
    done = yoke(shop, "install")
    assert (done.returncode, done.stdout) == (0, f"The hooks are in {shop}/.git/hooks.\n")
    there = yoke(shop, "status")
    assert there.returncode == 0
    assert there.stdout.count("installed") == 6
    gone = yoke(shop, "uninstall")
    assert (gone.returncode, gone.stdout) == (0, "The hooks are gone; yours are as they were.\n")
    assert json.loads(yoke(shop, "status", "--json").stdout)["installed"] is False


def test_what_is_wrong_is_told_with_its_remedy(shop: Path) -> None:
    yoke(shop, "install")
    (shop / ".git/hooks/post-commit").unlink()
    found = yoke(shop, "status")
    assert found.returncode == 1
    assert "missing" in found.stdout
    assert "yoke hooks install" in found.stderr
    told = yoke(shop, "status", "--json")
    assert told.returncode == 1
    assert json.loads(told.stdout)["remedy"] == "yoke hooks install"
    assert json.loads(yoke(shop, "install", "--json").stdout)["hooks"]["post-commit"] == "installed"


def test_tasks_of_the_plan_are_known_to_the_hook(shop: Path) -> None:
    plan = "epics: [{id: one, title: One, tasks: [{id: one.a, title: A, run: 'true'}]}]\n"
    (shop / "plan.yaml").write_text(plan)
    yoke(shop, "install")
    done = subprocess.run(
        ["git", "commit", "-q", "--allow-empty", "-m", "Do\n\nYoke-Task: one.x"],
        cwd=shop,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == "yoke: the plan has no task one.x\n"
