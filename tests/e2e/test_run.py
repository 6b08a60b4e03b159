"""The main job: a plan becomes landed, checked work."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.engine.lock import hold_project
from yokeflow.errors import DocumentError, ExitCode, ProjectBusyError, UsageError


async def test_plan_becomes_landed_work(workshop: Workshop) -> None:
    workshop.plan(
        epic("base", task("base.a"), task("base.b", depends_on=["base.a"])),
        epic("top", task("top.a", "cat base.b.txt > top.a.txt"), depends_on=["base"]),
    )
    report = await workshop.run()
    assert (report.exit_code, report.state) == (ExitCode.OK, "completed")
    assert [landed.epic for landed in report.landed] == ["base", "top"]
    assert (workshop.root / "top.a.txt").read_text() == "base.b\n"
    assert await workshop.states() == dict.fromkeys(("base", "base.a", "base.b", "top", "top.a"), "completed")
    workshop.assert_tidy()


async def test_git_alone_tells_what_was_done(workshop: Workshop) -> None:
    workshop.config(checks={"task": ["test -e README.md"]})
    workshop.plan(epic("one", task("one.a", verify=["test -s one.a.txt"])))
    report = await workshop.run()
    landing = workshop.git("log", "-1", "--format=%B%P", "main")
    tree = workshop.git("rev-parse", "main^{tree}")
    assert "Yoke-Epic: one" in landing
    assert f"Yoke-Run: {report.run}" in landing
    assert f"Yoke-Checks: {tree}=passed" in landing
    body = workshop.git("log", "-1", "--format=%B", "main^2")
    assert "Yoke-Task: one.a" in body
    assert "Yoke-Session: " in body


async def test_task_starts_with_the_work_of_unlanded_epics(workshop: Workshop) -> None:
    """Two epics that need tasks of each other: neither can land before the other's task has run."""
    workshop.plan(
        epic("a", task("a.1"), task("a.2", "cat b.1.txt > a.2.txt", depends_on=["b.1"])),
        epic("b", task("b.1", "cat a.1.txt > b.1.txt", depends_on=["a.1"])),
    )
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    assert (workshop.root / "a.2.txt").read_text() == "a.1\n"
    workshop.assert_tidy()


async def test_failed_check_is_retried_with_the_failure_in_the_prompt(workshop: Workshop) -> None:
    script = 'n=$(cat "$COUNT" 2>/dev/null || echo 0); echo $((n+1)) > "$COUNT"; echo $((n+1)) > one.txt'
    workshop.config(agents={"options": {"shell": {"env": {"COUNT": str(workshop.root.parent / "count")}}}})
    workshop.plan(epic("one", task("one.a", script, verify=["grep 2 one.txt"])))
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    first, second = workshop.of("session.finished")
    assert (first["state"], second["state"]) == ("failed", "completed")
    assert first["reason"] == "check `grep 2 one.txt` failed (exit code 1)"
    assert workshop.git("cat-file", "-p", f"{first['kept_ref']}:one.txt") == "1"
    prompt = (workshop.root / ".git/yoke/sessions" / second["session"] / "prompt.md").read_text()
    assert "Attempt 1 did not count" in prompt
    assert "check `grep 2 one.txt` failed" in prompt


async def test_a_task_without_success_asks_a_person_and_others_go_on(workshop: Workshop) -> None:
    workshop.config(agents={"max_attempts": 2})
    workshop.plan(
        epic("bad", task("bad.a", "echo x > x; exit 3"), task("bad.b", depends_on=["bad.a"])),
        epic("after", task("after.a", depends_on=["bad.b"])),
        epic("good", task("good.a")),
    )
    report = await workshop.run()
    assert report.exit_code is ExitCode.FAILED
    assert list(report.failed) == ["bad.a"]
    assert [landed.epic for landed in report.landed] == ["good"]
    assert [(w.kind, w.item) for w in report.waiting] == [("retry_limit", "bad.a")]
    states = await workshop.states()
    assert (states["bad.a"], states["bad.b"], states["good"]) == ("failed", "blocked", "completed")
    assert len(workshop.of("session.started")) == 3
    open_ = (await workshop.status())["interventions"]
    assert [(entry["kind"], entry["item"], entry["choices"]) for entry in open_] == [
        ("retry_limit", "bad.a", ["retry", "skip"])
    ]


async def test_an_attempt_that_changes_nothing_fails_unless_the_task_says_it_may(workshop: Workshop) -> None:
    workshop.config(agents={"max_attempts": 1})
    workshop.plan(epic("one", task("one.a", "true")), epic("two", task("two.a", "true", allow_empty=True)))
    report = await workshop.run()
    assert dict(report.failed) == {"one.a": "the agent changed nothing"}
    assert [landed.epic for landed in report.landed] == ["two"]


async def test_a_second_run_does_nothing_twice(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a")))
    await workshop.run()
    before = workshop.git("rev-parse", "main")
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    assert not report.completed
    assert workshop.git("rev-parse", "main") == before


async def test_a_grown_plan_runs_only_what_is_new(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a")))
    await workshop.run()
    workshop.plan(epic("one", task("one.a")), epic("two", task("two.a", depends_on=["one.a"])))
    report = await workshop.run()
    assert report.completed == ("two.a",)


async def test_only_the_asked_epics_and_tasks_run(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a"), task("one.b")), epic("two", task("two.a")))
    report = await workshop.run(tasks=("one.b",))
    assert (report.completed, report.landed, report.exit_code) == (("one.b",), (), ExitCode.OK)
    report = await workshop.run(epics=("two",))
    assert report.completed == ("two.a",)
    with pytest.raises(UsageError, match="no epic three"):
        await workshop.run(epics=("three",))


async def test_an_unknown_agent_is_found_before_anything_starts(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a", agent="shel")))
    with pytest.raises(DocumentError, match=r"plan.yaml:\d+: .*no agent `shel` \(did you mean `shell`\?\)"):
        await workshop.run()
    assert workshop.branches() == ["main"]


async def test_the_second_run_is_told_who_holds_the_project(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a")))
    project = await workshop.project()
    with hold_project(project.lock_file, "some-run"), pytest.raises(ProjectBusyError, match="process"):
        await workshop.run()


async def test_squash_lands_one_commit_and_keeps_the_branch_reachable(workshop: Workshop) -> None:
    workshop.config(parallel={"merge_strategy": "squash"})
    workshop.plan(epic("one", task("one.a"), task("one.b")), epic("two", task("two.a"), depends_on=["one"]))
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    assert workshop.git("rev-list", "--count", "main") == "3"
    assert workshop.git("for-each-ref", "refs/yoke/keep/squashed/one")
    workshop.assert_tidy()


@pytest.mark.parametrize("strategy", ["by_task", "smart"])
async def test_tasks_of_an_epic_side_by_side(workshop: Workshop, strategy: str) -> None:
    workshop.config(parallel={"strategy": strategy, "max_concurrency": 4})
    tasks = [task(f"one.{n}", files=[f"one.{n}.txt"]) for n in range(4)]
    last = task("one.last", "cat one.*.txt > last.txt", depends_on=[t["id"] for t in tasks])
    workshop.plan(epic("one", *tasks, last))
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    assert (workshop.root / "last.txt").read_text().split() == [f"one.{n}" for n in range(4)]
    workshop.assert_tidy()


async def test_agents_see_no_secrets(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "not-for-agents")
    workshop.plan(epic("one", task("one.a", "env > one.a.txt")))
    await workshop.run()
    seen = (workshop.root / "one.a.txt").read_text()
    assert "not-for-agents" not in seen
    assert "postgresql" not in seen
    assert "YOKE_TASK=one.a" in seen


async def test_a_run_stops_at_its_budget(workshop: Workshop) -> None:
    """Sessions of unknown cost count as what was set aside for them, so two fit into two and a half."""
    guess = {"kind": "command", "argv": ["sh", "-c", "echo x > $YOKE_TASK.txt"]}
    workshop.config(cost={"budget_limit_usd": 2.5}, agents={"default": "guess", "options": {"guess": guess}})
    workshop.plan(*(epic(f"e{n}", task(f"e{n}.a")) for n in range(5)))
    report = await workshop.run()
    assert report.exit_code is ExitCode.LIMIT
    assert len(report.completed) == 2
    assert "budget of $2.50" in report.reason
    assert "budget.exceeded" in workshop.types()


async def test_a_budget_that_is_set_aside_is_waited_for(workshop: Workshop) -> None:
    """Sessions that cost less than was set aside make room for others: all five are done within the limit."""
    workshop.config(cost={"budget_limit_usd": 2.0})
    workshop.plan(*(epic(f"e{n}", task(f"e{n}.a")) for n in range(5)))
    report = await workshop.run()
    assert (report.exit_code, len(report.completed), report.cost_usd) == (ExitCode.OK, 5, 0.0)
