"""The live view: what is folded from events, and what fits on a terminal."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import click
import pytest
from rich.console import Console

from yokeflow.cli.lines import event_lines
from yokeflow.cli.live_frame import FOOTER, frame
from yokeflow.cli.live_items import Phase
from yokeflow.cli.live_view import LiveView
from yokeflow.cli.words import shortened
from yokeflow.events import Event

SIZES = [(80, 24), (100, 30), (200, 60), (60, 12), (40, 8)]


def picture(story, width=80, height=24, later=0.0, notice=""):
    now = story.now + timedelta(seconds=later)
    return [line.plain for line in frame(story.state, now, width, height, notice)]


def row(lines, start):
    return next(line for line in lines if line.strip(" ○◌◐◓◑◒✔✘⊘·–").startswith(start))


def test_a_task_goes_through_its_phases(story):
    story.begin()
    task = story.state.tasks["core.one"]
    seen = [task.phase]
    story.tell("task.ready", task="core.one")
    seen.append(task.phase)
    story.start("core.one")
    seen.append(task.phase)
    story.tell("check.finished", task="core.one", stage="task", passed=True)
    seen.append(task.phase)
    story.end("core.one")
    seen.append(task.phase)
    assert seen == [Phase.WAITING, Phase.READY, Phase.RUNNING, Phase.CHECKING, Phase.DONE]
    assert (task.seconds, task.cost, task.commit[:6]) == (10.0, 0.25, "c0ffee")


def test_a_later_run_counts_what_earlier_ones_did(story):
    before = {"landed": ["core"], "skipped": ["core.two"]}
    story.tell("run.started", target="main", batches=[["app.main"], ["app.help"]], before=before)
    assert "2/4 tasks (1 skipped) · 1/2 landed" in picture(story)[0]
    lines = picture(story)
    assert row(lines, "core ").startswith(" ✔")
    assert row(lines, "core ").endswith("landed before  2/2")
    assert row(lines, "core.one").startswith("   ✔")
    assert row(lines, "core.one").endswith("done before")
    assert row(lines, "core.two").startswith("   –")


def test_a_later_run_shows_what_is_held_and_what_waits_for_it(story):
    held = {"core": {"kind": "conflict", "reason": "core conflicts with main in a"}}
    before = {"landed": [], "skipped": [], "held": held, "failed": {"app.main": "red"}}
    story.tell("run.started", target="main", batches=[["app.main"]], before=before)
    lines = picture(story)
    assert row(lines, "core ").startswith(" ✘")
    assert "conflict: core conflicts" in row(lines, "core ")
    assert row(lines, "app.main").endswith("red")
    story.tell("run.started", target="main", batches=[], before={**before, "failed": {}})
    assert row(picture(story), "app ").startswith(" ◌")
    assert row(picture(story), "app ").endswith("queued to land, after core  2/2")


def test_a_session_that_failed_tells_its_last_lines(story):
    story.begin()
    story.start("core.one")
    story.tell("session.output", task="core.one", kind="text", text="working")
    output = "working\nTraceback\n\nValueError: no\n"
    story.tell("session.finished", task="core.one", state="failed", reason="exit code 1", output=output)
    assert [text for _, text in story.state.output] == ["working", "Traceback", "ValueError: no"]
    said = [click.unstyle(line).split("  ")[1] for line in event_lines(story.events[-1])]
    assert said[0].startswith("core.one: session failed")
    assert said[0].endswith(": exit code 1")
    assert said[1:] == [f"core.one: | {text}" for text in ("working", "Traceback", "ValueError: no")]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ({"landings": 1, "sessions": 2}, "1 landing and 2 sessions"),
        ({"landings": 0, "sessions": 1}, "1 session"),
        ({"landings": 0, "sessions": 0}, "tasks"),
    ],
)
def test_what_git_told_is_named_without_what_it_did_not(data, what):
    (line,) = event_lines(Event("store.rebuilt", data=data))
    assert f"git told the store of {what} that" in click.unstyle(line)


def test_long_ids_are_cut_in_the_middle():
    shown = [shortened(f"a-very-long-name.{end}", 10) for end in ("one", "two")]
    assert shown == ["a-ver….one", "a-ver….two"]
    assert shortened("short", 5) == "short"


def test_the_budget_of_the_run_stands_beside_what_is_spent(story):
    story.tell("run.started", target="main", batches=[["core.one"], ["core.two"]], budget_usd=4.0)
    assert "$0.00 of $4.00" in picture(story)[0]
    story.start("core.one")
    story.end("core.one", cost=None)
    assert "unknown of $4.00" in picture(story)[0]


def test_an_unknown_cost_is_never_shown_as_nothing(story):
    story.begin()
    story.start("core.one")
    story.end("core.one", cost=None)
    assert story.state.cost() == (None, True)
    assert "$" not in "\n".join(picture(story))
    story.start("core.two")
    story.end("core.two", cost=0.5)
    assert story.state.cost() == (0.5, True)
    assert "$0.50 + unknown" in picture(story)[0]


def test_waiting_names_what_is_unfinished_as_the_plan_names_it(story):
    story.begin()
    state = story.state
    assert state.waits_for(state.tasks["app.help"]) == ["app.main", "core"]
    story.start("core.one")
    story.end("core.one")
    assert state.waits_for(state.tasks["app.main"]) == []
    story.start("core.two")
    story.end("core.two")
    assert state.waits_for(state.tasks["app.help"]) == ["app.main"]
    assert row(picture(story), "app.help").endswith("waits for app.main")


def test_a_ready_task_waits_for_the_one_that_has_its_lane(story):
    story.begin()
    story.start("app.main")
    story.tell("task.ready", task="app.help")
    story.tell("task.ready", task="core.one")
    story.state.tasks["app.help"].predecessors = ()
    assert row(picture(story), "app.help").endswith("waits for app.main")
    assert row(picture(story), "core.one").endswith("ready")


def test_a_running_task_shows_who_which_attempt_and_how_long(story):
    story.begin()
    story.start("core.one", attempt=2)
    line = row(picture(story, later=75), "core.one")
    assert line.endswith("claude sonnet  attempt 2    1:15")


def test_another_attempt_says_why(story):
    story.begin()
    story.start("core.one")
    story.tell(
        "session.finished", task="core.one", state="failed", reason="check failed", seconds=3.0, cost_usd=0.1
    )
    story.tell("task.ready", task="core.one")
    assert row(picture(story), "core.one").endswith("again after: check failed")


def test_trouble_is_shown_with_the_command_that_answers_it(story):
    story.begin()
    story.start("core.one")
    story.fail("core.one")
    story.tell("task.blocked", task="core.two", by=["core.one"])
    lines = picture(story, width=100)
    assert row(lines, "core.one").endswith("check `make test` failed (2)")
    assert row(lines, "core.two").endswith("waits for core.one")
    assert any(line.startswith(" ! core.one") and "yoke retry core.one" in line for line in lines)
    story.tell("intervention.resolved", intervention="i-core.one", choice="retry", by="ada")
    assert not any(line.startswith(" !") for line in picture(story))


@pytest.mark.parametrize(
    ("type_", "data", "said"),
    [
        ("landing.queued", {}, "queued to land"),
        ("landing.testing", {}, "landing: checks 0:04"),
        ("landing.landed", {"commit": "abcdef1234"}, "landed abcdef1"),
        ("landing.rejected", {"reason": "check red"}, "rejected: check red"),
        ("landing.conflicted", {"files": ["a.py", "b.py"]}, "conflict: a.py, b.py"),
    ],
)
def test_an_epic_shows_its_landing(story, type_, data, said):
    story.begin()
    story.tell(type_, epic="core", **data)
    assert row(picture(story, later=4), "core ").endswith(f"{said}  0/2")


def test_a_conflict_of_an_epic_is_answered_by_landing_it(story):
    story.begin()
    story.tell(
        "intervention.opened",
        epic="core",
        intervention="i",
        kind="conflict",
        reason="a.py",
        choices=["retry", "land"],
    )
    assert any("yoke land core" in line for line in picture(story))


def test_the_footer_tells_what_matters_most(story):
    story.begin()
    assert FOOTER in picture(story)[-1]
    story.tell("run.paused", by="ada")
    assert "paused" in picture(story)[-1]
    story.tell("store.lost", reason="gone")
    assert "store is down" in picture(story)[-1]
    assert picture(story, notice="stopping")[-1].strip() == "stopping"
    story.tell("store.found")
    story.tell("run.continued", by="ada")
    assert FOOTER in picture(story)[-1]


@pytest.mark.parametrize(
    ("kind", "choices", "command"),
    [
        ("approval", ["approve", "reject"], "yoke attention answer core.one approve"),
        ("question", ["answer", "skip"], "yoke attention answer core.one --text '…'"),
    ],
)
def test_a_task_whose_session_ended_with_a_question_waits_for_you(story, kind, choices, command):
    story.begin()
    story.start("core.one")
    story.tell("session.finished", task="core.one", state="completed", seconds=1.0, cost_usd=None)
    story.tell(
        "intervention.opened", task="core.one", intervention="i", kind=kind, reason="Why?", choices=choices
    )
    lines = picture(story)
    assert any("core.one" in line and "waits for you" in line for line in lines)
    assert any(command in line for line in lines)
    story.tell("intervention.resolved", task="core.one", intervention="i", choice=choices[0], by="ada")
    assert not any("waits for you" in line for line in picture(story))


def test_a_warning_is_shown_with_its_hint(story):
    story.begin()
    story.tell("plugin.failed", plugin="yoke_x", hook="learn", error="boom")
    assert any("plugin yoke_x failed in learn: boom" in line for line in picture(story))


def test_what_agents_print_cannot_steer_the_terminal(story):
    story.begin()
    story.start("core.one")
    story.tell("session.output", task="core.one", kind="text", text="red \x1b[31malert\x1b[2J\bgone\tx")
    line = picture(story)[-2]
    assert line == " core.one │ red alertgone  x"


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_two_hundred_tasks_fit_every_terminal(large_story, width, height):
    large_story.begin()
    for number in range(6):
        for i in range(5):
            large_story.start(f"area{number:02}.t{i}")
            large_story.end(f"area{number:02}.t{i}")
        large_story.land(f"area{number:02}")
    large_story.start("area06.t0")
    large_story.start("area07.t0")
    large_story.fail("area07.t0")
    large_story.tell("session.output", task="area06.t0", kind="text", text="long " * 100)
    lines = frame(large_story.state, large_story.now, width, height)
    assert len(lines) == height
    assert all(line.cell_len <= width for line in lines)
    text = "\n".join(line.plain for line in lines)
    assert "area06.t0" in text
    assert "area07" in text
    if height < 40:
        assert "6 epics over" in text
        assert "area00.t0" not in text


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_wide_characters_do_not_wrap(story, width, height):
    story.begin()
    story.start("core.one")
    story.tell("session.output", task="core.one", kind="text", text="漢字" * 200)
    assert all(line.cell_len <= width for line in frame(story.state, story.now, width, height))


def test_spare_lines_are_given_to_epics_that_wait(large_story):
    large_story.begin()
    large_story.start("area00.t0")
    assert "area09" in "\n".join(picture(large_story, height=40))
    assert sum("area" in line and "waits for" in line for line in picture(large_story, height=40)) > 20


async def test_the_view_paints_and_gives_the_terminal_back(story):
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=80, height=24, color_system=None)
    story.state.started = datetime.now(UTC)
    async with LiveView(story.state, console) as view:
        view(Event("run.started", data={"target": "trunk", "batches": [list(story.plan.tasks)]}))
        view.say("stopping")
        view._draw()
        before = len(shown.getvalue())
        view._draw()
        assert len(shown.getvalue()) == before, "an unchanged picture was painted again"
    text = shown.getvalue()
    assert "onto trunk" in text
    assert "stopping" in text
    assert text.index("\x1b[?1049h") < text.index("onto trunk") < text.rindex("\x1b[?1049l")
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
