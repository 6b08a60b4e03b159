"""A task builds on work that conflicts with that of its own epic: an agent resolves it, or a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import Workshop, epic, task, wait_for
from tests.e2e.test_conflicts import BOTH, resolver
from yokeflow.engine.people.control import request
from yokeflow.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path


def crossing(workshop: Workshop, **more: object) -> None:
    """`two.b` builds on `one.a`, which changed the same line as `two.a`; nothing has landed by then."""
    workshop.write("same.txt", "start\n")
    workshop.commit()
    wait = "while ! test -e ../../go; do sleep 0.05; done"
    workshop.write(".git/info/exclude", "plan.yaml\n.yokeflow.yaml\ngo\n")
    workshop.plan(
        epic("one", task("one.a", "echo one > same.txt", **more), task("one.b", f"{wait}; echo b > b.txt")),
        epic(
            "two",
            task("two.a", "echo two > same.txt", **more),
            task("two.b", "touch ../../go; cp same.txt seen.txt", depends_on=["two.a", "one.a"]),
        ),
    )


@pytest.mark.parametrize("strategy", ["by_epic", "by_task"])
async def test_an_agent_makes_one_of_what_a_task_builds_on(workshop: Workshop, strategy: str) -> None:
    seen = workshop.root.parent / "prompt.md"
    resolver(
        workshop,
        f"cp $YOKE_PROMPT_FILE {seen}; {BOTH}",
        parallel={"strategy": strategy},
        checks={"task": ["true"]},
    )
    crossing(workshop, verify=["test -s same.txt"], prompt="Make it good")
    report = await workshop.run()
    assert (report.exit_code, len(report.landed)) == (ExitCode.OK, 2), report
    for name in ("same.txt", "seen.txt"):
        assert sorted(workshop.git("show", f"main:{name}").split()) == ["one", "two"]
    (resolved,) = workshop.of("handover.resolved")
    assert [resolved[key] for key in ("task", "taken", "how", "files")] == [
        "two.b",
        "one.a",
        "agent",
        ["same.txt"],
    ]
    assert workshop.git("rev-list", "--parents", "-1", resolved["commit"]).split()[1:] == [
        resolved["old_commit"],
        resolved["with_commit"],
    ]
    tree = workshop.git("rev-parse", f"{resolved['commit']}^{{tree}}")
    checked = {event["command"] for event in workshop.of("check.finished") if event["tree"] == tree}
    assert {"true", "test -s same.txt"} <= checked
    (asked,) = workshop.of("agent.asked")
    assert (asked["operation"], asked["task"]) == ("conflict", "two.b")
    for told in ("CONFLICT (content)", "epic/one", "Do one.a", "Do two.a", "Do two.b", "`test -s same.txt`"):
        assert told in seen.read_text()
    assert not workshop.of("intervention.opened")
    (workshop.root / "go").unlink()
    workshop.assert_tidy()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("true", "nobody touched the conflict in same.txt"),
        ("echo broken > same.txt", "check `! grep -q broken same.txt` failed"),
    ],
)
async def test_what_is_no_resolution_is_thrown_away(workshop: Workshop, script: str, said: str) -> None:
    resolver(workshop, script, checks={"task": ["! grep -q broken same.txt"]})
    crossing(workshop)
    (workshop.root / "go").touch()
    report = await workshop.run()
    (waiting,) = report.waiting
    assert (waiting.kind, waiting.item) == ("hand_over", "two.b")
    assert said in waiting.reason
    assert len(workshop.of("agent.asked")) == 1
    folder = workshop.root / ".worktrees/two"
    assert workshop.git("status", "--porcelain", "--branch", cwd=folder) == "## epic/two"
    assert workshop.git("show", "epic/two:same.txt") == "two"
    assert (
        workshop.git("log", "-1", "--format=%(trailers:key=Yoke-Task,valueonly)", "epic/two").strip()
        == "two.a"
    )
    assert not [name for name in workshop.branches() if name.startswith("lane/")]
    kept = workshop.git("for-each-ref", "refs/yoke/keep/conflict/two/")
    assert bool(kept) == ("broken" in script)


@pytest.mark.parametrize("strategy", ["by_epic", "by_task"])
async def test_a_person_finishes_by_what_is_told(workshop: Workshop, strategy: str) -> None:
    workshop.config(parallel={"strategy": strategy})
    crossing(workshop)
    (workshop.root / "go").touch()
    (waiting,) = (await workshop.run()).waiting
    assert waiting.reason.startswith("the work of one.a conflicts with that of two in same.txt\n")
    switched = _follow(workshop, waiting.reason, "printf 'one\\ntwo\\n' > same.txt")
    assert switched == (strategy == "by_task")
    project = await workshop.project()
    await request(project, project.load_plan(), "retry", "two.b")
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, report
    assert workshop.git("show", "main:seen.txt").split() == ["one", "two"]


@pytest.mark.parametrize("merge", ["merge", "squash"])
async def test_what_has_landed_is_told_as_what_is_on_the_target(workshop: Workshop, merge: str) -> None:
    """`two.b` builds on an epic that landed on top of another one, and that one changed the same line."""
    workshop.config(parallel={"merge_strategy": merge})
    workshop.write("same.txt", "start\n")
    workshop.commit()
    begun, landed = '"session.started","epic":"two"', '"landing.landed","epic":"one"'
    workshop.plan(
        epic(
            "three",
            task("three.a", wait_for(workshop, begun, then="echo three > same.txt")),
            task("three.b"),
        ),
        epic("one", task("one.a"), depends_on=["three"]),
        epic(
            "two",
            task("two.a", wait_for(workshop, landed, then="echo two > same.txt")),
            task("two.b", depends_on=["two.a", "one.a"]),
        ),
    )
    (waiting,) = (await workshop.run()).waiting
    said = "what is on main conflicts with the work of two in same.txt, changed there by three.a"
    assert (waiting.kind, waiting.item, waiting.reason.splitlines()[0]) == ("hand_over", "two.b", said)
    (met,) = workshop.of("handover.conflicted")
    assert [met[key] for key in ("task", "with_epic", "target", "files")] == [
        "two.b",
        "",
        "main",
        ["same.txt"],
    ]
    assert said in workshop.yoke("attention").stdout
    _follow(workshop, waiting.reason, "printf 'three\\ntwo\\n' > same.txt")
    project = await workshop.project()
    await request(project, project.load_plan(), "retry", "two.b")
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, report
    assert workshop.git("show", "main:same.txt").split() == ["three", "two"]


def _follow(workshop: Workshop, told: str, settle: str) -> bool:
    """Type what a person is told to; whether that was in the project's own checkout."""
    lines = [line.strip() for line in told.splitlines() if line.startswith("  ")]
    assert lines[-1] == "yoke retry two.b"
    merge = next(line for line in lines if " merge " in line)
    commit = next(line for line in lines if line.endswith(" commit -a"))
    switch = [line for line in lines if "switch" in line]
    where = workshop.root if switch else workshop.root / ".worktrees/two"
    typed = "; ".join(
        (*switch, f"{merge} >/dev/null", f"cd {where}; {settle}; cd {workshop.root}", f"{commit} -qm x")
    )
    _shell(workshop, f"{typed}{'; git switch -q main' if switch else ''}")
    return bool(switch)


def _shell(workshop: Workshop, script: str) -> None:
    workshop.git("-c", f"alias.sh=!{script}", "sh")


@pytest.mark.parametrize("strategy", ["by_epic", "by_task"])
async def test_a_crash_in_the_middle_leaves_nothing(
    workshop: Workshop, tmp_path: Path, strategy: str
) -> None:
    lock = workshop.root / ".git/yoke/run.lock"
    kill = f"kill -9 $(sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/' {lock}); sleep 600"
    resolver(
        workshop,
        f"mkdir {tmp_path}/once 2>/dev/null && {{ {kill}; }}; {BOTH}",
        parallel={"strategy": strategy},
    )
    crossing(workshop)
    (workshop.root / "go").touch()
    assert workshop.yoke("run").returncode == -9
    assert [name for name in workshop.branches() if name.endswith("+conflict")]
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, report
    assert sorted(workshop.git("show", "main:seen.txt").split()) == ["one", "two"]
    (workshop.root / "go").unlink()
    workshop.assert_tidy()
