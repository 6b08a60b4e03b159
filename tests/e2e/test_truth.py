"""Git is right where the store differs, and nothing that a crash or a person did in between is overlooked."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import Workshop, epic, task, wait_for
from yokeflow.engine.people.control import request
from yokeflow.errors import ExitCode, UsageError
from yokeflow.hookspecs import hookimpl

if TYPE_CHECKING:
    from yokeflow.events import Event


async def test_a_landing_that_a_person_took_back_is_not_called_landed(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a")), epic("two", task("two.a"), depends_on=["one"]))
    await workshop.run()
    workshop.git("reset", "-q", "--hard", "HEAD~1")
    report = await workshop.run()
    assert report.exit_code is ExitCode.FAILED
    assert [(waiting.kind, waiting.item) for waiting in report.waiting] == [("taken_back", "two")]
    report = await workshop.run(land=("two",))
    assert report.exit_code is ExitCode.OK
    assert (workshop.root / "two.a.txt").exists()


@pytest.mark.parametrize("taken", [("reset", "--hard", "HEAD~1"), ("revert", "-m", "1", "--no-edit", "HEAD")])
async def test_what_a_person_took_back_during_the_run_is_not_reported_as_landed(
    workshop: Workshop, taken: tuple[str, ...]
) -> None:
    """Though what the person left landed after it: the same question as in the next run."""

    class Person:
        @hookimpl
        def on_event(self, event: Event) -> None:
            if (event.type, event.epic) == ("landing.landed", "one"):
                workshop.git(*taken)

    workshop.plan(
        epic("one", task("one.a")),
        epic("two", task("two.a", wait_for(workshop, "landing.landed", then="echo > b"))),
    )
    report = await workshop.run(plugins=[Person()])
    assert (report.exit_code, [each.epic for each in report.landed]) == (ExitCode.FAILED, ["two"])
    assert [(waiting.kind, waiting.item) for waiting in report.waiting] == [("taken_back", "one")]
    again = await workshop.run()
    assert ([each.item for each in again.waiting], again.landed) == (["one"], ())
    assert not (workshop.root / "one.a.txt").exists()
    report = await workshop.run(land=("one",))
    assert (report.exit_code, [each.epic for each in report.landed]) == (ExitCode.OK, ["one"])
    assert (workshop.root / "one.a.txt").exists()


async def test_another_repository_at_the_same_place_starts_from_nothing(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a"), task("one.b")))
    await workshop.run()
    shutil.rmtree(workshop.root / ".git")
    (workshop.root / "one.a.txt").unlink()
    (workshop.root / "one.b.txt").unlink()
    workshop.git("init", "-q", "-b", "main")
    workshop.git("config", "user.name", "A Person")
    workshop.git("config", "user.email", "person@example.org")
    workshop.commit("Another start")
    report = await workshop.run()
    assert (report.exit_code, set(report.completed)) == (ExitCode.OK, {"one.a", "one.b"})
    assert "one.b.txt" in workshop.git("ls-tree", "--name-only", "main")


async def test_a_landing_is_tried_again_once_the_checkout_is_out_of_its_way(workshop: Workshop) -> None:
    workshop.write("one.a.txt", "mine\n")
    workshop.plan(epic("one", task("one.a")))
    assert [waiting.kind for waiting in (await workshop.run()).waiting] == ["checkout"]
    (workshop.root / "one.a.txt").unlink()
    report = await workshop.run()
    assert (report.exit_code, report.waiting) == (ExitCode.OK, ())


@pytest.mark.parametrize("strategy", ["merge", "squash"])
async def test_a_plan_that_grows_after_its_epic_landed_lands_again(workshop: Workshop, strategy: str) -> None:
    workshop.config(parallel={"merge_strategy": strategy})
    workshop.plan(epic("one", task("one.a")))
    await workshop.run()
    workshop.plan(epic("one", task("one.a"), task("one.b")))
    report = await workshop.run()
    assert (report.exit_code, [landed.epic for landed in report.landed]) == (ExitCode.OK, ["one"])
    assert (workshop.root / "one.b.txt").exists()
    workshop.assert_tidy()


PLUGIN = """
import os
from pathlib import Path
from yokeflow.hookspecs import hookimpl

@hookimpl
def on_event(event):
    flag = Path(os.environ["DIE_ONCE"])
    if event.type == "task.completed" and not flag.exists():
        flag.touch()
        os._exit(9)
"""


@pytest.mark.parametrize("strategy", ["merge", "squash"])
async def test_death_between_completion_and_landing_lands_once(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    (tmp_path / "dying_plugin.py").write_text(PLUGIN)
    environment = {
        **os.environ,
        "PYTHONPATH": str(tmp_path),
        "YOKE_PLUGINS": "dying_plugin",
        "DIE_ONCE": str(tmp_path / "died"),
    }
    workshop.config(parallel={"merge_strategy": strategy})
    workshop.plan(epic("one", task("one.a")))
    assert workshop.yoke("run", env=environment).returncode == 9
    assert workshop.git("log", "--format=%s", "main") == "Start"
    for _ in range(2):
        assert (await workshop.run()).exit_code is ExitCode.OK
    assert workshop.git("log", "--first-parent", "--format=%s", "main").splitlines() == [
        "Land one: Epic one",
        "Start",
    ]
    assert [(entry["epic"], entry["status"]) for entry in (await workshop.status())["landings"]] == [
        ("one", "landed")
    ]
    workshop.assert_tidy()


async def test_an_agent_may_take_in_what_landed_meanwhile(workshop: Workshop) -> None:
    """Only commits that the agent made itself count as its own: others' landings stay on the target."""
    wait = "until git cat-file -e main:a.1.txt 2>/dev/null; do sleep 0.05; done"
    workshop.plan(
        epic("a", task("a.1")),
        epic("b", task("b.1", f"{wait}; git merge -q main; cp a.1.txt b.1.txt", timeout="30s")),
    )
    report = await workshop.run()
    assert (report.exit_code, len(report.landed)) == (ExitCode.OK, 2)
    assert (workshop.root / "a.1.txt").exists()
    assert (workshop.root / "b.1.txt").read_text() == "a.1\n"


async def test_conflict_markers_do_not_pass_for_work(workshop: Workshop) -> None:
    merge = (
        "git checkout -q -b side; echo side > f; git add f; git commit -qm side; git checkout -q epic/one; "
        "echo main > f; git add f; git commit -qm main; git merge side || true"
    )
    workshop.config(agents={"max_attempts": 1})
    workshop.plan(epic("one", task("one.a", merge)))
    report = await workshop.run()
    assert report.failed == {"one.a": "the agent left a merge unfinished, with conflicts in f"}


async def test_an_epic_branch_that_is_in_use_elsewhere_holds_up_that_epic_alone(workshop: Workshop) -> None:
    workshop.git("branch", "epic/one")
    workshop.git("worktree", "add", "-q", str(workshop.root.parent / "mine"), "epic/one")
    workshop.plan(epic("one", task("one.a")), epic("two", task("two.a")))
    report = await workshop.run()
    assert [(waiting.kind, waiting.item) for waiting in report.waiting] == [("worktree", "one.a")]
    assert [landed.epic for landed in report.landed] == ["two"]


async def test_work_of_an_earlier_run_is_handed_over(workshop: Workshop) -> None:
    """What was finished before is no longer to be done, but those who depend on it still need it."""
    workshop.plan(
        epic("one", task("one.a"), task("one.b", "exit 1"), task("one.c")),
        epic("two", task("two.a", "cat one.a.txt > two.a.txt", depends_on=["one.a"])),
        epic("three", task("three.a", "cat one.c.txt > three.a.txt", depends_on=["one.b", "one.c"])),
    )
    workshop.config(agents={"max_attempts": 1})
    await workshop.run(tasks=("one.a", "one.b", "one.c"))
    report = await workshop.run(tasks=("two.a",))
    assert report.completed == ("two.a",)
    project = await workshop.project()
    await request(project, project.load_plan(), "skip", "one.b")
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    assert (workshop.root / "three.a.txt").read_text() == "one.c\n"


async def test_a_branch_in_the_way_is_told_before_anything_starts(workshop: Workshop) -> None:
    workshop.git("branch", "epic")
    workshop.plan(epic("one", task("one.a")))
    with pytest.raises(UsageError, match="epic and epic/one side by side") as caught:
        await workshop.run()
    assert "branch_prefix" in caught.value.hint


async def test_a_file_where_worktrees_go_is_told_before_anything_starts(workshop: Workshop) -> None:
    workshop.config(parallel={"worktree_dir": "README.md"})
    workshop.plan(epic("one", task("one.a")))
    with pytest.raises(UsageError, match="is a file"):
        await workshop.run()
