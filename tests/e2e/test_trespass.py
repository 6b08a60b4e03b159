"""What reaches the target is tested, wherever the repository keeps its folder and whoever moves branches."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.engine.people.control import request
from yokeflow.errors import ExitCode

IGNORED = "plan.yaml\n.yokeflow.yaml\n"
#: Git as an agent runs it that goes round the hook of its session, and as a person does.
PAST, PERSON = "git -c core.hooksPath=/dev/null", "env -u YOKE_SESSION git"


async def test_landing_reaches_a_checkout_whose_git_folder_is_elsewhere(
    workshop: Workshop, tmp_path: Path
) -> None:
    root, folder = tmp_path / "checkout", tmp_path / "folder"
    workshop.git("init", "-q", "--separate-git-dir", str(folder), "-b", "main", str(root))
    shop = Workshop(root)
    (folder / "info").mkdir(exist_ok=True)
    (folder / "info/exclude").write_text(IGNORED)
    shop.config()
    shop.write("README.md", "here")
    shop.commit("Start")
    shop.plan(epic("one", task("one.a")))
    assert (await shop.run()).exit_code is ExitCode.OK
    assert (root / "one.a.txt").exists()
    assert not (folder / "one.a.txt").exists()
    assert shop.git("status", "--porcelain") == ""


async def test_landing_reaches_the_checkout_of_a_submodule(workshop: Workshop, tmp_path: Path) -> None:
    library = Workshop(tmp_path / "library")
    workshop.git("init", "-q", "-b", "main", str(library.root))
    library.write("library.txt", "here")
    library.commit("Start")
    workshop.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library.root), "lib")
    workshop.commit("Add a library")
    (workshop.root / ".git/modules/lib/info/exclude").write_text(IGNORED)
    shop = Workshop(workshop.root / "lib")
    shop.config()
    shop.plan(epic("one", task("one.a")))
    assert (await shop.run()).exit_code is ExitCode.OK
    assert shop.git("status", "--porcelain") == ""
    assert (shop.root / "one.a.txt").exists()


async def test_an_agent_that_moves_the_target_itself_gains_nothing(workshop: Workshop) -> None:
    workshop.config(checks={"landing": ["test ! -e x"]}, agents={"max_attempts": 1})
    move = f"echo x > x; git add x; git commit -qm x; {PAST} update-ref refs/heads/main HEAD"
    workshop.plan(epic("one", task("one.a", move)))
    before = workshop.git("rev-parse", "main")
    report = await workshop.run()
    assert report.failed == {"one.a": "the agent moved main, where only tested work may land"}
    assert workshop.git("rev-parse", "main") == before
    assert workshop.git("status", "--porcelain") == ""


@pytest.mark.parametrize(
    "way",
    [
        "git rebase -q main",
        "git merge -q --no-edit main",
        "git format-patch -q --stdout -1 >../p; git reset -q --hard HEAD~1; git am -q ../p",
    ],
)
async def test_other_ways_to_make_a_commit_gain_an_agent_nothing_either(workshop: Workshop, way: str) -> None:
    """The target has moved since the lane began, and git notes a rebase, a merge or a patch, no commit."""
    workshop.config(checks={"landing": ["test ! -e x"]}, agents={"max_attempts": 1})
    landed = f"while ! test -e {workshop.root}/low.a.txt; do sleep 0.05; done; sleep 0.2"
    move = f"echo x > x; git add x; git commit -qm x; {way}; {PAST} update-ref refs/heads/main HEAD"
    workshop.plan(epic("low", task("low.a")), epic("bad", task("bad.a", f"{landed}; {move}")))
    report = await workshop.run()
    assert report.failed == {"bad.a": "the agent moved main, where only tested work may land"}
    assert workshop.git("ls-tree", "--name-only", "main").split()[-1] == "low.a.txt"
    assert [entry.epic for entry in report.landed] == ["low"]


async def test_work_that_somebody_put_on_the_target_is_tested_before_it_counts(workshop: Workshop) -> None:
    """A person merges an epic by hand; it has landed only when the checks pass on what is there."""
    workshop.config(checks={"landing": ["test ! -e broken"]}, agents={"max_attempts": 1})
    workshop.plan(epic("one", task("one.a"), task("one.b", "test -e ../../go && echo b > b.txt")))
    await workshop.run()
    workshop.git("merge", "-q", "--no-ff", "-m", "By hand", "epic/one")
    (workshop.root / "broken").touch()
    (workshop.root / "go").touch()
    workshop.git("add", "broken")
    workshop.git("commit", "-qm", "Break")
    project = await workshop.project()
    await request(project, project.load_plan(), "skip", "one.b")
    report = await workshop.run()
    assert [waiting.kind for waiting in report.waiting] == ["red_check"]
    workshop.git("rm", "-q", "broken")
    workshop.git("commit", "-qm", "Mend")
    report = await workshop.run(land=("one",))
    assert (report.exit_code, [landed.epic for landed in report.landed]) == (ExitCode.OK, ["one"])
    assert report.landed[0].commit == workshop.git("rev-parse", "main")
    (workshop.root / "go").unlink()
    workshop.assert_tidy()


async def test_an_epic_of_skipped_tasks_lands_nothing_and_holds_nobody_up(workshop: Workshop) -> None:
    workshop.config(agents={"max_attempts": 1})
    workshop.plan(epic("one", task("one.a", "exit 1")), epic("two", task("two.a"), depends_on=["one"]))
    await workshop.run()
    project = await workshop.project()
    await request(project, project.load_plan(), "skip", "one.a")
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    assert [landed.epic for landed in report.landed] == ["two"]
    workshop.assert_tidy()


async def test_finished_work_lands_though_its_branch_was_removed(workshop: Workshop) -> None:
    workshop.write("one.a.txt", "in the way\n")
    workshop.plan(epic("one", task("one.a")))
    assert [waiting.kind for waiting in (await workshop.run()).waiting] == ["checkout"]
    workshop.git("worktree", "remove", "--force", ".worktrees/one")
    workshop.git("branch", "-D", "epic/one")
    (workshop.root / "one.a.txt").unlink()
    report = await workshop.run(land=("one",))
    assert report.exit_code is ExitCode.OK
    assert (workshop.root / "one.a.txt").read_text() == "one.a\n"


async def test_finished_work_that_was_taken_out_of_its_branch_is_missed(workshop: Workshop) -> None:
    workshop.write("one.a.txt", "in the way\n")
    workshop.plan(epic("one", task("one.a")))
    await workshop.run()
    workshop.git("reset", "-q", "--hard", "main", cwd=workshop.root / ".worktrees/one")
    (workshop.root / "one.a.txt").unlink()
    (waiting,) = (await workshop.run(land=("one",))).waiting
    assert "branch epic/one lacks the commits of one.a: `yoke retry one.a`" in waiting.reason


async def test_what_was_undone_does_not_stand_for_work_that_was_taken_out(workshop: Workshop) -> None:
    """The first form of the work is on the target, and so is what took it back."""
    workshop.plan(epic("one", task("one.a")))
    await workshop.run()
    assert workshop.yoke("undo", "--yes").returncode == 0
    workshop.write("one.a.txt", "in the way\n")
    await workshop.run()
    lane = workshop.root / ".worktrees/one"
    workshop.git("reset", "-q", "--hard", "main", cwd=lane)
    workshop.git("commit", "-q", "--allow-empty", "-m", "Something else", cwd=lane)
    (workshop.root / "one.a.txt").unlink()
    (waiting,) = (await workshop.run(land=("one",))).waiting
    assert "branch epic/one lacks the commits of one.a: `yoke retry one.a`" in waiting.reason
    assert workshop.of("task.rebased") == []


async def test_a_rebased_branch_is_known_by_its_trailers(workshop: Workshop) -> None:
    workshop.plan(
        epic("one", task("one.a", "echo one > same")), epic("two", task("two.a", "echo two > same"))
    )
    (conflict,) = (await workshop.run()).waiting
    folder = workshop.root / ".worktrees" / conflict.item
    workshop.git("rebase", "-q", "-X", "theirs", "main", cwd=folder)
    report = await workshop.run(land=(conflict.item,))
    assert report.exit_code is ExitCode.OK
    workshop.assert_tidy()


async def test_choices_of_interventions_can_all_be_taken(workshop: Workshop) -> None:
    workshop.plan(*(epic(name, task(f"{name}.a", f"echo {name} > same")) for name in ("one", "two")))
    (conflict,) = (await workshop.run()).waiting
    assert conflict.choices == ("land",)


async def test_messages_are_utf_8_whatever_the_project_encodes(workshop: Workshop) -> None:
    workshop.git("config", "i18n.commitEncoding", "ISO-8859-1")
    workshop.plan(epic("one", task("one.a", title="Größe")))
    await workshop.run()
    workshop.git("config", "--unset", "i18n.commitEncoding")
    assert workshop.git("log", "-1", "--format=%s", "main^2") == "Größe"


async def test_an_agent_that_turns_the_target_away_from_a_landing_gains_nothing(workshop: Workshop) -> None:
    """Its branch is older than what landed meanwhile: setting the target to it would lose that landing."""
    workshop.config(agents={"max_attempts": 1})
    landed = "git log --format=%s main | grep -q Land"
    wait = f"until {landed}; do sleep 0.05; done"
    move = f"{wait}; echo x > x; git add x; git commit -qm x; {PAST} update-ref refs/heads/main HEAD"
    workshop.plan(epic("good", task("good.a")), epic("bad", task("bad.a", move)))
    report = await workshop.run()
    assert report.failed == {"bad.a": "the agent moved main, where only tested work may land"}
    assert workshop.git("log", "-1", "--format=%s", "main") == "Land good: Epic good"
    assert workshop.git("status", "--porcelain") == ""


async def test_an_agent_that_merges_in_the_checkout_itself_gains_nothing(workshop: Workshop) -> None:
    workshop.config(agents={"max_attempts": 1})
    merge = (
        f"echo x > x; git add x; git commit -qm x; {PAST} -C ../.. merge -q --ff-only $(git rev-parse HEAD)"
    )
    workshop.plan(epic("one", task("one.a", merge)))
    before = workshop.git("rev-parse", "main")
    workshop.write("README.md", "# Mine\n")
    workshop.git("add", "README.md")
    workshop.write("README.md", "# Mine too\n")
    report = await workshop.run()
    assert report.failed == {"one.a": "the agent moved main, where only tested work may land"}
    assert workshop.git("rev-parse", "main") == before
    assert workshop.git("status", "--porcelain") == "MM README.md"
    assert not (workshop.root / "x").exists()
    assert (workshop.root / "README.md").read_text() == "# Mine too\n"


async def test_what_one_agent_put_on_the_target_is_no_place_to_go_back_to_from_another(
    workshop: Workshop,
) -> None:
    workshop.config(agents={"max_attempts": 1})
    tip = "git rev-parse main"
    first = f"echo a > a; git add a; git commit -qm a; {PAST} update-ref refs/heads/main HEAD"
    first += f"; until test $({tip}) != $(git rev-parse HEAD); do sleep 0.05; done"
    second = f"old=$({tip}); until test $({tip}) != $old; do sleep 0.05; done"
    second += f"; echo b > b; git add b; git commit -qm b; {PAST} update-ref refs/heads/main HEAD"
    workshop.plan(epic("one", task("one.a", f"sleep 0.5; {first}")), epic("two", task("two.a", second)))
    before = workshop.git("rev-parse", "main")
    report = await workshop.run()
    assert report.failed == {"two.a": "the agent moved main, where only tested work may land"}
    landed = workshop.git("log", "--first-parent", "--format=%s", f"{before}..main").splitlines()
    assert landed == ["Land one: Epic one"]


async def test_a_run_that_is_killed_leaves_nothing_untested_on_the_target(workshop: Workshop) -> None:
    """What the agent brought there while nobody watched goes back at the next start."""
    kill = (
        'kill -9 $(sed \'s/.*"pid": *\\([0-9]*\\).*/\\1/\' "$(git rev-parse --git-common-dir)/yoke/run.lock")'
    )
    move = f"git add bad; git commit -qm bad; {PAST} update-ref refs/heads/main HEAD"
    bad = f"echo bad > bad; {move}; {kill}; sleep 600"
    workshop.plan(epic("one", task("one.a", f"test -e ../../go || {{ {bad}; }}; echo a > a.txt")))
    assert workshop.yoke("run").returncode == -9
    assert workshop.git("log", "-1", "--format=%s", "main") == "bad"
    (workshop.root / "go").touch()
    report = await workshop.run()
    (workshop.root / "go").unlink()
    assert report.exit_code is ExitCode.OK
    assert "bad" not in workshop.git("log", "--first-parent", "--format=%s", "main").splitlines()
    assert workshop.git("status", "--porcelain") == ""


async def test_a_person_who_brings_finished_work_to_the_target_is_left_alone(workshop: Workshop) -> None:
    """Also while another task of that lane is at work."""
    merge = f"{PERSON} -C ../.. merge -q --ff-only $(git rev-parse HEAD)"
    workshop.plan(epic("one", task("one.a"), task("one.b", f"{merge}; echo b > b.txt", depends_on=["one.a"])))
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, report.failed
    assert workshop.git("log", "--format=%s", "main").count("Do one.a") == 1


async def test_without_its_git_file_a_lane_does_not_pass_for_the_users_checkout(workshop: Workshop) -> None:
    """What a person commits meanwhile is not the agent's."""
    person = f"cd ../..; echo p > p; git add p; {PERSON} commit -qm person"
    workshop.config(agents={"max_attempts": 1})
    workshop.plan(epic("one", task("one.a", f"echo a > a; rm .git; {person}")))
    await workshop.run()
    assert "person" in workshop.git("log", "--format=%s", "main").splitlines()


async def test_nothing_lands_on_what_an_agent_put_on_the_target(workshop: Workshop) -> None:
    """It goes back before a landing builds on it, while the agent is still at work."""
    workshop.config(agents={"max_attempts": 1})
    move = (
        f"echo x > x; git add x; git commit -qm x; {PAST} update-ref refs/heads/main HEAD; touch ../../moved"
    )
    wait = "until {}; do sleep 0.05; done"
    landed = "git log --format=%s main | grep -q Land"
    workshop.plan(
        epic("bad", task("bad.a", f"{move}; {wait.format(landed)}")),
        epic("good", task("good.a", f"{wait.format('test -e ../../moved')}; echo a > a.txt")),
    )
    report = await workshop.run()
    (workshop.root / "moved").unlink()
    assert report.failed == {"bad.a": "the agent moved main, where only tested work may land"}
    assert workshop.git("log", "--format=%s", "--first-parent", "main").splitlines() == [
        "Land good: Epic good",
        "Start",
    ]
    assert workshop.git("ls-tree", "--name-only", "main").split() == [".gitignore", "README.md", "a.txt"]
    assert workshop.git("status", "--porcelain") == ""


async def test_a_persons_checkout_of_an_epics_branch_is_left_as_it_is(workshop: Workshop) -> None:
    """Lanes of single tasks join their work into a branch that no worktree of ours is on."""
    workshop.config(parallel={"strategy": "by_task"}, agents={"max_attempts": 1})
    switch = f"git -C {workshop.root} switch -q epic/one && echo b > b.txt"
    workshop.plan(epic("one", task("one.a"), task("one.b", switch, depends_on=["one.a"])))
    report = await workshop.run()
    assert "is checked out at" in report.failed["one.b"]
    assert workshop.git("status", "--porcelain") == ""
    workshop.git("switch", "-q", "main")
    assert workshop.yoke("retry", "one.b").returncode == 0
    stay = f"git -C {workshop.root} switch -q --detach epic/one; git -C {workshop.root} switch -q epic/one"
    workshop.config(checks={"landing": [stay]}, parallel={"strategy": "by_task"})
    workshop.plan(epic("one", task("one.a"), task("one.b", "echo b > b.txt", depends_on=["one.a"])))
    report = await workshop.run()
    assert [entry.epic for entry in report.landed] == ["one"]
    assert workshop.git("symbolic-ref", "--short", "HEAD") == "epic/one"
    assert workshop.git("status", "--porcelain") == ""


async def test_a_guard_whose_git_fails_leaves_it_to_the_next_run(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk. A session that was over would be looked at no more, and its commit would land."""
    real = shutil.which("git")
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(
        f'#!/bin/sh\ncase "$*" in *"take back"*) test -e {tmp_path}/go || exit 1 ;; esac\nexec {real} "$@"\n'
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    start = workshop.git("rev-parse", "main")
    move = f"echo x > x; git add x; git commit -qm x; {PAST} update-ref refs/heads/main HEAD"
    workshop.plan(epic("one", task("one.a", f"test -e {tmp_path}/go || {{ {move}; }}; echo a > a.txt")))
    report = await workshop.run()
    assert (report.exit_code, report.state) == (ExitCode.FAILED, "failed")
    assert "main may have what was not tested" in report.reason
    (tmp_path / "go").touch()
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert workshop.git("rev-parse", "main~1") == start
    workshop.assert_tidy()
