"""The last word of a run."""

from __future__ import annotations

import click
import pytest

from yokeflow.cli.advice import Place
from yokeflow.cli.report import report_lines
from yokeflow.engine.report import Landed, RunReport, Waiting
from yokeflow.errors import ExitCode


def report(story, **changes):
    state = story.state
    values = {
        "run": "r",
        "state": "completed",
        "exit_code": ExitCode.OK,
        "reason": "",
        "target": "main",
        "seconds": 30.0,
        "work_seconds": 90.0,
        "cost_usd": 1.5,
        "unknown_costs": 0,
        "completed": tuple(
            name for name, task in state.tasks.items() if task.phase == "done" and not task.earlier
        ),
        "failed": {},
        "blocked": {},
        "landed": tuple(Landed(entry.epic, entry.commit, entry.tasks) for entry in state.landings),
        "waiting": tuple(
            Waiting(q.id, q.kind, q.item, q.reason, q.choices) for q in state.questions.values()
        ),
    }
    return RunReport(**{**values, **changes})


def said(story, columns=100, **changes):
    return [click.unstyle(line) for line in report_lines(story.state, report(story, **changes), columns)]


@pytest.fixture
def finished(story):
    story.begin()
    for task in story.plan.tasks:
        story.start(task)
        story.end(task)
    story.land("core")
    story.land("app")
    return story


def test_what_landed_is_drawn_with_commits_and_dependencies(finished):
    lines = said(finished)
    assert "Landed on main" in lines
    assert "  ●  core000  core  The core  2 tasks" in lines
    assert "  ●  app0000  app   The app  2 tasks, after core" in lines
    assert "Not landed" not in lines
    assert not any("yoke attention" in line for line in lines)


def test_time_saved_is_told(finished):
    assert "  time     0:30, one by one 1:30: 1 min saved, 3.0 times as fast" in said(finished)
    assert "  time     0:30, one by one 0:20: nothing saved" in said(finished, work_seconds=20.0)
    assert "  time     0:30" in said(finished, completed=())


@pytest.mark.parametrize(
    ("known", "unknown", "text"),
    [
        (1.5, 0, "$1.50"),
        (1.5, 2, "$1.50 + unknown for 2 sessions"),
        (None, 3, "unknown: the agents did not say"),
        (None, 0, "none: no session ran"),
    ],
)
def test_unknown_costs_are_unknown(finished, known, unknown, text):
    assert f"  cost     {text}" in said(finished, cost_usd=known, unknown_costs=unknown)


def test_what_failed_has_its_reason_and_the_commands_to_type(story):
    story.begin()
    story.start("core.one")
    story.fail("core.one")
    story.tell("task.blocked", task="core.two", by=["core.one"])
    lines = said(
        story,
        state="failed",
        reason="something waits for a person",
        failed={"core.one": "check `make test` failed (2)"},
        blocked={
            "core.two": ("core.one",),
            "app.main": ("core.one",),
            "app.help": ("app.main", "core.two"),
            # These two wait for an approval.
            "docs.one": (),
            "docs.two": ("docs.one",),
        },
    )
    text = "\n".join(lines)
    assert "✘ failed: something waits for a person" in lines
    assert "Nothing landed on main." in lines
    assert "  ! core.one  check `make test` failed (2)" in lines
    assert "yoke retry core.one" in text
    assert "yoke skip core.one" in text
    assert "yoke show core.one" in text
    assert "3 tasks held up by core.one: app.help, app.main, core.two" in lines
    assert "  ✘ core  0/2 tasks done, failed: core.one" in lines
    assert "  ○ app   0/2 tasks done, waits for core, core.one" in lines
    assert any(line.strip().startswith("yoke attention") for line in lines)


def test_a_rejected_epic_is_landed_again(story):
    story.begin()
    for task in ("core.one", "core.two"):
        story.start(task)
        story.end(task)
    story.tell("landing.rejected", epic="core", reason="check red")
    story.tell(
        "intervention.opened",
        epic="core",
        intervention="i",
        kind="red_check",
        reason="check red",
        choices=["land"],
    )
    text = "\n".join(said(story, state="failed"))
    assert "✘ core  2/2 tasks done, rejected: check red" in text
    assert "yoke land core" in text
    assert "yoke retry" not in text


def test_a_cancelled_run_says_how_to_go_on(story):
    story.begin()
    lines = said(story, state="cancelled", reason="stopped by a person")
    assert "■ cancelled: stopped by a person" in lines
    assert any(line.strip().startswith("yoke resume") for line in lines)


def test_a_run_with_nothing_to_do_says_so(story):
    story.tell("run.started", target="main", batches=[], before={"landed": ["core", "app"]})
    lines = said(story)
    assert lines[1] == "✔ everything was done already: 4 tasks, 2 epics landed before"
    assert not any("done  " in line or "Nothing landed" in line for line in lines)


def test_a_selection_with_nothing_to_do_says_so(story):
    story.tell("run.started", target="main", batches=[["app.help"]], before={"landed": ["core"]})
    assert said(story)[1] == "✔ all that was asked for was done already: 3 tasks, 1 epic landed before"


def test_a_later_run_counts_everything_and_says_what_was_before(story):
    before = {"landed": ["core"], "skipped": ["core.two"]}
    story.tell("run.started", target="main", batches=[["app.main"], ["app.help"]], before=before)
    for task in ("app.main", "app.help"):
        story.start(task)
        story.end(task)
    story.land("app")
    figures = "4 of 4 tasks, 2 of 2 epics landed, 1 skipped, 2 tasks and 1 epic of them before"
    assert f"  done     {figures}" in said(story)


def test_a_finished_epic_says_for_which_it_waits(story):
    held = {"core": {"kind": "conflict", "reason": "core conflicts with main in a"}}
    story.tell("run.started", target="main", batches=[], before={"landed": [], "held": held})
    waiting = Waiting("i", "conflict", "core", "core conflicts with main in a", ("land",))
    lines = said(story, state="failed", waiting=(waiting,))
    assert "  ○ app   2/2 tasks done, waits for core to land" in lines
    assert any(line.startswith("  ✘ core  2/2 tasks done, conflict") for line in lines)


def test_a_conflict_is_merged_where_the_branch_is(story, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    held = {"core": {"kind": "conflict", "reason": "core conflicts with main in a"}}
    story.tell("run.started", target="main", batches=[], before={"landed": [], "held": held})
    waiting = (Waiting("i", "conflict", "core", "core conflicts with main in a", ("land",)),)
    place = Place(tmp_path / ".worktrees", "epic/", "main")

    def typed():
        told = report_lines(story.state, report(story, state="failed", waiting=waiting), 400, place)
        lines = [click.unstyle(line).strip().partition("   ")[0].partition("  ")[0] for line in told]
        return lines[lines.index("yoke show core") + 1 :][:2]

    assert typed() == ["git switch epic/core && git merge main", "yoke land core"]
    (tmp_path / ".worktrees" / "core").mkdir(parents=True)
    assert typed() == [f"git -C {tmp_path}/.worktrees/core merge main", "yoke land core"]


def test_without_advice_nothing_is_said_about_what_comes_next(finished):
    told = report_lines(finished.state, report(finished), 100, advise=False)
    assert not any("yoke status" in line for line in told)


def test_long_titles_are_cut(finished):
    long = "word " * 60
    story = finished
    epic = story.state.epics["core"]
    epic.epic = type(epic.epic)(epic.epic.id, long, epic.epic.depends_on, epic.epic.tasks)
    assert all(len(line) <= 82 for line in said(story, columns=80))
