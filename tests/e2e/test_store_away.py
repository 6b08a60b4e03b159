"""While the store is away: who answers instead, and what becomes of what people ask for meanwhile."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.engine.people.control import Became, request
from yokeflow.engine.reports import status_file
from yokeflow.engine.reports.git_layer import needs_of
from yokeflow.events import Event
from yokeflow.store.fold import fold, of_plan

if TYPE_CHECKING:
    from collections.abc import Callable

#: Nobody listens there.
AWAY = "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture
async def failed(workshop: Workshop) -> Workshop:
    """A project with a landed epic, and one whose task was given up."""
    workshop.config(agents={"max_attempts": 1})
    workshop.plan(
        epic("a", task("a.1")),
        epic("b", task("b.1", "test -e ../../../go && echo b > b"), task("b.2", depends_on=["b.1"])),
    )
    await workshop.run()
    return workshop


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch, database_url: str) -> Callable[[bool], None]:
    """Takes the store away, and gives it back."""

    def change(gone: bool) -> None:
        monkeypatch.setenv("YOKE_DATABASE_URL", AWAY if gone else database_url)

    return change


def status(shop: Workshop) -> dict[str, Any]:
    said = shop.yoke("status", "--json")
    assert said.returncode == 0, said.stderr
    found: dict[str, Any] = json.loads(said.stdout)
    return found


def states(state: dict[str, Any]) -> dict[str, str]:
    return {item["id"]: item["status"] for item in state["items"]}


async def test_cache_answers(failed, away):
    before = status(failed)
    assert before["source"] == {"layer": "postgres", "age_seconds": 0.0}
    away(True)
    after = status(failed)
    source = after.pop("source")
    assert (source["layer"], source["stale"]) == ("cache", False)
    assert "127.0.0.1:1" in source["reason"]
    assert source["age_seconds"] > 0
    assert after == {key: value for key, value in before.items() if key != "source"}
    said = failed.yoke("status")
    assert said.returncode == 0
    assert said.stdout.startswith("from the local cache, ")
    assert "warning: cannot connect" in said.stderr


async def test_end_of_a_run_is_cached_without_anybody_asking(failed, away):
    away(True)
    after = status(failed)
    assert after["source"]["layer"] == "cache"
    assert states(after)["a.1"] == "completed"
    assert after["run"]["state"] == "failed"


async def test_journal_is_newer_than_the_cache(failed, away):
    status(failed)
    away(True)
    (failed.root / ".git/yoke/status.json").read_text()
    project = await failed.project()
    project.journal.append(Event("task.skipped", epic="b", task="b.1", data={"by": "me"}))
    assert states(status(failed))["b.1"] == "cancelled"


async def test_stale_cache_is_shown_and_says_so(failed, away):
    status(failed)
    file = failed.root / ".git/yoke/status.json"
    kept = json.loads(file.read_text())
    file.write_text(json.dumps({**kept, "at": (datetime.now(UTC) - timedelta(hours=2)).isoformat()}))
    away(True)
    assert status(failed)["source"]["stale"]
    assert "2 h old, may be outdated" in failed.yoke("status").stdout


async def test_git_answers_where_there_is_no_cache(failed, away):
    before = status(failed)
    for name in ("status.json", "journal.jsonl"):
        (failed.root / ".git/yoke" / name).unlink()
    away(True)
    after = status(failed)
    assert after["source"]["layer"] == "git"
    assert after.keys() == before.keys()
    assert states(after) == {
        "a": "completed",
        "a.1": "completed",
        "b": "pending",
        "b.1": "pending",
        "b.2": "pending",
    }
    assert after["landings"][0]["commit"] == before["landings"][0]["commit"]
    assert next(item for item in after["items"] if item["id"] == "b.2")["waits_for"] == ["b.1"]


async def test_broken_cache_is_passed_over(failed, away):
    (failed.root / ".git/yoke/status.json").write_text('{"version": 2, "state"')
    away(True)
    assert status(failed)["source"]["layer"] == "git"


async def test_status_file_is_the_last_resort(workshop, away):
    workshop.config(project={"status_file": True}, agents={"max_attempts": 1})
    workshop.plan(epic("a", task("a.1", title="Pipes | and\\slashes")), epic("b", task("b.1", "exit 1")))
    place = workshop.root / status_file.PLACE
    place.parent.mkdir()
    (killed := place.with_name(f"{place.name}.0123abcd")).touch()
    await workshop.run()
    before = status(workshop)
    assert not killed.exists()
    text = place.read_text()
    assert "## Active work items" in text
    assert status_file.FALLBACK not in text
    away(True)
    workshop.git("config", "user.name", "A Person")
    for name in ("status.json", "journal.jsonl"):
        (workshop.root / ".git/yoke" / name).unlink()
    workshop.git("switch", "-q", "--detach")
    after = status(workshop)
    source = after.pop("source")
    assert source["layer"] == "file"
    assert after.keys() | {"source"} == before.keys()
    assert after["items"] == before["items"]
    assert after["interventions"] == before["interventions"]
    landed = [{key: entry[key] for key in ("epic", "status", "commit")} for entry in after["landings"]]
    assert landed == [
        {key: entry[key] for key in ("epic", "status", "commit")} for entry in before["landings"]
    ]


async def test_no_file_is_written_unasked(failed):
    assert not (failed.root / ".yokeflow").exists()


def test_nobody_knows(workshop, away):
    workshop.plan(epic("a", task("a.1")))
    away(True)
    said = workshop.yoke("status")
    assert said.returncode == 1
    assert "cannot connect" in said.stderr


async def test_run_refuses_without_the_store(failed, away):
    away(True)
    said = failed.yoke("run")
    assert said.returncode == 1
    assert "hint:" in said.stderr


async def test_request_is_kept_and_done_once(failed, away):
    away(True)
    said = failed.yoke("retry", "b.1")
    assert (said.returncode, "is kept" in said.stdout) == (0, True)
    assert failed.yoke("attention").returncode == 0
    away(False)
    assert states(status(failed))["b.1"] == "pending"
    log = [json.loads(line) for line in failed.yoke("log", "--json").stdout.splitlines()]
    assert [event["outcome"] for event in log if event["type"] == "control.applied"] == ["done"]
    (failed.root.parent / "go").touch()
    failed.config()
    await failed.run()
    assert "control.applied" not in failed.types()
    assert (await failed.states())["b"] == "completed"


async def test_run_carries_out_what_was_kept(failed, away):
    away(True)
    assert failed.yoke("skip", "b.1").returncode == 0
    away(False)
    report = await failed.run()
    assert report.completed == ("b.2",)
    assert (await failed.states())["b.1"] == "cancelled"


async def test_whose_lines_a_landing_takes_is_kept_for_a_run(workshop, away):
    workshop.write("same.txt", "start\n")
    workshop.commit()
    workshop.plan(
        epic("one", task("one.a", "echo one > same.txt", priority=0)),
        epic("two", task("two.a", "until git grep -q one main; do sleep 0.1; done; echo two > same.txt")),
    )
    assert [each.kind for each in (await workshop.run()).waiting] == ["conflict"]
    away(True)
    project = await workshop.project()
    asked = await request(project, project.load_plan, "land", "two", take="theirs")
    assert asked is Became.KEPT
    away(False)
    # One that only reads does not make another landing of it.
    assert [each["kind"] for each in status(workshop)["interventions"]] == ["conflict"]
    report = await workshop.run()
    assert [each.epic for each in report.landed] == ["two"]
    assert workshop.git("show", "main:same.txt") == "two"


async def test_answer_is_kept(failed, away):
    away(True)
    said = failed.yoke("attention", "answer", "b.1", "skip")
    assert (said.returncode, "is kept" in said.stdout) == (0, True), said.stderr
    away(False)
    assert states(status(failed))["b.1"] == "cancelled"


async def test_clash_becomes_a_question(failed, away):
    away(True)
    project = await failed.project()
    assert await request(project, project.load_plan, "retry", "b.1") is Became.KEPT
    # Meanwhile another machine did it, which the journal tells after the request.
    commit = failed.git("rev-parse", "HEAD")
    project.journal.append(Event("task.completed", epic="b", task="b.1", data={"commit": commit}))
    away(False)
    shown = status(failed)
    [clash] = [entry for entry in shown["interventions"] if entry["kind"] == "clash"]
    assert clash["item"] == "b.1"
    assert "asked to retry b.1 when it could not be done at once, but b.1 is done" in clash["reason"]
    assert states(shown)["b.1"] == "completed"
    assert len([entry for entry in status(failed)["interventions"] if entry["kind"] == "clash"]) == 1
    assert failed.yoke("attention", "answer", clash["id"], "dismiss").returncode == 0
    assert not [entry for entry in status(failed)["interventions"] if entry["kind"] == "clash"]


async def test_what_holds_already_is_no_clash(failed, away):
    away(True)
    for _ in range(2):
        assert failed.yoke("retry", "b.1").returncode == 0
    away(False)
    shown = status(failed)
    assert states(shown)["b.1"] == "pending"
    assert not [entry for entry in shown["interventions"] if entry["kind"] == "clash"]


async def test_events_alone_tell_what_the_store_tells(failed):
    stored = await failed.status()
    plan = (await failed.project()).load_plan()
    told = fold(of_plan(plan, "shop"), failed.events, needs=needs_of(plan))
    assert told["items"] == stored["items"]
    assert told["interventions"] == [
        {**entry, "opened": told["interventions"][0]["opened"]} for entry in stored["interventions"]
    ]
    assert [{**entry, "waits_for": []} for entry in stored["landings"]] == told["landings"]
    assert {**told["run"], "started": ""} == {
        **stored["run"],
        "started": "",
        "elapsed": told["run"]["elapsed"],
    }
