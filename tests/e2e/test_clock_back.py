"""The clock is set back between a crash and the next run."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.engine.recovery import recovery
from yokeflow.errors import ExitCode
from yokeflow.store.driver import connect

if TYPE_CHECKING:
    from datetime import tzinfo

    import pytest

PID = 'sed \'s/.*"pid": *\\([0-9]*\\).*/\\1/\' "$(git rev-parse --git-common-dir)/yoke/run.lock"'
KILL = f"kill -9 $({PID}); sleep 600"


class Back(datetime):
    """The time of an hour ago."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Back:
        return super().now(tz) - timedelta(hours=1)


async def test_a_session_of_the_future_is_over_once(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next run takes the lane back again, with what another task has done there meanwhile."""
    workshop.write(".git/info/exclude", "plan.yaml\n.yokeflow.yaml\ngo\n.worktrees\n")
    workshop.config(agents={"max_attempts": 1})
    workshop.plan(
        epic("one", task("one.a", f"test -e ../../go && echo a > a.txt || {{ {KILL}; }}"), task("one.b"))
    )
    assert workshop.yoke("run", "--task", "one.a").returncode == -9
    for log in (workshop.root / ".git/yoke/sessions").glob("*/output.log"):
        log.unlink()
    with monkeypatch.context() as patched:
        patched.setattr(recovery, "datetime", Back)
        assert (await workshop.run(tasks=("one.b",))).completed == ("one.b",)
    (workshop.root / "go").touch()
    report = await workshop.run()
    assert (report.exit_code, report.completed) == (ExitCode.OK, ("one.a",)), report
    assert (workshop.root / "one.b.txt").exists()


async def test_what_a_person_did_on_a_branch_after_a_crash_is_named(workshop: Workshop) -> None:
    workshop.write(".git/info/exclude", "plan.yaml\n.yokeflow.yaml\ngo\n.worktrees\n")
    workshop.plan(epic("one", task("one.a", f"test -e ../../go && echo a > a.txt || {{ {KILL}; }}")))
    assert workshop.yoke("run").returncode == -9
    (workshop.root / "go").touch()
    workshop.git("commit", "-q", "--allow-empty", "-m", "Mine", cwd=workshop.root / ".worktrees/one")
    assert (await workshop.run()).exit_code is ExitCode.OK
    (hint,) = [
        warning["hint"] for warning in workshop.of("warning.raised") if "had commits" in warning["reason"]
    ]
    assert workshop.git("log", "--format=%s", hint.rpartition(" ")[2]) == "Mine"


async def test_a_branch_of_a_killed_agent_goes_whatever_the_clock_says(
    workshop: Workshop, database_url: str
) -> None:
    """Git noted that it was made before the session began; what somebody had before it stays."""
    workshop.write(".git/info/exclude", "plan.yaml\n.yokeflow.yaml\ngo\n.worktrees\n")
    workshop.git("branch", "users")
    make = "git switch -q users; git switch -q -c mine; git commit -q --allow-empty -m mine"
    workshop.plan(epic("one", task("one.a", f"test -e ../../go && echo a > a.txt || {{ {make}; {KILL}; }}")))
    assert workshop.yoke("run").returncode == -9
    workshop.yoke("status")
    opened = await connect(database_url, 10.0)
    await opened.execute("UPDATE sessions SET started_at = started_at + interval '1 hour'")
    await opened.close()
    (workshop.root / "go").touch()
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert workshop.branches() == ["main", "users"]
