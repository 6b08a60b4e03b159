"""What a person has to approve: before it starts, after it is done, before it lands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.engine.people.control import Control, request
from yokeflow.errors import ExitCode, UsageError
from yokeflow.events import Event

if TYPE_CHECKING:
    from yokeflow.engine.report import RunReport, Waiting


def asked(report: RunReport, item: str) -> Waiting:
    """The one question about an item."""
    (entry,) = [entry for entry in report.waiting if entry.item == item]
    return entry


async def say(workshop: Workshop, entry: Waiting, choice: Any, text: str = "") -> None:
    """Answer while no run goes on."""
    project = await workshop.project()
    more = {"intervention": entry.intervention, "text": text}
    assert await request(project, project.load_plan, choice, entry.item, **more)


async def test_a_task_waits_for_approval_before_it_starts_and_the_rest_goes_on(workshop: Workshop) -> None:
    gated = task("one.b", approve="before", depends_on=["one.a"])
    workshop.plan(epic("one", task("one.a"), gated), epic("two", task("two.a")))
    report = await workshop.run()
    entry = asked(report, "one.b")
    assert (entry.kind, entry.choices, report.exit_code) == (
        "approval",
        ("approve", "reject"),
        ExitCode.FAILED,
    )
    assert [landed.epic for landed in report.landed] == ["two"]
    assert {event["task"] for event in workshop.of("session.started")} == {"one.a", "two.a"}
    again = await workshop.run()
    assert asked(again, "one.b").intervention == entry.intervention, "it is not asked twice"
    assert not workshop.of("session.started")
    await say(workshop, entry, "approve")
    report = await workshop.run()
    assert (report.exit_code, report.waiting) == (ExitCode.OK, ())
    assert [landed.epic for landed in report.landed] == ["one"]
    assert not (await workshop.status())["interventions"]


async def test_a_task_that_is_not_approved_blocks_its_successors(workshop: Workshop) -> None:
    workshop.plan(
        epic("one", task("one.a", approve="before"), task("one.b", depends_on=["one.a"]), task("one.c"))
    )
    await say(workshop, asked(await workshop.run(), "one.a"), "reject", "too early")
    report = await workshop.run()
    assert (report.exit_code, report.waiting) == (ExitCode.FAILED, ())
    assert "too early" in report.failed["one.a"]
    project = await workshop.project()
    await request(project, project.load_plan, "retry", "one.a")
    report = await workshop.run()
    await say(workshop, asked(report, "one.a"), "approve")
    assert (await workshop.run()).exit_code is ExitCode.OK


async def test_nothing_of_an_epic_starts_before_it_is_approved(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a"), task("one.b"), approve="before"))
    report = await workshop.run()
    assert not workshop.of("session.started")
    await say(workshop, asked(report, "one"), "approve")
    assert (await workshop.run()).exit_code is ExitCode.OK


async def test_an_epic_that_is_not_approved_does_not_start(workshop: Workshop) -> None:
    first, second = task("one.a"), task("one.b", depends_on=["one.a"])
    workshop.plan(epic("one", first, second, approve="before"))
    await say(workshop, asked(await workshop.run(), "one"), "reject")
    report = await workshop.run()
    assert not workshop.of("session.started")
    assert set(report.failed) == {"one.a"}
    assert report.exit_code is ExitCode.FAILED


async def test_finished_work_counts_once_it_is_approved(workshop: Workshop) -> None:
    first = task("one.a", approve="after")
    workshop.plan(epic("one", first, task("one.b", "cat one.a.txt > b.txt", depends_on=["one.a"])))
    report = await workshop.run()
    entry = asked(report, "one.a")
    (commit,) = entry.more["commits"]
    assert workshop.git("show", f"{entry.more['kept_ref']}:one.a.txt") == "one.a"
    assert workshop.git("rev-parse", entry.more["kept_ref"]) == commit
    assert "task.completed" not in workshop.types()
    assert (await workshop.states())["one.a"] == "pending"
    assert asked(await workshop.run(), "one.a").intervention == entry.intervention
    assert not workshop.of("session.started"), "what is finished is not done again"
    await say(workshop, entry, "approve")
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    assert {event["task"] for event in workshop.of("session.started")} == {"one.b"}
    (done, _) = workshop.of("task.completed")
    assert (done["task"], done["commit"]) == ("one.a", commit)
    assert (workshop.root / "b.txt").read_text() == "one.a\n"


async def test_rejected_work_is_done_again_with_what_the_person_said(workshop: Workshop) -> None:
    run = 'cat "$YOKE_PROMPT_FILE" > told.txt 2>/dev/null; echo $RANDOM$$ > a.txt'
    workshop.config(agents={"max_attempts": 1})
    workshop.plan(epic("one", task("one.a", run, approve="after")))
    entry = asked(await workshop.run(), "one.a")
    await say(workshop, entry, "reject", "Use tabs, please.")
    again = asked(await workshop.run(), "one.a")
    assert again.more["commits"] != entry.more["commits"]
    (started,) = workshop.of("session.started")
    prompt = (workshop.root / ".git/yoke/sessions" / started["session"] / "prompt.md").read_text()
    assert "Use tabs, please." in prompt
    assert entry.more["kept_ref"] in prompt
    assert started["attempt"] == 1, "what a person sends back is no failed attempt"
    await say(workshop, again, "approve")
    assert (await workshop.run()).exit_code is ExitCode.OK


@pytest.mark.parametrize("strategy", ["by_epic", "by_task"])
async def test_approved_work_is_joined_to_what_was_done_meanwhile(workshop: Workshop, strategy: str) -> None:
    workshop.config(parallel={"strategy": strategy})
    workshop.plan(epic("one", task("one.a", approve="after"), task("one.b")))
    entry = asked(await workshop.run(), "one.a")
    await say(workshop, entry, "approve")
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    assert not workshop.of("session.started")
    assert workshop.git("show", "main:one.a.txt", "main:one.b.txt") == "one.a\none.b"
    assert workshop.git("log", "--format=%(trailers:key=Yoke-Task,valueonly)", "main").split() != []
    workshop.assert_tidy()


async def test_approved_work_that_does_not_fit_any_more_is_done_again(workshop: Workshop) -> None:
    gated = task("one.a", "echo a >> same.txt", approve="after", files=["same.txt"])
    workshop.plan(epic("one", gated, task("one.b", "echo b >> same.txt")))
    entry = asked(await workshop.run(), "one.a")
    await say(workshop, entry, "approve")
    again = asked(await workshop.run(), "one.a")
    assert again.intervention != entry.intervention
    await say(workshop, again, "approve")
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert workshop.git("show", "main:same.txt") == "b\na"


async def test_an_epic_lands_once_it_is_approved(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a"), approve="after"), epic("two", task("two.a"), depends_on=["one"]))
    report = await workshop.run()
    entry = asked(report, "one")
    assert not report.landed, "two has taken in work of one"
    assert (await workshop.states())["two.a"] == "completed"
    assert asked(await workshop.run(), "one").intervention == entry.intervention
    await say(workshop, entry, "approve")
    report = await workshop.run()
    assert [landed.epic for landed in report.landed] == ["one", "two"]
    assert report.exit_code is ExitCode.OK


async def test_an_epic_that_is_rejected_stays_off_the_target_until_it_is_approved(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a"), approve="after"))
    await say(workshop, asked(await workshop.run(), "one"), "reject", "the colour is wrong")
    report = await workshop.run()
    entry = asked(report, "one")
    assert "the colour is wrong" in entry.reason
    assert not report.landed
    await say(workshop, entry, "approve")
    assert [landed.epic for landed in (await workshop.run()).landed] == ["one"]


async def test_whoever_lands_an_epic_by_name_approves_it(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a"), approve="after"))
    await workshop.run()
    report = await workshop.run(land=("one",))
    assert [landed.epic for landed in report.landed] == ["one"]
    assert not (await workshop.status())["interventions"]


async def test_an_approval_is_for_the_work_it_was_given_for(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a"), approve="after"))
    entry = asked(await workshop.run(), "one")
    workshop.plan(epic("one", task("one.a"), task("one.b"), approve="after"))
    await say(workshop, entry, "approve")
    later = asked(await workshop.run(), "one")
    assert later.intervention != entry.intervention
    assert set(later.more["commits"]) > set(entry.more["commits"])


async def test_an_answer_counts_once(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a", approve="before")))
    entry = asked(await workshop.run(), "one.a")
    with pytest.raises(UsageError, match="cannot be answered with answer: approve, reject"):
        await say(workshop, entry, "answer")
    await say(workshop, entry, "approve")
    with pytest.raises(UsageError, match="nothing is asked about that any more"):
        await say(workshop, entry, "reject")


async def test_an_answer_that_comes_at_the_very_end_is_acted_on(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.plan(epic("one", task("one.a", approve="before")))
    late = Control.late
    said: list[Event] = []

    async def deaf(control: Control) -> None:
        """Hears nothing: the answer comes after that has ended."""

    async def at_the_end(control: Control, waiting: Any) -> list[Event]:
        if not said:
            (entry,) = waiting.values()
            data = {"action": "approve", "item": "one.a", "by": "me", "confirm": True}
            data["intervention"] = entry.intervention
            said.append(Event("control.requested", run=control._recorder.run, data=data))
            control._project.journal.append(*said)
        return await late(control, waiting)

    monkeypatch.setattr(Control, "_listen", deaf)
    monkeypatch.setattr(Control, "late", at_the_end)
    assert (await workshop.run()).exit_code is ExitCode.OK
    (applied,) = workshop.of("control.applied")
    assert applied["outcome"] == "done"


async def test_a_run_that_goes_on_hears_reject_and_approve(workshop: Workshop) -> None:
    waits = "until git rev-parse -q --verify main^; do sleep 0.05; done; echo b > b.txt"
    workshop.plan(
        epic("one", task("one.a", "echo $RANDOM$$ > a.txt", approve="after")),
        epic("two", task("two.a", waits)),
    )
    project = await workshop.project()
    run = asyncio.create_task(workshop.run())
    choices: tuple[Any, ...] = ("reject", "approve")
    for number, choice in enumerate(choices, 1):
        async with asyncio.timeout(60):
            while len(workshop.of("intervention.opened")) < number:
                await asyncio.sleep(0.02)
        opened = workshop.of("intervention.opened")[-1]
        await request(
            project, project.load_plan, choice, "one.a", intervention=opened["intervention"], text="Again."
        )
    report = await asyncio.wait_for(run, 60)
    assert report.exit_code is ExitCode.OK
    assert [event["task"] for event in workshop.of("session.started")].count("one.a") == 2
    assert [event["choice"] for event in workshop.of("intervention.resolved")] == ["reject", "approve"]


async def test_work_that_was_joined_before_a_crash_counts(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a", approve="after")))
    entry = asked(await workshop.run(), "one.a")
    await say(workshop, entry, "approve")
    (commit,) = entry.more["commits"]
    workshop.git("reset", "-q", "--hard", commit, cwd=workshop.root / ".worktrees" / "one")
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    assert not workshop.of("session.started")
    assert workshop.of("task.completed")[0]["commit"] == commit


async def test_approved_work_that_is_gone_is_done_again(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a", "echo $RANDOM$$ > a.txt", approve="after")))
    entry = asked(await workshop.run(), "one.a")
    await say(workshop, entry, "approve")
    workshop.git("update-ref", "-d", entry.more["kept_ref"])
    workshop.git("reflog", "expire", "--expire=now", "--all")
    workshop.git("worktree", "remove", "--force", str(workshop.root / ".worktrees" / "one"))
    workshop.git("gc", "-q", "--prune=now")
    again = asked(await workshop.run(), "one.a")
    assert again.more["commits"] != entry.more["commits"]


async def test_a_skipped_task_needs_no_approval(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a", approve="after"), task("one.b")))
    await workshop.run()
    project = await workshop.project()
    await request(project, project.load_plan, "skip", "one.a")
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert not (await workshop.status())["interventions"]
