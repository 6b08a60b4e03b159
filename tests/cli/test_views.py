"""What `yoke status` and `yoke plugins` print, tables, and advice."""

from __future__ import annotations

import json

import click
import pytest

from yokeflow.__main__ import main
from yokeflow.cli import output
from yokeflow.cli.advice import answer_lines, answers, consequence
from yokeflow.cli.lines import describe
from yokeflow.cli.live_frame import frame
from yokeflow.cli.status_view import status_lines
from yokeflow.cli.words import clock, money, span, spent
from yokeflow.engine.people.consequence import Held
from yokeflow.engine.reports.glance import in_landing_order
from yokeflow.events import Event


def item(name, kind="task", **changes):
    values = {
        "id": name,
        "kind": kind,
        "epic": name.partition(".")[0] if kind == "task" else None,
        "title": f"The {name}",
        "status": "pending",
        "attempts": 0,
        "cost_usd": None,
        "commit": None,
        "waits_for": [],
    }
    return {**values, **changes}


def state(*items, **changes):
    values = {
        "project": "calc",
        "run": {"id": "r1", "state": "running", "started": "", "elapsed": 65.0, **cost(None, 1)},
        "items": list(items),
        "landings": [],
        "interventions": [],
    }
    return {**values, **changes}


def cost(known, unknown=0):
    return {"cost_usd": known, "unknown_costs": unknown}


def lines(told, columns=80, **options):
    return [click.unstyle(line) for line in status_lines(told, columns, **options)]


def test_status_tells_how_far_each_item_is():
    told = state(
        item("core", "epic"),
        item("core.one", status="completed", commit="abcdef123", cost_usd=0.5, attempts=1),
        item("core.two", status="in_progress", attempts=2),
        item("core.three", waits_for=["core.two", "i1"]),
        interventions=[
            {"id": "i1", "kind": "retry_limit", "item": "core.three", "reason": "why", "choices": []}
        ],
    )
    shown = lines(told)
    assert shown[0].startswith("calc: run running, 1:05, cost unknown")
    assert shown[1] == "1 of 3 tasks done, 0 epics landed"
    assert shown[3].endswith("1/3")
    assert shown[4].endswith("abcdef1  $0.50")
    assert shown[5].endswith("runs, attempt 2")
    assert shown[6].endswith("waits for core.two, you")
    assert "! core.three  why" in shown
    assert all(len(line) <= 80 for line in shown)


def test_an_epic_that_waits_for_approval_is_not_said_to_wait_for_the_queue():
    asked = {"id": "i1", "kind": "approval", "item": "core", "reason": "why", "choices": []}
    told = state(
        item("core", "epic", status="completed", waits_for=["i1"]),
        item("core.one", status="completed", commit="abcdef123"),
        landings=[{"epic": "core", "status": "queued", "commit": None, "reason": ""}],
        interventions=[asked],
    )
    assert "waits for you to land  1/1" in lines(told)[3]


def test_what_was_skipped_counts_as_done_and_is_named():
    told = state(item("core", "epic"), item("core.one", status="cancelled"), item("core.two"))
    shown = lines(told)
    assert shown[1] == "1 of 2 tasks done (1 skipped), 0 epics landed"
    assert shown[3].endswith("1/2")
    assert shown[4].endswith("skipped")


@pytest.mark.parametrize(
    ("landing", "mark", "told"),
    [
        ({"status": "conflict", "reason": "conflict in a, b"}, "✘", "conflict: a, b  1/1"),
        ({"status": "rejected", "reason": "red"}, "✘", "rejected: red  1/1"),
        ({"status": "queued", "waits_for": ["two"]}, "◌", "queued to land, after two  1/1"),
        ({"status": "queued"}, "◌", "queued to land  1/1"),
    ],
)
def test_an_epic_that_did_not_land_is_not_ticked_off(landing, mark, told):
    landings = [{"epic": "core", "commit": None, "reason": None, **landing}]
    done = item("core", "epic", status="completed"), item("core.one", status="completed")
    shown = lines(state(*done, landings=landings))[3]
    assert shown.startswith(f"{mark} core")
    assert shown.endswith(told)


def test_nothing_is_padded_where_nothing_is_told():
    run = {"id": "r1", "state": "cancelled", "strategy": "by_epic", "elapsed": 5.0, **cost(None)}
    for shown in lines(state(item("core", "epic"), item("core.one"), run=run), 100):
        assert shown == shown.rstrip()


def test_status_and_live_view_say_the_same_about_waiting(story):
    story.begin()
    story.tell("task.ready", task="core.one")
    story.start("core.one")
    story.tell("task.ready", task="core.two")
    story.state.tasks["core.two"].predecessors = ()
    live = [line.plain for line in frame(story.state, story.now, 80, 24)]
    run = {"id": "r1", "state": "running", "strategy": "by_epic", "elapsed": 5.0, **cost(None)}
    told = state(
        item("core", "epic", status="in_progress"),
        item("core.one", status="in_progress"),
        item("core.two"),
        item("app", "epic", waits_for=[]),
        item("app.main", waits_for=["core.one"]),
        item("app.help", waits_for=["app.main", "core"]),
        run=run,
    )
    for text in lines(told):
        name = text.split()[1] if len(text.split()) > 1 else ""
        if "." in name and name != "core.one":
            [same] = [line for line in live if f" {name} " in line]
            assert same.split("  ")[-1].strip() == text.split("  ")[-1].strip()
    assert any("app " in line and "waits for core, core.one" in line for line in live)
    assert any("app " in line and "waits for core, core.one" in line for line in lines(told))


def test_a_queued_landing_says_for_which_epics_it_waits():
    told = state(
        item("core", "epic"),
        item("core.one", status="completed"),
        item("app", "epic"),
        item("app.main", status="completed"),
        item("web", "epic"),
        item("web.x", status="cancelled"),
        landings=[{"epic": "core", "status": "conflict"}, {"epic": "app", "status": "queued"}],
    )
    ordered = in_landing_order(told, [("app", "core"), ("app", "web")])
    assert [entry["waits_for"] for entry in ordered["landings"]] == [[], ["core"]]
    mutual = in_landing_order(told, [("app", "core"), ("core", "app")])
    assert mutual["landings"][1]["waits_for"] == []


@pytest.mark.parametrize(
    ("known", "unknown", "told"),
    [
        (0.0, 0, "$0.00"),
        (0.5, 1, "$0.50 + unknown"),
        (None, 1, "unknown"),
        (None, 0, "none"),
    ],
)
def test_costs_are_told_none_or_unknown(known, unknown, told):
    run = {"id": "r1", "state": "completed", "started": "", "elapsed": 5.0, **cost(known, unknown)}
    assert f"cost {told}  r1" in lines(state(item("core.one"), run=run))[0]


def test_an_epic_runs_only_while_something_of_it_does():
    epic = item("core", "epic", status="in_progress")
    one, two = item("core.one", status="completed"), item("core.two", status="in_progress")
    assert lines(state(epic, one, two))[3].startswith("● core")
    waiting = lines(state(epic, one, item("core.two", waits_for=["core.x"])))[3]
    assert waiting.startswith("◐ core")
    assert "stopped" not in waiting
    over = {"id": "r1", "state": "cancelled", "started": "", "elapsed": 5.0, **cost(None)}
    shown = lines(state(epic, one, two, run=over))
    assert shown[3].startswith("◐ core")
    assert shown[3].endswith("stopped  1/2")
    assert shown[5].startswith("   ◐ core.two")
    assert shown[5].endswith("interrupted")
    failed = lines(state(epic, one, item("core.two", status="failed"), run=over))
    assert failed[3].endswith("stopped, 1 failed  1/2")
    landing = [{"epic": "core", "status": "testing", "commit": None, "reason": None}]
    assert lines(state(epic, one, landings=landing))[3].startswith("● core")


def test_tasks_of_landed_epics_are_shown_when_everything_is():
    landed = [{"epic": "core", "status": "landed", "commit": "1234567890", "reason": None}]
    told = state(
        item("core", "epic", status="completed"), item("core.one", status="completed"), landings=landed
    )
    assert not any("core.one" in line for line in lines(told))
    assert any("landed 1234567" in line for line in lines(told))
    assert any("core.one" in line for line in lines(told, everything=True))


def test_a_table_is_aligned_and_hides_control_sequences(capsys):
    output.table(("name", "n"), [("a\x1b[2Jb", 1), ("漢字", 22), (None, 333)], right={1})
    assert capsys.readouterr().out.splitlines() == ["name    n", "ab      1", "漢字   22", "      333"]


def test_plugins_are_listed_with_where_they_come_from_and_their_hooks(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["plugins", "--json"]) == 0
    loaded = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)["loaded"]}
    assert loaded["yoke_agents"]["source"] == "built in"
    assert loaded["yoke_agents"]["hooks"] == ["register_agents"]
    (tmp_path / ".yokeflow.yaml").write_text("plugins: {disabled: [yoke_costs]}\n")
    assert main(["plugins"]) == 0
    said = capsys.readouterr().out
    assert "yoke_costs is disabled" in said
    assert "resolve_dependencies" in said


GOOD = "from yokeflow.hookspecs import hookimpl\n@hookimpl\ndef order_ready(ready): return None\n"
BAD = "from yokeflow.hookspecs import hookimpl\n@hookimpl\ndef order_ready(reddy): return None\n"


def install(folder, name, text, version="1.2"):
    """A distribution as a package installer leaves it, with one plugin."""
    info = folder / f"{name}_dist-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-dist\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[yokeflow]\n{name} = {name}\n")
    (folder / f"{name}.py").write_text(text)


def test_installed_plugins_have_their_distribution_and_broken_ones_a_reason(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("YOKE_PLUGINS")
    install(tmp_path, "good_one", GOOD)
    install(tmp_path, "bad_one", BAD, "0.3")
    install(tmp_path, "gone_one", "import there_is_no_such_module\n")
    assert main(["plugins", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["loaded"][0]["name"] == "good_one"
    assert told["loaded"][0]["source"] == "good_one-dist 1.2"
    failed = {entry["name"]: entry for entry in told["failed"]}
    assert failed["bad_one"]["source"] == "bad_one-dist 0.3"
    assert "reddy" in failed["bad_one"]["reason"]
    assert "hookspecs" in failed["bad_one"]["hint"]
    assert "no module named 'there_is_no_such_module'" in failed["gone_one"]["reason"].lower()
    assert main(["plugins"]) == 1
    said = capsys.readouterr()
    assert "failed: cannot be loaded" in said.out
    assert "plugins.disabled: [gone_one]" in said.err
    assert main(["plan", "show"]) != 0, "elsewhere it is an error"


def test_a_plugin_that_was_named_says_so_and_takes_nobodys_name(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "named_one.py").write_text(GOOD)
    monkeypatch.setenv("YOKE_PLUGINS", "no_such_one")
    assert main(["plugins"]) == 1
    assert "correct the environment variable YOKE_PLUGINS" in capsys.readouterr().err
    monkeypatch.setenv("YOKE_PLUGINS", "named_one, yoke_models")
    assert main(["plugins", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    sources = {entry["name"]: entry["source"] for entry in told["loaded"]}
    assert sources["named_one"] == "named in YOKE_PLUGINS"
    assert sources["yoke_models"] == "built in"
    assert [entry["name"] for entry in told["failed"]] == ["yoke_models"]


def test_advice_fits_the_item_and_is_quoted():
    assert [answer.command for answer in answers("a", ("retry", "land", "skip"), of_epic=False)] == [
        "yoke retry a",
        "yoke skip a",
    ]
    assert [answer.command for answer in answers("a b", (), of_epic=True)] == ["yoke land 'a b'"]


def test_numbers_are_put_into_words():
    assert [clock(7), clock(725), clock(10860)] == ["0:07", "12:05", "3:01:00"]
    assert [span(0.42), span(59.6), span(725), span(183900)] == ["0.4 s", "1 min", "12 min 5 s", "2 d 3 h"]
    assert [money(None), money(0.0042), money(3)] == ["unknown", "$0.0042", "$3.00"]
    assert [spent(None, unknown=True), spent(None, unknown=False)] == ["unknown", "none"]


def test_the_consequence_of_not_answering_is_told():
    assert consequence(Held(("a.one", "a.two"), ("a",))) == "2 tasks and 1 landing wait"
    assert consequence(Held((), ("a",))) == "1 landing waits"
    assert consequence(Held((), ())) == "nothing waits for it"


def test_status_rebuilt_from_git_claims_no_interruption():
    run = {"id": "r1", "state": "interrupted", "reason": "told by git", "elapsed": 2.0, **cost(None)}
    head = lines(state(run=run))[0]
    assert head == "calc: rebuilt from git, which knows no costs and no times of runs"
    assert "run interrupted" in lines(state(run={**run, "reason": ""}))[0]


def test_forecasts_name_tasks_by_plan_order():
    forecast = {
        "epics": ["shop", "ads"],
        "target": None,
        "files": ["same.txt"],
        "more": 0,
        "tasks": {"ads": ["ads.one"], "shop": ["shop.one"]},
        "meaning": "shop and ads do not merge",
    }
    shown = lines(state(item("shop", "epic"), item("ads", "epic"), forecasts=[forecast]))
    assert "  same.txt, changed by shop.one, ads.one" in shown


def test_events_told_by_git_claim_nothing_that_git_does_not_know():
    said = [
        describe(Event(name, data=data))[0]
        for name, data in (
            ("run.started", {"target": "main"}),
            ("session.started", {"attempt": 1, "agent": ""}),
            ("session.finished", {"state": "completed", "cost_usd": None}),
            ("run.finished", {"state": "interrupted", "reason": "told by git"}),
        )
    ]
    assert said == [
        "started, onto main",
        "an agent started",
        "session completed",
        "was over by then (told by git)",
    ]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({}, "nothing has changed"),
        ({"validated": ["m1"]}, "1 lesson of files that are gone"),
        (
            {"versions": {"api": 3, "web": 1}, "validated": [], "pruned": ["m1", "m2"]},
            "2 lessons of no more use, compiled api 3, web 1",
        ),
    ],
)
def test_a_revision_tells_what_it_did_with_the_lessons(data, told):
    assert describe(Event("expertise.revised", data=data))[0] == f"went through the lessons: {told}"


def test_effects_stand_below_commands_that_leave_no_room():
    rows = [("yoke land a", "land it"), (f"git -C /{'x' * 40} merge main", "merge by hand")]
    wide = [click.unstyle(line) for line in answer_lines(rows, "  ", 100)]
    assert wide[0] == f"  {'yoke land a'.ljust(59)}  land it"
    assert [click.unstyle(line) for line in answer_lines(rows, "  ", 70)] == [
        "  yoke land a",
        "    land it",
        f"  git -C /{'x' * 40} merge main",
        "    merge by hand",
    ]
