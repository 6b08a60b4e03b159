"""Conflicts of finished epics: resolved by a person, by an agent, later, or by taking one side's lines."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.conflict import Conflict, ConflictDecision
from yokeflow.errors import ExitCode
from yokeflow.hookspecs import hookimpl

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
    assert resolved["session"] in trailers(workshop, "Yoke-Session")
    prompt = seen.read_text()
    for told in ("CONFLICT (content)", "Do one.a", "Do two.a", "Make it good", "`test -s same.txt`"):
        assert told in prompt
    workshop.assert_tidy()
    assert not workshop.processes()
