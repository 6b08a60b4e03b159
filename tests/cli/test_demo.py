"""The demo: a project with a valid plan, whose steps and checks really run."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from yokeflow.__main__ import main
from yokeflow.engine.demo import make_demo
from yokeflow.engine.project import Project
from yokeflow.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def git(folder: Path, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


async def test_the_project_has_a_clean_commit_and_a_valid_plan(tmp_path):
    folder = tmp_path / "some where" / "calc"
    await make_demo(folder)
    assert git(folder, "rev-list", "--count", "main") == "1"
    assert git(folder, "status", "--porcelain") == ""
    project = await Project.open(folder)
    plan = project.load_plan()
    assert len(plan.epics) >= 4
    assert len(plan.tasks) >= 12
    crossing = [
        edge
        for task in plan.tasks.values()
        for edge in (*task.depends_on, *plan.epic[task.epic].depends_on)
        if edge.predecessor in plan.epic or plan.tasks[edge.predecessor].epic != task.epic
    ]
    assert len(crossing) >= 3
    assert project.config.agents.default == "shell"
    assert project.config.landing_checks
    for task in plan.tasks.values():
        assert task.verify, task.id
        assert (folder / task.run.removeprefix("sh ")).is_file(), task.id


async def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(UsageError, match="is there already"):
        await make_demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


async def test_an_empty_folder_is_used(tmp_path):
    await make_demo(tmp_path)
    assert (tmp_path / "plan.yaml").is_file()


def test_making_it_says_how_to_go_on(tmp_path, capsys):
    folder = tmp_path / "calc"
    assert main(["demo", str(folder), "--no-run"]) == 0
    said = capsys.readouterr().out
    assert f"cd {folder}" in said
    assert "yoke run" in said


@pytest.mark.slow
def test_the_demo_lands_all_epics_and_the_result_works(tmp_path, monkeypatch, capsys, database_url):
    monkeypatch.setenv("YOKE_DATABASE_URL", database_url)
    folder = tmp_path / "calc"
    assert main(["demo", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "13 of 13 tasks, 4 of 4 epics landed" in said
    assert "cost     $0.00" in said
    report, _, advice = said.partition("What to type next")
    assert "yoke status" not in report
    assert advice.splitlines()[1].strip().startswith("cd ")
    epics = git(
        folder, "log", "main", "--first-parent", "--format=%(trailers:key=Yoke-Epic,valueonly,separator=)"
    )
    assert sorted(epics.split()) == ["app", "display", "history", "numbers"]
    calc = ["python3", "-m", "calc", "2 * (3 + 4)"]
    assert subprocess.run(calc, cwd=folder, capture_output=True, text=True, check=True).stdout == "14\n"
    assert git(folder, "status", "--porcelain") == ""
    monkeypatch.chdir(folder)
    assert main(["status"]) == 0
    assert "13 of 13 tasks done, 4 epics landed" in capsys.readouterr().out
    assert main(["show", "numbers.parse"]) == 0
    shown = capsys.readouterr().out
    assert "1. shell completed" in shown
    assert "cost $0.00" in shown
    assert "task: passed" in shown
    assert "Left to right within one level" in shown
    assert main(["attention"]) == 0
    assert capsys.readouterr().out == "Nothing waits for you.\n"
    assert main(["resume"]) == 2
    assert "nothing unfinished" in capsys.readouterr().err
