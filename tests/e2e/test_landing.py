"""Landing: what was tested reaches the target, and nothing else does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.e2e.conftest import Workshop, epic, task, wait_for
from yokeflow.errors import ExitCode
from yokeflow.hookspecs import hookimpl

if TYPE_CHECKING:
    from yokeflow.events import Event


async def test_a_conflict_waits_with_its_branch_intact_and_others_go_on(workshop: Workshop) -> None:
    workshop.plan(
        epic("one", task("one.a", "echo one > same.txt")),
        epic("two", task("two.a", "echo two > same.txt")),
        epic("other", task("other.a")),
    )
    report = await workshop.run()
    assert report.exit_code is ExitCode.FAILED
    (conflict,) = report.waiting
    assert (conflict.kind, "same.txt" in conflict.reason) == ("conflict", True)
    assert len(report.landed) == 2
    assert f"epic/{conflict.item}" in workshop.branches()
    landings = {entry["epic"]: entry["status"] for entry in (await workshop.status())["landings"]}
    assert landings[conflict.item] == "conflict"


async def test_a_conflict_resolved_by_hand_lands_when_asked(workshop: Workshop) -> None:
    workshop.plan(
        epic("one", task("one.a", "echo one > same.txt")), epic("two", task("two.a", "echo two > same.txt"))
    )
    (conflict,) = (await workshop.run()).waiting
    folder = workshop.root / ".worktrees" / conflict.item
    workshop.git("merge", "-q", "-X", "ours", "main", cwd=folder)
    report = await workshop.run(land=(conflict.item,))
    assert (report.exit_code, report.waiting) == (ExitCode.OK, ())
    assert not (await workshop.status())["interventions"]
    workshop.assert_tidy()


async def test_who_is_not_asked_for_goes_on_waiting_for_a_person(workshop: Workshop) -> None:
    """Though the target has moved, which makes a landing worth another try."""
    names = ("one", "two", "three")
    workshop.plan(*(epic(name, task(f"{name}.a", f"echo {name} > same.txt")) for name in names))
    waits, *others = (await workshop.run()).waiting
    workshop.write("mine.txt", "mine\n")
    workshop.commit("Mine")
    report = await workshop.run(land=(waits.item,))
    assert {each.item for each in report.waiting} == {waits.item, *(each.item for each in others)}


async def test_another_target_than_before_is_told(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a")))
    await workshop.run()
    workshop.git("switch", "-q", "-c", "side")
    workshop.plan(epic("one", task("one.a")), epic("two", task("two.a")))
    await workshop.run()
    (warning,) = workshop.of("warning.raised")
    assert "epics land on side, which is checked out; until now they landed on main" in warning["reason"]
    assert "git switch main" in warning["hint"]


async def test_green_alone_but_red_together_does_not_land(workshop: Workshop) -> None:
    """Each epic passes by itself; the merged tree does not, and is refused."""
    workshop.config(checks={"landing": ["test $(ls | grep -c part) -le 1"]})
    workshop.plan(epic("one", task("one.a", "echo 1 > part1")), epic("two", task("two.a", "echo 2 > part2")))
    report = await workshop.run()
    assert len(report.landed) == 1
    assert [waiting.kind for waiting in report.waiting] == ["red_check"]
    assert workshop.git("ls-tree", "--name-only", "main").count("part") == 1


async def test_checks_run_on_exactly_the_merged_tree(workshop: Workshop) -> None:
    seen = workshop.root.parent / "trees"
    workshop.config(checks={"landing": [f"git rev-parse HEAD^{{tree}} >> {seen}"]})
    workshop.plan(epic("one", task("one.a")), epic("two", task("two.a")))
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    landed = [workshop.git("rev-parse", f"{entry.commit}^{{tree}}") for entry in report.landed]
    assert seen.read_text().split() == landed


async def test_evidence_is_reused_on_the_same_tree(workshop: Workshop) -> None:
    """The first landing is tested and then finds something in its way; the second need not test again."""
    workshop.write("one.a.txt", "mine\n")
    workshop.plan(epic("one", task("one.a", verify=["test -e one.a.txt"])))
    await workshop.run()
    (workshop.root / "one.a.txt").unlink()
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    assert [check["reused"] for check in workshop.of("check.finished")] == [True]


async def test_only_what_has_landed_is_kept_as_landed(workshop: Workshop) -> None:
    """What is kept so counts as being on the target; a landing that was refused is not."""
    workshop.config(parallel={"merge_strategy": "squash"})
    workshop.write("one.a.txt", "mine\n")
    workshop.plan(epic("one", task("one.a")))
    assert [waiting.kind for waiting in (await workshop.run()).waiting] == ["checkout"]
    assert not workshop.git("for-each-ref", "refs/yoke/keep/squashed/")
    (workshop.root / "one.a.txt").unlink()
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert workshop.git("for-each-ref", "refs/yoke/keep/squashed/one")
    workshop.assert_tidy()


async def test_a_check_sees_nothing_that_another_changed(workshop: Workshop) -> None:
    workshop.config(
        checks={"task": ["sed -i s/bad/good/ one.a.txt", "grep -q good one.a.txt"]},
        agents={"max_attempts": 1},
    )
    workshop.plan(epic("one", task("one.a", "echo bad > one.a.txt")))
    report = await workshop.run()
    assert "check `grep -q good one.a.txt` failed" in report.failed["one.a"]


async def test_files_that_git_ignores_do_not_help_a_landing(workshop: Workshop) -> None:
    workshop.write(".gitignore", "plan.yaml\n.yokeflow.yaml\n*.built\n")
    workshop.commit("Ignore what is built")
    workshop.plan(epic("one", task("one.a", "echo a > a; echo x > x.built", verify=["test -e x.built"])))
    report = await workshop.run()
    assert (report.completed, [waiting.kind for waiting in report.waiting]) == (("one.a",), ["red_check"])


async def test_squashed_epics_build_on_each_other(workshop: Workshop) -> None:
    """A squash drops the history by which git sees that one change of a file was built on another."""
    workshop.config(parallel={"merge_strategy": "squash", "max_concurrency": 4})
    workshop.plan(
        epic("a", task("a.1", "seq 9 > f"), task("a.2", "sleep 1; sed -i s/2/two/ f")),
        epic("b", task("b.1", "sed -i s/8/eight/ f", depends_on=["a.1"])),
        epic("c", task("c.1", "sed -i s/4/four/ f", depends_on=["a", "b.1"]), task("c.2", depends_on=["b"])),
    )
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, report
    assert workshop.git("show", "main:f").split() == ["1", "two", "3", "four", "5", "6", "7", "eight", "9"]
    assert workshop.git("rev-list", "--count", "main") == "4"
    workshop.assert_tidy()


async def test_work_from_before_a_squash_does_not_remove_what_that_squash_had(
    workshop: Workshop,
) -> None:
    """c takes in work of b, which knows a part of a only, once all of a has landed."""
    workshop.config(parallel={"merge_strategy": "squash", "max_concurrency": 4})
    workshop.plan(
        epic("a", task("a.1"), task("a.2", after(workshop, "b.1", "task.completed", "echo g > g"))),
        epic(
            "b",
            task("b.1", depends_on=["a.1"]),
            task("b.2", after(workshop, "c.2", "task.completed", "echo b > b"), depends_on=["b.1"]),
        ),
        epic(
            "c",
            task("c.1", after(workshop, "a", "landing.landed", "echo c > c"), priority=0),
            task("c.2", depends_on=["b.1", "c.1"]),
        ),
    )
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, report
    assert workshop.git("show", "main:g") == "g"
    workshop.assert_tidy()


async def test_what_started_after_a_squash_takes_in_work_from_before_it(workshop: Workshop) -> None:
    workshop.config(parallel={"merge_strategy": "squash", "max_concurrency": 4})
    workshop.plan(
        epic(
            "a", task("a.1", "echo 1 > f"), task("a.2", after(workshop, "b.1", "task.completed", "echo > g"))
        ),
        epic(
            "b",
            task("b.1", "echo b >> f", depends_on=["a.1"]),
            task("b.2", after(workshop, "c.1", "task.completed", "echo b > b"), depends_on=["b.1"]),
        ),
        epic("gate", task("gate.1", after(workshop, "a", "landing.landed", "echo > gate"), priority=0)),
        epic("c", task("c.1", "echo c >> f", depends_on=["gate.1", "b.1"])),
    )
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, report
    assert workshop.git("show", "main:f").split() == ["1", "b", "c"]
    workshop.assert_tidy()


def after(workshop: Workshop, item: str, type_: str, then: str) -> str:
    """A command that waits until something is known of a task or an epic."""
    kind = "epic" if type_.startswith("landing") else "task"
    return wait_for(workshop, f'"{type_}".*"{kind}":"{item}"', then=then)


async def test_unrelated_edits_in_the_checkout_survive(workshop: Workshop) -> None:
    workshop.write("README.md", "# My own edit\n")
    workshop.write("notes.txt", "untracked\n")
    workshop.plan(epic("one", task("one.a")))
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    assert (workshop.root / "one.a.txt").exists()
    assert workshop.git("status", "--porcelain").splitlines() == [" M README.md", "?? notes.txt"]


async def test_a_checkout_in_the_way_is_left_alone_and_the_landing_waits(workshop: Workshop) -> None:
    workshop.write("one.a.txt", "mine\n")
    workshop.plan(epic("one", task("one.a")))
    before = workshop.git("rev-parse", "main")
    report = await workshop.run()
    assert [waiting.kind for waiting in report.waiting] == ["checkout"]
    assert "one.a.txt" in report.waiting[0].reason
    assert (workshop.root / "one.a.txt").read_text() == "mine\n"
    assert workshop.git("rev-parse", "main") == before
    (workshop.root / "one.a.txt").unlink()
    assert (await workshop.run(land=("one",))).exit_code is ExitCode.OK


async def test_a_landing_that_a_person_takes_back_in_mid_run_does_not_come_back(workshop: Workshop) -> None:
    """An epic that was built on it would bring it along."""
    # The hooks of a session would refuse it.
    reset = f"env -u YOKE_SESSION git -C {workshop.root} reset -q --hard HEAD~1"
    reset += f" && test ! -e {workshop.root}/low.a.txt && echo b > b.txt"
    workshop.config(agents={"pass_env": ["GIT_*"]})
    taken_back = task("high.b", after(workshop, "low", "landing.landed", reset))
    workshop.plan(epic("low", task("low.a")), epic("high", task("high.a", depends_on=["low.a"]), taken_back))
    report = await workshop.run()
    assert [(waiting.item, waiting.kind) for waiting in report.waiting] == [
        ("high", "checkout"),
        ("low", "taken_back"),
    ]
    assert "taken back to before low landed" in report.waiting[0].reason
    assert report.landed == ()
    assert workshop.git("log", "--format=%s", "main") == "Start"


async def test_a_landing_that_a_person_takes_back_at_once_does_not_come_back(workshop: Workshop) -> None:
    """Before anybody has looked at the target again."""

    class Person:
        @hookimpl
        def on_event(self, event: Event) -> None:
            if (event.type, event.epic) == ("landing.landed", "low"):
                workshop.git("reset", "-q", "--hard", "HEAD~1")

    workshop.plan(epic("low", task("low.a")), epic("high", task("high.a", depends_on=["low.a"])))
    report = await workshop.run(plugins=[Person()])
    kinds = {waiting.item: waiting.kind for waiting in report.waiting}
    assert (kinds, report.landed) == ({"high": "checkout", "low": "taken_back"}, ())
    assert workshop.git("log", "--format=%s", "main") == "Start"


async def test_a_person_commits_to_the_target_in_mid_run(workshop: Workshop) -> None:
    """The commit comes while the landing checks run: the landing starts anew on top of it."""
    commit = "echo mine > mine.txt && git add mine.txt && git commit -qm mine"
    commit = f"cd {workshop.root} && test -e mine.txt || ({commit})"
    workshop.config(checks={"landing": [commit]}, agents={"pass_env": ["GIT_*"]})
    workshop.plan(epic("one", task("one.a")))
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    assert workshop.git("log", "--first-parent", "--format=%s", "main").splitlines() == [
        "Land one: Epic one",
        "mine",
        "Start",
    ]
    assert len(workshop.of("landing.testing")) == 2


async def test_target_that_is_not_checked_out_moves_too(workshop: Workshop) -> None:
    workshop.git("branch", "release")
    workshop.config(project={"target": "release"})
    workshop.plan(epic("one", task("one.a")))
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    assert "one.a.txt" in workshop.git("ls-tree", "--name-only", "release")
    assert not (workshop.root / "one.a.txt").exists()


async def test_a_landing_that_stops_in_the_middle_leaves_the_checkout_as_it_was(workshop: Workshop) -> None:
    """As with a full disk: some files of the user's checkout would be new, some old."""
    broken = workshop.root.parent / "broken"
    workshop.git("config", "filter.picky.smudge", f"if test -e {broken}; then exit 1; else cat; fi")
    workshop.git("config", "filter.picky.clean", "cat")
    workshop.git("config", "filter.picky.required", "true")
    workshop.write(".gitattributes", "*.picky filter=picky\n")
    workshop.commit("Filter")
    workshop.config(checks={"landing": [f"touch {broken}"]})
    workshop.plan(epic("one", task("one.a", "echo a > a.txt; echo b > b.picky; echo c > c.txt")))
    report = await workshop.run()
    assert [waiting.kind for waiting in report.waiting] == ["checkout"]
    assert workshop.git("status", "--porcelain") == ""
    assert not (workshop.root / "a.txt").exists()
    broken.unlink()
    workshop.config(checks={"landing": ["true"]})
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert workshop.git("status", "--porcelain") == ""
    assert (workshop.root / "b.picky").read_text() == "b\n"
    assert [entry["status"] for entry in (await workshop.status())["landings"]] == ["landed"]
    workshop.assert_tidy()
