"""Agents that misbehave cost an attempt at most: never the run, never somebody else's work."""

from __future__ import annotations

import time

import psutil
import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.errors import ExitCode, GitError
from yokeflow.git.repo import Repo


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        ("echo x > x; sleep 600", "took longer than its timeout"),
        (
            "git checkout -q --orphan other; git rm -rfq .; echo x > x; git add x; git commit -qm x",
            "did not build on it",
        ),
        ("rm -rf ../bad; exit 0", "changed nothing"),
    ],
    ids=["hangs", "unrelated-branch", "deletes-its-worktree"],
)
async def test_an_attempt_is_lost_and_the_run_goes_on(workshop: Workshop, run: str, reason: str) -> None:
    workshop.config(agents={"max_attempts": 1})
    workshop.plan(epic("bad", task("bad.a", run, timeout="1s")), epic("good", task("good.a")))
    report = await workshop.run()
    assert reason in report.failed["bad.a"]
    assert [landed.epic for landed in report.landed] == ["good"]
    assert not workshop.processes()


async def test_silence_is_noticed(workshop: Workshop) -> None:
    workshop.config(agents={"max_attempts": 1, "silence": 0.5})
    workshop.plan(epic("bad", task("bad.a", "echo hello; sleep 600")))
    report = await workshop.run()
    assert "printed nothing" in report.failed["bad.a"]


async def test_a_flood_and_binary_output_do_no_harm(workshop: Workshop) -> None:
    workshop.config(agents={"transcript_limit": "1MB"})
    flood = "head -c 200000000 /dev/zero | tr '\\0' x; head -c 100000 /dev/urandom; echo done > one.a.txt"
    workshop.plan(epic("one", task("one.a", flood)))
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    (session,) = workshop.of("session.started")
    transcript = workshop.root / ".git/yoke/sessions" / session["session"] / "output.log"
    assert transcript.stat().st_size < 2_000_000
    assert len(workshop.of("session.output")) <= 200


async def test_a_daemon_is_ended_with_its_session(workshop: Workshop) -> None:
    daemon = "setsid env -i /bin/sh -c 'sleep 777' >/dev/null 2>&1 & echo x > one.a.txt"
    workshop.plan(epic("one", task("one.a", daemon)))
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    time.sleep(0.1)
    assert not [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "777"]]


async def test_commits_on_another_branch_are_adopted(workshop: Workshop) -> None:
    run = "git checkout -qb mine; echo x > one.a.txt; git add .; git commit -qm mine"
    workshop.plan(epic("one", task("one.a", run)))
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    assert (workshop.root / "one.a.txt").exists()
    assert workshop.branches() == ["main"]
    assert "Yoke-Task: one.a" in workshop.git("log", "-1", "--format=%B", "main^2")


async def test_leftovers_of_checks_do_not_reach_the_next_task(workshop: Workshop) -> None:
    workshop.config(checks={"task": ["echo junk > junk.txt"]})
    workshop.plan(epic("one", task("one.a"), task("one.b", depends_on=["one.a"])))
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    assert not (workshop.root / "junk.txt").exists()
    assert "junk.txt" not in workshop.git("log", "--name-only", "main")


async def test_what_an_agent_cost_counts_though_git_cannot_keep_its_work(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise GitError(("commit",), 128, "cannot be read")

    workshop.config(agents={"max_attempts": 1})
    workshop.plan(epic("one", task("one.a")))
    monkeypatch.setattr(Repo, "commit_all", refuse)
    report = await workshop.run()
    (finished,) = workshop.of("session.finished")
    assert (finished["state"], finished["cost_usd"], report.cost_usd) == ("failed", 0.0, 0.0)
    assert "cannot be read" in report.failed["one.a"]
