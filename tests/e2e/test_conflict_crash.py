"""Death while a conflict is being resolved: the epic's branch stays, and the next run goes on."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import Workshop
from tests.e2e.test_conflicts import BOTH, kept_of_conflict, resolver, two_epics
from yokeflow.errors import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = """
import os
from yokeflow.hookspecs import hookimpl

seen = []

@hookimpl
def on_event(event):
    seen.append(event.type)
    if event.type == os.environ["DIE_AT"] and "landing.conflicted" in seen:
        os._exit(9)
"""
#: Kills the run that goes on, once.
KILL = """if ! test -e {once}; then
  touch {once}
  kill -9 $(sed 's/.*"pid": *\\([0-9]*\\).*/\\1/' {root}/.git/yoke/run.lock)
  {then}
fi
"""


def killer(workshop: Workshop, then: str = "sleep 60") -> str:
    return KILL.format(once=workshop.root.parent / "once", root=workshop.root, then=then)


async def assert_goes_on(workshop: Workshop, tip: str) -> None:
    """The branch is at its old tip, or at a merge of that; then both epics land, once."""
    if "epic/two" in workshop.branches():
        assert tip in workshop.git("rev-list", "epic/two").split()
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, report
    assert sorted(workshop.git("show", "main:same.txt").split()) == ["one", "two"]
    landed = workshop.git("log", "--first-parent", "--format=%(trailers:key=Yoke-Epic,valueonly)", "main")
    assert sorted(landed.split()) == ["one", "two"]
    assert not (await workshop.status())["interventions"]
    workshop.assert_tidy()
    assert not [name for name in workshop.branches() if name.startswith("lane/")]
    assert not workshop.processes()


def tip_of_two(workshop: Workshop) -> str:
    """What the task of the second epic committed."""
    return workshop.git("log", "--all", "--format=%H", "--grep=^Yoke-Task: two.a", "--no-merges", "-1")


@pytest.mark.parametrize(
    "event",
    [
        *("landing.conflicted", "agent.asking", "agent.asked", "landing.resolved", "landing.queued"),
        "landing.testing",
    ],
)
async def test_death_after_a_record(workshop: Workshop, tmp_path: Path, event: str) -> None:
    (tmp_path / "dying_plugin.py").write_text(PLUGIN)
    resolver(workshop, BOTH)
    two_epics(workshop, verify=["test -s same.txt"])
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    plugin = {"PYTHONPATH": path, "YOKE_PLUGINS": "dying_plugin", "DIE_AT": event}
    died = workshop.yoke("run", env={**os.environ, **plugin})
    assert died.returncode == 9, died.stderr
    await assert_goes_on(workshop, tip_of_two(workshop))


async def test_death_while_the_agent_works(workshop: Workshop) -> None:
    once = workshop.root.parent / "once"
    resolver(workshop, f"test -e {once} || echo half > same.txt\n{killer(workshop)}{BOTH}")
    two_epics(workshop)
    assert workshop.yoke("run").returncode == -9
    tip = tip_of_two(workshop)
    assert workshop.git("rev-parse", "epic/two") == tip
    await assert_goes_on(workshop, tip)


async def test_what_a_killed_agent_may_have_spent_counts_for_the_next_run(workshop: Workshop) -> None:
    cost = {"budgets": {"day": {"usd": 0.15}}, "session_limit_usd": 0.1}
    resolver(workshop, f"{killer(workshop)}{BOTH}", cost=cost)
    two_epics(workshop)
    assert workshop.yoke("run").returncode == -9
    (waiting,) = (await workshop.run()).waiting
    assert "for another session: $0.10 spent" in waiting.reason
    (asked,) = workshop.of("agent.asked")
    assert (asked["operation"], asked["task"], asked["recovered"]) == ("conflict", "two.a", True)
    assert (asked["cost_usd"], asked["reserved"]["usd"]) == (None, 0.1)
    assert not workshop.of("agent.asking")
    # Once is enough.
    await workshop.run()
    assert not workshop.of("agent.asked")


async def test_an_interrupt_leaves_nothing_behind_and_asks_nobody(workshop: Workshop) -> None:
    here, go = workshop.root.parent / "here", workshop.root.parent / "go"
    half = "git -c core.editor=true commit -qam half"
    resolver(workshop, f"test -e {go} || {half}\ntouch {here}\ntest -e {go} || sleep 600\n{BOTH}")
    two_epics(workshop)
    process = workshop.start("run")
    async with asyncio.timeout(60):
        while not here.exists():
            await asyncio.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == ExitCode.INTERRUPTED, output
    tip = tip_of_two(workshop)
    assert workshop.git("rev-parse", "epic/two") == tip
    assert (
        workshop.git("status", "--porcelain", "--branch", cwd=workshop.root / ".worktrees/two")
        == "## epic/two"
    )
    assert not (await workshop.status())["interventions"]
    assert not workshop.processes()
    assert workshop.git("log", "-1", "--format=%s", kept_of_conflict(workshop)) == "half"
    go.touch()
    await assert_goes_on(workshop, tip)


async def test_death_while_the_result_is_checked(workshop: Workshop) -> None:
    resolver(workshop, BOTH)
    two_epics(
        workshop, verify=[f"if grep -q one same.txt && grep -q two same.txt; then {killer(workshop)} fi"]
    )
    assert workshop.yoke("run").returncode == -9
    tip = tip_of_two(workshop)
    assert workshop.git("rev-parse", "epic/two") == tip
    await assert_goes_on(workshop, tip)


#: Git as the run finds it: kills the run right before or after one command, once.
WRAPPER = """#!/bin/sh
case "$*" in
*{command}*) test -e {private} && match=1 ;;
esac
if test -n "$match" && test {moment} = before; then {kill} fi
{git} "$@"
code=$?
if test -n "$match" && test {moment} = after; then {kill} fi
exit $code
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    "command",
    ["merge -q --no-commit", "commit-tree", "update-ref*refs/heads/epic/two", "update-ref*-d*lane/two"],
)
async def test_death_at_a_git_command(workshop: Workshop, tmp_path: Path, moment: str, command: str) -> None:
    resolver(workshop, BOTH)
    two_epics(workshop)
    private = workshop.root / ".git/refs/heads/lane/two+conflict"
    git, pattern = shutil.which("git"), command.replace(" ", "\\ ")
    text = WRAPPER.format(
        command=pattern, private=private, moment=moment, git=git, kill=killer(workshop, "exit 1")
    )
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").write_text(text)
    (tmp_path / "bin/git").chmod(0o755)
    path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
    assert workshop.yoke("run", env={**os.environ, "PATH": path}).returncode == -9
    await assert_goes_on(workshop, tip_of_two(workshop))
