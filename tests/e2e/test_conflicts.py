"""Conflicts of finished epics: resolved by a person, by an agent, later, or by taking one side's lines."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.engine.people.control import request
from yokeflow.errors import DocumentError, ExitCode, LimitError
from yokeflow.hookspecs import hookimpl
from yokeflow.model import Attempt, Conflict, ConflictDecision

#: Git that goes round the hook of its session.
PAST = "git -c core.hooksPath=/dev/null"
#: Makes one file of both sides' lines.
BOTH = "sed -i -e '/^|||||||/,/^=======/d' -e '/^<<<<<<<\\|^>>>>>>>/d' same.txt"


def resolver(workshop: Workshop, script: str, **sections: Any) -> None:
    """Settings by which a script resolves conflicts."""
    options = {"fixer": {"kind": "command", "argv": ["sh", "-c", script]}}
    landing = {"conflicts": "agent", "conflict_agent": "fixer", **sections.pop("landing", {})}
    workshop.config(agents={"options": options}, landing=landing, **sections)


def two_epics(workshop: Workshop, **more: Any) -> None:
    """Both change the same line, the second after the first has landed."""
    workshop.write("same.txt", "start\n")
    workshop.commit()
    workshop.plan(
        epic("one", task("one.a", "echo one > same.txt; echo 1 > one.txt", priority=0, **more)),
        epic("two", task("two.a", "sleep 0.3; echo two > same.txt; echo 2 > two.txt", **more)),
    )


def trailers(workshop: Workshop, name: str) -> list[str]:
    return workshop.git("log", f"--format=%(trailers:key={name},valueonly)", "main").split()


def kept_of_conflict(workshop: Workshop) -> str:
    """The one ref that keeps what came of resolving."""
    (ref,) = workshop.git("for-each-ref", "--format=%(refname)", "refs/yoke/keep/conflict/two/").split()
    return ref


async def test_an_agent_makes_one_of_both_sides(workshop: Workshop) -> None:
    seen = workshop.root.parent / "prompt.md"
    resolver(workshop, f"cp $YOKE_PROMPT_FILE {seen}; {BOTH}")
    two_epics(workshop, verify=["test -s same.txt"], prompt="Make it good")
    report = await workshop.run()
    assert (report.exit_code, len(report.landed)) == (ExitCode.OK, 2), report
    assert sorted(workshop.git("show", "main:same.txt").split()) == ["one", "two"]
    (resolved,) = workshop.of("landing.resolved")
    assert (resolved["how"], resolved["files"]) == ("agent", ["same.txt"])
    assert workshop.git("rev-list", "--parents", "-1", resolved["commit"]).split()[1:] == [
        resolved["old_commit"],
        resolved["with_commit"],
    ]
    assert trailers(workshop, "Yoke-Resolves") == [resolved["with_commit"]]
    (asked,) = workshop.of("agent.asked")
    assert (asked["operation"], asked["session"]) == ("conflict", resolved["session"])
    types = workshop.types()
    assert types.index("agent.asking") < types.index("agent.asked")
    assert resolved["session"] in trailers(workshop, "Yoke-Session")
    prompt = seen.read_text()
    for told in ("CONFLICT (content)", "Do one.a", "Do two.a", "Make it good", "`test -s same.txt`"):
        assert told in prompt
    workshop.assert_tidy()
    assert not workshop.processes()
    before = await workshop.status()
    await workshop.run()
    after = await workshop.status()
    assert (after["items"], after["landings"]) == (before["items"], before["landings"])
    assert "store.rebuilt" not in workshop.types()


async def test_an_agent_that_lands_by_itself_has_not_resolved_anything(workshop: Workshop) -> None:
    resolver(workshop, f"{BOTH}; git add -A; git commit -qm both; {PAST} update-ref refs/heads/main HEAD")
    two_epics(workshop)
    (waiting,) = (await workshop.run()).waiting
    assert "the agent moved main, where only tested work may land" in waiting.reason
    assert workshop.git("show", "main:same.txt") == "one"


@pytest.mark.slow
async def test_more_files_conflict_than_a_command_line_takes(workshop: Workshop) -> None:
    folder = "/".join(letter * 240 for letter in "abcd")
    many = f"for n in $(seq 2300); do echo $YOKE_TASK > {folder}/$n; done"
    resolver(workshop, f"find . -name .git -prune -o -type f -exec {BOTH.replace('same.txt', '{}')} +")
    for number in range(1, 2301):
        workshop.write(f"{folder}/{number}", "start\n")
    workshop.commit()
    workshop.plan(
        epic("one", task("one.a", many, priority=0)), epic("two", task("two.a", f"sleep 0.5; {many}"))
    )
    report = await workshop.run()
    assert len(report.landed) == 2, report.waiting
    assert sorted(workshop.git("show", f"main:{folder}/2300").split()) == ["one.a", "two.a"]


async def test_one_agent_resolves_at_a_time(workshop: Workshop) -> None:
    """However many sessions there are at once."""
    busy, both = workshop.root.parent / "busy", workshop.root.parent / "both"
    take_both = BOTH.replace("same.txt", "x y")
    resolver(workshop, f"mkdir {busy} || touch {both}; sleep 1; {take_both}; rmdir {busy}")
    for name in ("x", "y"):
        workshop.write(name, "start\n")
    workshop.commit()
    late = [epic(f"two{name}", task(f"two{name}.a", f"sleep 0.5; echo 2 > {name}")) for name in ("x", "y")]
    workshop.plan(epic("one", task("one.a", "echo 1 > x; echo 1 > y", priority=0)), *late)
    await workshop.run()
    assert len(workshop.of("agent.asked")) >= 2
    assert not both.exists()


async def test_what_an_agent_made_of_approved_work_is_asked_about_again(workshop: Workshop) -> None:
    resolver(workshop, f"{BOTH}; echo sneaky > sneaky.txt")
    workshop.write("same.txt", "start\n")
    workshop.commit()
    second = {**epic("two", task("two.a", "sleep 0.3; echo two > same.txt")), "approve": "after"}
    workshop.plan(epic("one", task("one.a", "echo one > same.txt", priority=0)), second)
    (first,) = (await workshop.run()).waiting
    assert "it is finished" in first.reason
    project = await workshop.project()
    await request(project, project.load_plan(), "approve", "two", intervention=first.intervention)
    for resolved in (1, 0):
        (again,) = (await workshop.run()).waiting
        assert (again.item, again.kind) == ("two", "approval")
        assert "resolved by an agent" in again.reason
        assert len(workshop.of("landing.resolved")) == resolved
    assert workshop.git("show", "main:same.txt") == "one"
    await request(project, project.load_plan(), "approve", "two", intervention=again.intervention)
    assert [each.epic for each in (await workshop.run()).landed] == ["two"]
    assert workshop.git("show", "main:sneaky.txt") == "sneaky"


@pytest.mark.parametrize("then", ["exit 3", "echo '>>>>>>> left' >> same.txt; git commit -qam left"])
async def test_what_an_agent_committed_is_kept_when_it_comes_to_nothing(
    workshop: Workshop, then: str
) -> None:
    resolver(workshop, f"{BOTH}; git commit -qam mine; {then}")
    two_epics(workshop)
    (waiting,) = (await workshop.run()).waiting
    assert "an agent did not resolve it" in waiting.reason
    assert not [name for name in workshop.branches() if name.startswith("lane/")]
    kept = workshop.git("log", "--format=%s", "main..", kept_of_conflict(workshop))
    assert "mine" in kept.splitlines()


async def test_what_all_worktrees_share_is_put_right_after_an_agent(workshop: Workshop) -> None:
    """A change by the agent is not taken for a person's when the next session ends."""
    config = workshop.root / ".git/config"
    before = config.read_bytes()
    resolver(workshop, f"git config user.name Mallory; git config core.hooksPath /nowhere; {BOTH}")
    two_epics(workshop)
    report = await workshop.run()
    assert config.read_bytes() == before
    assert len(report.landed) == 2
    (warning,) = workshop.of("warning.raised")
    assert "a session changed settings of the repository" in warning["reason"]
    assert warning["session"] == workshop.of("agent.asked")[0]["session"]


async def test_work_that_breaks_the_other_side_is_thrown_away(workshop: Workshop) -> None:
    """It passes the checks of its own epic; those of the one that landed first have a word, too."""
    resolver(workshop, "echo two > same.txt")
    workshop.write("same.txt", "start\n")
    workshop.commit()
    workshop.plan(
        epic("one", task("one.a", "echo one > same.txt", priority=0, verify=["grep -q one same.txt"])),
        epic("two", task("two.a", "sleep 0.3; echo two > same.txt", verify=["grep -q two same.txt"])),
    )
    report = await workshop.run()
    (waiting,) = report.waiting
    assert (waiting.kind, waiting.item) == ("conflict", "two")
    assert "check `grep -q one same.txt` failed" in waiting.reason
    assert "yoke land two" in waiting.reason
    assert workshop.git("show", "epic/two:same.txt") == "two"
    assert workshop.git("log", "--format=%s", "-1", "epic/two") == "Do two.a"
    kept = workshop.git("for-each-ref", "--format=%(refname)", "refs/yoke/keep/conflict/two/")
    assert workshop.git("log", "-1", "--format=%(trailers:key=Yoke-Task,valueonly)", kept).strip() == "two.a"
    folder = workshop.root / ".worktrees/two"
    assert workshop.git("status", "--porcelain", "--branch", cwd=folder) == "## epic/two"
    assert not [name for name in workshop.branches() if name.startswith("lane/")]
    assert not workshop.of("landing.resolved")
    assert len(workshop.of("agent.asked")) == 1
    # The next run does not pay for the same again; it does when there is something new.
    assert [each.intervention for each in (await workshop.run()).waiting] == [waiting.intervention]
    assert not workshop.of("agent.asked")
    workshop.write("new.txt", "new\n")
    workshop.commit("Something new")
    await workshop.run()
    assert len(workshop.of("agent.asked")) == 1


#: What a resolver may do wrong, and what it is told.
BAD = {
    "true": "nobody touched the conflict in same.txt",
    "git add -A": "markers of the conflict are left in same.txt",
    "echo x >> same.txt; git commit -qam x": "markers of the conflict are left in same.txt",
    "git merge --abort; echo both > same.txt": "the merge was given up",
    "git reset -q --hard; echo both > same.txt; git commit -qam both": "the merge was given up",
    "git checkout -q -f --detach main": "does not build on the epic",
    "rm .git": "",
    "rm -rf $PWD": "nothing is left of the worktree",
    "echo both > same.txt; exit 3": "an agent did not resolve it",
    "echo both > same.txt; git rm -qf one.txt": "did in one.txt, which did not conflict, is gone",
    f"echo both > same.txt; {PAST} branch -f epic/two main": "is not where it was",
    f"{PAST} branch -D epic/two; echo both > same.txt": "is not where it was",
}


@pytest.mark.parametrize("script", BAD)
async def test_what_is_no_resolution_changes_nothing(workshop: Workshop, script: str) -> None:
    resolver(workshop, script)
    two_epics(workshop)
    report = await workshop.run()
    (waiting,) = report.waiting
    assert waiting.kind == "conflict"
    assert BAD[script] in waiting.reason
    assert workshop.git("show", "main:same.txt") == "one"
    assert workshop.git("show", "main:one.txt") == "1"
    assert workshop.git("show", "epic/two:same.txt") == "two"
    assert workshop.git("status", "--porcelain", cwd=workshop.root / ".worktrees/two") == ""
    assert not [name for name in workshop.branches() if name.startswith("lane/")]
    assert not workshop.processes()


async def test_a_resolution_by_the_agents_own_commit_and_on_a_branch_of_its_own_counts(
    workshop: Workshop,
) -> None:
    resolver(
        workshop,
        f"git checkout -q -b mine; {BOTH}; git add -A; git commit -qm 'Both, by me'; echo new > new.txt",
    )
    two_epics(workshop)
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, report
    assert workshop.git("show", "main:new.txt") == "new"
    assert [warned["reason"] for warned in workshop.of("warning.raised")] == [
        "resolving the conflict of two also changed new.txt, where there was none"
    ]
    assert "mine" not in workshop.branches()
    workshop.assert_tidy()


@pytest.mark.parametrize("strategy", ["by_task", "smart"])
@pytest.mark.parametrize("merge", ["merge", "squash"])
async def test_every_strategy_has_a_place_for_it(workshop: Workshop, strategy: str, merge: str) -> None:
    resolver(workshop, BOTH, parallel={"strategy": strategy, "merge_strategy": merge})
    two_epics(workshop, verify=["test -s same.txt"])
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, report
    assert sorted(workshop.git("show", "main:same.txt").split()) == ["one", "two"]
    workshop.assert_tidy()


@pytest.mark.parametrize(("side", "kept"), [("ours", "one"), ("theirs", "two")])
async def test_one_sides_lines_are_taken_when_asked_for_by_name(
    workshop: Workshop, side: str, kept: str
) -> None:
    two_epics(workshop, verify=["test -s same.txt"])
    (waiting,) = (await workshop.run()).waiting
    assert waiting.item == "two"
    report = await workshop.run(land=("two",), take=side)
    assert report.exit_code is ExitCode.OK, report
    assert workshop.git("show", "main:same.txt") == kept
    assert workshop.git("show", "main:two.txt") == "2"
    assert trailers(workshop, "Yoke-Conflicts")[0] == side
    (landed,) = workshop.of("landing.landed")
    assert landed["conflicts"] == side
    assert not workshop.of("agent.asked")
    workshop.assert_tidy()


async def test_what_was_taken_is_tested_before_it_lands(workshop: Workshop) -> None:
    workshop.write("same.txt", "start\n")
    workshop.commit()
    workshop.plan(
        epic("one", task("one.a", "echo one > same.txt", priority=0, verify=["grep -q one same.txt"])),
        epic("two", task("two.a", "sleep 0.3; echo two > same.txt")),
    )
    await workshop.run()
    before = workshop.git("rev-parse", "main", "epic/two")
    (waiting,) = (await workshop.run(land=("two",), take="theirs")).waiting
    assert "taking one side's lines (--theirs) did not resolve it: check `grep -q one" in waiting.reason
    assert workshop.git("rev-parse", "main", "epic/two") == before


async def test_a_removed_file_is_no_choice_of_lines(workshop: Workshop) -> None:
    workshop.write("same.txt", "start\n")
    workshop.commit()
    workshop.plan(
        epic("one", task("one.a", "git rm -q same.txt", priority=0)),
        epic("two", task("two.a", "sleep 0.3; echo two > same.txt")),
    )
    await workshop.run()
    (waiting,) = (await workshop.run(land=("two",), take="theirs")).waiting
    assert "one side removed, renamed or replaced same.txt" in waiting.reason
    assert workshop.git("ls-tree", "--name-only", "main", "same.txt") == ""


class Deciding:
    """A plugin that decides about conflicts, and remembers them."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.conflicts: list[Conflict] = []

    @hookimpl
    async def resolve_conflict(self, conflict: Conflict) -> Any:
        self.conflicts.append(conflict)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def test_a_plugin_decides_with_both_sides_before_it(workshop: Workshop) -> None:
    resolver(workshop, BOTH, landing={"conflicts": "manual", "conflict_agent": ""})
    two_epics(workshop, prompt="Make it good")
    plugin = Deciding(ConflictDecision("agent", agent="fixer", model="some-model"))
    report = await workshop.run(plugins=[plugin])
    assert report.exit_code is ExitCode.OK, report
    (conflict,) = plugin.conflicts
    assert (conflict.epic.id, conflict.branch, conflict.files) == ("two", "epic/two", ("same.txt",))
    assert [each.id for each in conflict.tasks] == ["two.a"]
    assert [(each.epic, each.task) for each in conflict.others] == [("one", "one.a")]
    assert [each.prompt for each in conflict.other_tasks] == ["Make it good"]
    assert [each.id for each in conflict.other_epics] == ["one"]
    assert conflict.base == workshop.git("merge-base", conflict.tip, conflict.target_commit)
    assert "CONFLICT (content)" in conflict.messages
    (asked,) = workshop.of("agent.asked")
    assert (asked["agent"], asked["model"]) == ("fixer", "some-model")


@pytest.mark.parametrize("answer", [RuntimeError("lost my way"), "theirs", ConflictDecision("theirs")])  # type: ignore[arg-type]
async def test_a_plugin_that_fails_leaves_it_to_a_person(workshop: Workshop, answer: Any) -> None:
    """Even where the configured answer would have been an agent."""
    resolver(workshop, BOTH)
    two_epics(workshop)
    report = await workshop.run(plugins=[Deciding(answer)])
    assert [waiting.kind for waiting in report.waiting] == ["conflict"]
    (failed,) = workshop.of("plugin.failed")
    assert failed["hook"] == "resolve_conflict"
    assert not workshop.of("agent.asked")
    assert workshop.git("log", "--format=%s", "-1", "epic/two") == "Do two.a"


async def test_a_person_is_told_what_git_says_and_what_to_type(workshop: Workshop) -> None:
    two_epics(workshop)
    (waiting,) = (await workshop.run()).waiting
    headline, *rest = waiting.reason.splitlines()
    assert headline == "two conflicts with main in same.txt"
    assert "CONFLICT (content): Merge conflict in same.txt" in rest
    typed = [line.strip() for line in rest[rest.index("To finish by hand:") + 1 :]]
    merge, _, commit, land = typed
    run = workshop.root.parent / "by-hand.sh"
    run.write_text(
        f"set -e\n{merge} || true\nsed -i '/^[<=>]/d' .worktrees/two/same.txt\nEDITOR=true {commit}\n"
    )
    workshop.git("-c", f"alias.run=!sh {run}", "run")
    assert land == "yoke land two"
    done = workshop.yoke("land", "two")
    assert done.returncode == 0, done.stderr
    assert sorted(workshop.git("show", "main:same.txt").split()) == ["one", "two"]


async def test_an_agent_does_not_take_away_what_a_person_has_begun(workshop: Workshop) -> None:
    two_epics(workshop)
    await workshop.run()
    folder = workshop.root / ".worktrees/two"
    (folder / "same.txt").write_text("half done\n")
    resolver(workshop, BOTH)
    (waiting,) = (await workshop.run(land=("two",))).waiting
    assert f"somebody is at work in {folder}" in waiting.reason
    assert (folder / "same.txt").read_text() == "half done\n"


async def test_later_means_when_the_target_has_moved(workshop: Workshop) -> None:
    """A third epic makes room for the second; until then nobody is asked."""
    workshop.config(landing={"conflicts": "retry_later"})
    workshop.write("same.txt", "start\n")
    workshop.commit()
    undo = "echo start > same.txt"
    workshop.plan(
        epic("one", task("one.a", "echo one > same.txt", priority=0)),
        epic("two", task("two.a", "sleep 0.3; echo two > same.txt")),
        epic("three", task("three.a", f"sleep 1; {undo}", depends_on=["one.a"])),
    )
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, report
    assert workshop.git("show", "main:same.txt") == "two"
    assert [event["epic"] for event in workshop.of("landing.conflicted")] == ["two"]
    assert not workshop.of("intervention.opened")


async def test_what_conflicts_to_the_end_waits_for_a_person(workshop: Workshop) -> None:
    workshop.config(landing={"conflicts": "retry_later"})
    two_epics(workshop)
    (waiting,) = (await workshop.run()).waiting
    assert (waiting.kind, waiting.item) == ("conflict", "two")
    assert len(workshop.of("landing.conflicted")) == 1
    assert (await workshop.status())["interventions"][0]["kind"] == "conflict"


async def test_an_agent_tries_once_and_money_is_asked_for_first(workshop: Workshop) -> None:
    resolver(workshop, "true", landing={"conflict_tries": 0})
    two_epics(workshop)
    (waiting,) = (await workshop.run()).waiting
    assert "landing.conflict_tries is 0" in waiting.reason
    assert not workshop.of("agent.asked")


async def test_a_run_that_goes_on_takes_a_side_when_asked(workshop: Workshop) -> None:
    two_epics(workshop)
    await workshop.run()
    wait = workshop.root.parent / "wait"
    plan = [epic("more", task("more.a", f"while ! test -e {wait}; do sleep 0.05; done; echo m > m.txt"))]
    workshop.plan(
        epic("one", task("one.a")),
        epic("two", task("two.a")),
        *plan,
    )
    process = workshop.start("run", "--json")
    assert process.stdout is not None
    for line in process.stdout:
        if '"session.started"' in line:
            break
    asked = workshop.yoke("land", "two", "--theirs")
    assert asked.returncode == 0, asked.stderr
    for line in process.stdout:
        if '"landing.landed"' in line:
            break
    wait.touch()
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert workshop.git("show", "main:same.txt") == "two"
    assert trailers(workshop, "Yoke-Conflicts")[-1] == "theirs"


async def test_an_agent_that_nobody_knows_is_told_before_the_run(workshop: Workshop) -> None:
    resolver(workshop, BOTH, landing={"conflict_agent": "fixr"})
    two_epics(workshop)
    with pytest.raises(DocumentError, match="there is no agent `fixr`"):
        await workshop.run()


class Purse:
    """A plugin without money for conflicts."""

    @hookimpl
    def reserve_budget(self, attempt: Attempt) -> None:
        if attempt.question:
            raise LimitError("no money is left", scope="run")


async def test_where_the_budget_does_not_reach_a_person_is_asked_and_the_run_goes_on(
    workshop: Workshop,
) -> None:
    resolver(workshop, BOTH)
    two_epics(workshop)
    report = await workshop.run(plugins=[Purse()])
    (waiting,) = report.waiting
    assert (report.exit_code, waiting.kind) == (ExitCode.FAILED, "conflict")
    assert "no money is left" in waiting.reason
    assert not workshop.of("agent.asked")


async def test_an_epic_that_builds_on_squashed_work_is_resolved_once(workshop: Workshop) -> None:
    """The history of what was squashed comes back into the merge, and must not conflict a second time."""
    seen = workshop.root.parent / "prompt.md"
    resolver(workshop, f"cp $YOKE_PROMPT_FILE {seen}; {BOTH}", parallel={"merge_strategy": "squash"})
    workshop.write("same.txt", "start\n")
    workshop.commit()
    workshop.plan(
        epic("base", task("base.a", "echo base > same.txt", priority=0)),
        epic(
            "one",
            task("one.a", "echo one > same.txt", depends_on=["base.a"], priority=0),
            task("one.b", priority=0),
        ),
        epic("two", task("two.a", "sleep 0.5; echo two > same.txt", depends_on=["base.a"])),
    )
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, report
    assert sorted(workshop.git("show", "main:same.txt").split()) == ["one", "two"]
    assert len(workshop.of("landing.conflicted")) == len(workshop.of("landing.resolved")) == 1
    assert workshop.git("rev-list", "--count", "--merges", "main") == "0"
    workshop.assert_tidy()
    # What came first is told by the history of the squash; the one that both build on is no part of that.
    told = seen.read_text()
    assert [f"### Do {name}" in told for name in ("one.a", "one.b", "base.a")] == [True, False, False]
