"""Several landings at once: on top of each other, in batches, in their order."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.errors import ExitCode

#: Waits until two checks are under way, for as long as a slow machine may need.
_MEET = (
    'touch "$MEET/$YOKE_EPIC"; n=0; '
    'while test $(ls "$MEET" | wc -l) -lt 2; do sleep 0.05; n=$((n+1)); test $n -lt 600 || exit 1; done'
)


def _meeting(workshop: Workshop) -> str:
    folder = workshop.root.parent / "meeting"
    folder.mkdir()
    return f"MEET={folder}; {_MEET}"


async def test_two_epics_are_tested_on_top_of_each_other_at_once(workshop: Workshop) -> None:
    workshop.config(checks={"landing": [_meeting(workshop)]})
    workshop.plan(epic("one", task("one.a")), epic("two", task("two.a")))
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, report
    landed = {entry["epic"]: entry for entry in workshop.of("landing.landed")}
    first, second = sorted(landed.values(), key=lambda entry: entry["at"])
    assert second["old_commit"] == first["commit"]
    # Exactly what was tested is what is there.
    assert workshop.git("rev-parse", "main") == second["commit"]
    tested = {check["tree"] for check in workshop.of("check.finished") if check["passed"]}
    assert {first["tree"], second["tree"]} <= tested
    workshop.assert_tidy()


async def test_one_after_another_where_that_is_asked_for(workshop: Workshop) -> None:
    """With one check at a time a lock that both would need is never held twice."""
    lock = workshop.root.parent / "lock"
    workshop.config(
        checks={"landing": [f"mkdir {lock} && sleep 0.1 && rmdir {lock}"]}, landing={"max_parallel_checks": 1}
    )
    workshop.plan(*(epic(name, task(f"{name}.a")) for name in ("one", "two", "three")))
    report = await workshop.run()
    assert (report.exit_code, len(report.landed)) == (ExitCode.OK, 3), report


async def test_a_red_one_is_thrown_out_and_the_rest_is_tested_without_it(workshop: Workshop) -> None:
    workshop.config(checks={"landing": ["test ! -e bad"]}, landing={"max_parallel_checks": 3})
    workshop.plan(
        epic("one", task("one.a")), epic("two", task("two.a", "touch bad")), epic("three", task("three.a"))
    )
    report = await workshop.run()
    assert sorted(entry.epic for entry in report.landed) == ["one", "three"]
    assert [(waiting.item, waiting.kind) for waiting in report.waiting] == [("two", "red_check")]
    assert "bad" not in workshop.git("ls-tree", "--name-only", "main").split()
    assert "epic/two" in workshop.branches(), "its work is kept"
    tested = {check["tree"] for check in workshop.of("check.finished") if check["passed"]}
    assert {entry["tree"] for entry in workshop.of("landing.landed")} <= tested


async def test_what_builds_on_a_red_one_waits_for_it(workshop: Workshop) -> None:
    workshop.config(checks={"landing": ["test ! -e bad"]}, landing={"max_parallel_checks": 4})
    workshop.plan(
        epic("base", task("base.a", "touch bad")),
        epic("upper", task("upper.a", depends_on=["base.a"])),
        epic("other", task("other.a")),
    )
    report = await workshop.run()
    assert [entry.epic for entry in report.landed] == ["other"]
    assert [waiting.item for waiting in report.waiting] == ["base"]
    assert report.exit_code is ExitCode.FAILED


async def test_squashed_epics_are_tested_on_top_of_each_other(workshop: Workshop) -> None:
    """The lower one has not landed, so its history is not kept anywhere yet."""
    workshop.config(
        parallel={"merge_strategy": "squash"},
        checks={"landing": [_meeting(workshop)]},
        landing={"max_parallel_checks": 2},
    )
    workshop.plan(
        epic("base", task("base.a", "seq 9 > f")),
        epic("upper", task("upper.a", "sed -i s/2/two/ f", depends_on=["base"])),
    )
    # Both wait to land until the second has its work: nothing lands before two are tested at once.
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, report
    assert workshop.git("show", "main:f").split()[1] == "two"
    workshop.assert_tidy()


async def test_a_batch_is_tested_as_one_and_halved_when_it_is_red(workshop: Workshop) -> None:
    gate = workshop.root.parent / "gate"
    # The first landing holds the queue until everything else is finished.
    hold = f"n=0; while ! test -e {gate} && test $n -lt 600; do sleep 0.05; n=$((n+1)); done"
    workshop.config(
        checks={"landing": [f"{hold}; test ! -e bad"]},
        landing={"max_parallel_checks": 1, "batch": 4},
        parallel={"max_concurrency": 4},
    )
    others = [epic(name, task(f"{name}.a")) for name in ("b", "c", "d")]
    last = task("e.a", f"touch bad; touch {gate}", depends_on=["b.a", "c.a", "d.a"])
    workshop.plan(epic("a", task("a.a")), *others, epic("e", last))
    report = await workshop.run()
    assert sorted(entry.epic for entry in report.landed) == ["a", "b", "c", "d"], report
    assert [waiting.item for waiting in report.waiting] == ["e"]
    tested = {check["tree"] for check in workshop.of("check.finished") if check["passed"]}
    assert {entry["tested_tree"] for entry in workshop.of("landing.landed")} <= tested
    assert "=batched" in workshop.git("log", "--format=%B", "main")
    assert workshop.git("log", "-1", "--format=%(trailers:key=Yoke-Checks)", "main").endswith("=passed")


@pytest.mark.parametrize("keep", [[], ["*.built"]])
async def test_ignored_results_of_one_landing_do_not_help_the_next(
    workshop: Workshop, keep: list[str]
) -> None:
    workshop.write(".gitignore", "plan.yaml\n.yokeflow.yaml\n*.built\n")
    workshop.commit("Ignore what is built")
    check = "test -e bad && touch x.built; test ! -e bad && test ! -e needs -o -e x.built"
    workshop.config(checks={"landing": [check], "keep": keep}, landing={"max_parallel_checks": 1})
    workshop.plan(
        epic("bad", task("bad.a", "touch bad", priority=1)),
        epic("good", task("good.a", "touch needs", depends_on=["late.a"])),
        epic("late", task("late.a", "sleep 0.5; touch late")),
    )
    report = await workshop.run()
    landed = {entry.epic for entry in report.landed}
    assert landed == ({"late", "good"} if keep else {"late"}), report


async def test_settings_that_would_stop_every_command_do_not_land(workshop: Workshop) -> None:
    workshop.write(".gitignore", "plan.yaml\n")
    workshop.config()
    workshop.commit("Settings")
    wrong = (
        epic("bad", task("bad.a", "echo 'parallel: {max_concurrency: none}' > .yokeflow.yaml")),
        epic("torn", task("torn.a", "echo 'a: [' > .yokeflow.yaml")),
    )
    workshop.plan(*wrong)
    report = await workshop.run()
    assert not report.landed
    assert {waiting.item for waiting in report.waiting} == {"bad", "torn"}
    assert any(
        ".yokeflow.yaml would stop every later command: line 1" in each.reason for each in report.waiting
    )
    assert workshop.yoke("status").returncode == 0
    workshop.plan(*wrong, epic("good", task("good.a", "echo 'checks: {timeout: 5m}' >> .yokeflow.yaml")))
    report = await workshop.run()
    assert [entry.epic for entry in report.landed] == ["good"], report


async def test_the_urgent_and_those_that_others_wait_for_land_first(workshop: Workshop) -> None:
    gate = workshop.root.parent / "gate"
    hold = f"n=0; while ! test -e {gate} && test $n -lt 600; do sleep 0.05; n=$((n+1)); done"
    workshop.config(
        checks={"landing": [hold]}, landing={"max_parallel_checks": 1}, parallel={"max_concurrency": 8}
    )
    workshop.plan(
        epic("first", task("first.a")),
        epic("plain", task("plain.a", depends_on=["first.a"])),
        epic("base", task("base.a", depends_on=["first.a"])),
        epic("urgent", task("urgent.a", priority=1, depends_on=["first.a"])),
        epic("upper", task("upper.a", f"touch {gate} upper", depends_on=["base.a", "plain.a", "urgent.a"])),
    )
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, report
    assert [entry["epic"] for entry in workshop.of("landing.landed")] == [
        *("first", "urgent", "plain", "base", "upper")
    ]
