"""While the store is away: what items, events and operations are known without it."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.events import Event
from yokeflow.store import operations as store_operations
from yokeflow.store.fold_operations import fold_operations
from yokeflow.store.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Nobody listens there.
AWAY = "postgresql://nobody@127.0.0.1:1/none"


@pytest.fixture
async def failed(workshop: Workshop) -> Workshop:
    """A project with a landed epic that passed a check, and one whose task was given up."""
    workshop.config(agents={"max_attempts": 2})
    workshop.plan(
        epic("a", task("a.1", verify=["test -s a.1.txt"]), task("a.2", depends_on=["a.1"])),
        epic("b", task("b.1", "echo oh; exit 3"), task("b.2", depends_on=["b.1", "a.2"])),
    )
    await workshop.run()
    return workshop


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch, database_url: str) -> Callable[[], None]:
    """Takes the store away."""
    return lambda: monkeypatch.setenv("YOKE_DATABASE_URL", AWAY)


@pytest.fixture
def forgotten(failed: Workshop, away: Callable[[], None]) -> Workshop:
    """The same where only git is left."""
    for name in ("status.json", "journal.jsonl"):
        (failed.root / ".git/yoke" / name).unlink()
    away()
    return failed


def told(shop: Workshop, *args: str) -> Any:
    said = shop.yoke(*args, "--json")
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout)


def lines(shop: Workshop, *args: str) -> list[dict[str, Any]]:
    said = shop.yoke("log", *args, "--json")
    assert said.returncode == 0, said.stderr
    return [json.loads(line) for line in said.stdout.splitlines()]


def test_show_tells_the_same_without_the_store(failed, away):
    items = ("a", "a.1", "a.2", "b", "b.1", "b.2")
    before = {item: told(failed, "show", item) for item in items}
    assert before["a"]["source"] == {"layer": "postgres", "age_seconds": 0.0}
    away()
    for item in items:
        after = told(failed, "show", item)
        source = after.pop("source")
        assert (source["layer"], "127.0.0.1:1" in source["reason"]) == ("cache", True)
        before[item].pop("source")
        assert _moments(after) == _moments(before[item])
    said = failed.yoke("show", "b.1")
    assert said.stdout.startswith("from the local cache, ")
    assert "2. shell failed after" in said.stdout
    assert "│ oh" in said.stdout
    assert "warning: cannot connect" in said.stderr
    assert "yoke db status" in said.stderr
    assert "did you mean b.1?" in failed.yoke("show", "b1").stderr


def _moments(shown: Any) -> Any:
    """The same with times as such: PostgreSQL leaves zeros out at their end."""
    if isinstance(shown, dict):
        return {key: _moments(value) for key, value in shown.items()}
    if isinstance(shown, list):
        return [_moments(value) for value in shown]
    with suppress(ValueError, TypeError):
        return datetime.fromisoformat(shown)
    return shown


def test_git_tells_of_an_item_where_nothing_else_is_left(forgotten):
    shown = told(forgotten, "show", "a")
    assert shown["source"]["layer"] == "git"
    assert shown["landings"][0]["commit"] == forgotten.git("rev-parse", "main")
    assert shown["landings"][0]["target"] == "main"
    assert [each["status"] for each in shown["tasks"]] == ["completed", "completed"]
    one = told(forgotten, "show", "a.1")
    assert one["sessions"][0]["state"] == "completed"
    assert one["commits"] == [forgotten.git("rev-parse", "main^2^")]
    assert told(forgotten, "show", "b.2")["depends_on"][0] == {
        "id": "a.2",
        "type": "hard",
        "reason": "",
        "status": "completed",
        "of": "b.2",
    }
    said = forgotten.yoke("show", "a.1")
    assert said.stdout.startswith("from git, ")
    assert "1. an agent completed" in said.stdout


def test_log_tells_the_same_without_the_store(failed, away):
    before = lines(failed, "-n", "999")
    assert before
    away()
    after = lines(failed, "-n", "999")
    layers = [event.pop("layer") for event in after]
    assert after == before
    assert {layer["layer"] for layer in layers} == {"journal"}
    assert failed.yoke("log").stdout.startswith("from the journal and git, ")
    assert {event["task"] for event in lines(failed, "--item", "b.1")} == {"b.1"}
    assert len(lines(failed, "-n", "2")) == 2


def test_git_tells_what_the_journal_has_not(failed, away):
    journal = failed.root / ".git/yoke/journal.jsonl"
    landed = [event for event in lines(failed, "-n", "999") if event["type"] == "landing.landed"]
    last = journal.read_text().splitlines()[-1]
    journal.write_text(f"{last}\n")
    away()
    after = lines(failed, "-n", "999")
    assert [event["commit"] for event in after if event["type"] == "landing.landed"] == [landed[0]["commit"]]
    # Told once, by whoever knows more of it.
    assert [event["type"] for event in after].count("run.finished") == 1
    assert after[-1]["id"] == json.loads(last)["id"]


def test_git_tells_events_and_operations_where_nothing_else_is_left(forgotten):
    events = lines(forgotten)
    assert {event["layer"]["layer"] for event in events} == {"git"}
    assert "landing.landed" in {event["type"] for event in events}
    assert forgotten.yoke("log").stdout.startswith("from git, ")
    [run] = told(forgotten, "log", "--operations")
    assert (run["kind"], [*run["landed"]], run["source"]["layer"]) == ("run", ["a"], "git")


async def test_operations_are_the_same_by_events_alone(failed, away):
    assert failed.yoke("undo", "a", "--yes").returncode == 0
    assert failed.yoke("skip", "b.1").returncode == 0
    before = told(failed, "log", "--operations")
    assert {each["kind"] for each in before} >= {"run", "undo", "skip", "plan"}
    away()
    after = told(failed, "log", "--operations")
    assert [each.pop("source")["layer"] for each in before] == ["postgres"] * len(before)
    assert {each.pop("source")["layer"] for each in after} == {"journal"}
    assert after == before
    assert failed.yoke("log", "--operations").stdout.startswith("from the journal and git, ")


async def test_an_undo_that_was_undone_is_the_same_by_events_alone(failed):
    assert failed.yoke("undo", "a", "--yes").returncode == 0
    assert failed.yoke("undo", "--yes").returncode == 0
    project = await failed.project()
    async with project.store() as (store, project_id), store.begin() as connection:
        stored = await store_operations.operations(connection, project_id)
    folded = fold_operations(list(project.journal.events()))
    assert [each.told() for each in folded] == [each.told() for each in stored]
    assert sum(each.kind == "undo" for each in folded) == 2


def test_log_follows_the_journal(failed, away):
    away()
    with _started(failed, "log", "-f", "-n", "1") as said:
        assert next(said).startswith("from the journal and git, ")
        next(said)
        _skip(failed, "b.1")
        assert "b.1: skipped by Ada" in next(said)


def test_watch_goes_on_with_the_journal(failed, away):
    away()
    with _started(failed, "status", "--watch", "--json") as said:
        first = _object(said)
        assert first["source"]["layer"] == "cache"
        _skip(failed, "b.1")
        later = _object(said)
    status = {item["id"]: item["status"] for item in later["items"]}
    assert (status["b.1"], later["source"]["layer"]) == ("cancelled", "cache")


def test_watch_outlives_the_server(failed, monkeypatch):
    # A server of the test's own, since it is stopped.
    monkeypatch.delenv("YOKE_DATABASE_URL")
    with _started(failed, "status", "--watch", "--json") as said:
        assert _object(said)["source"]["layer"] == "postgres"
        assert failed.yoke("db", "stop", "--yes").returncode == 0
        assert _object(said)["source"]["layer"] == "cache"
        # Nobody but who stopped it starts it again.
        assert "not started" in failed.yoke("db", "status").stdout
        assert failed.yoke("db", "start").returncode == 0
        assert _object(said)["source"]["layer"] == "postgres"


def test_attention_says_who_tells(failed, away):
    away()
    [asked] = told(failed, "attention")
    assert (asked["item"], asked["source"]["layer"]) == ("b.1", "cache")
    # What lands later is known from the plan.
    assert asked["waiting"] == {"tasks": ["b.1", "b.2"], "landings": ["b"]}
    assert failed.yoke("attention").stdout.startswith("from the local cache, ")


@pytest.mark.parametrize(
    "args", [("show", "a.1"), ("log",), ("log", "--operations"), ("attention",), ("status", "--watch")]
)
def test_nobody_knows(workshop, away, args):
    workshop.plan(epic("a", task("a.1")))
    away()
    said = workshop.yoke(*args)
    assert (said.returncode, said.stdout) == (1, "")
    assert "error: cannot connect" in said.stderr
    assert "hint: " in said.stderr


@contextmanager
def _started(shop: Workshop, *args: str) -> Iterator[Iterator[str]]:
    """What a command prints on stdout, line by line, until the block ends."""
    process = shop.start(*args, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout
        yield iter(process.stdout)
    finally:
        process.kill()
        process.communicate()


def _object(said: Iterator[str]) -> dict[str, Any]:
    """The next JSON object."""
    text = next(said)
    for line in said:
        text += line
        if line == "}\n":
            break
    found: dict[str, Any] = json.loads(text)
    return found


def _skip(shop: Workshop, item: str) -> None:
    journal = Journal(shop.root / ".git/yoke/journal.jsonl")
    journal.append(Event("task.skipped", epic="b", task=item, data={"by": "Ada"}))
