"""A task builds on work that conflicts with that of its own epic: an agent resolves it, or a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import Workshop, epic, task
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
    lines = [line.strip() for line in waiting.reason.splitlines() if line.startswith("  ")]
    assert lines[-1] == "yoke retry two.b"
    merge = next(line for line in lines if " merge " in line)
    commit = next(line for line in lines if line.endswith(" commit -a"))
    settle = "printf 'one\\ntwo\\n' > same.txt"
    where = workshop.root / ".worktrees/two" if strategy == "by_epic" else workshop.root
    switch = [line for line in lines if "switch" in line]
    assert bool(switch) == (strategy == "by_task")
    typed = "; ".join(
        (*switch, f"{merge} >/dev/null", f"cd {where}; {settle}; cd {workshop.root}", f"{commit} -qm x")
    )
    _shell(workshop, f"{typed}{'; git switch -q main' if switch else ''}")
    project = await workshop.project()
    await request(project, project.load_plan(), "retry", "two.b")
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, report
    assert workshop.git("show", "main:seen.txt").split() == ["one", "two"]


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
