"""Files that often conflict, where a person looks at the plan."""

from __future__ import annotations

import json

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.events import Event
from yokeflow.store.journal import Journal


@pytest.fixture
def shop(workshop: Workshop) -> Workshop:
    """A project in which one file was in conflict three times, another one twice."""
    workshop.plan(
        epic("a", task("a.1", files=["lib/*.py"]), task("a.2", files=["docs/**"])),
        epic("b", task("b.1"), task("b.2", files=["lib/hot.py"])),
        epic("c", task("c.1")),
    )
    assert workshop.yoke("status").returncode == 0
    files = (["lib/hot.py", "warm.py"], ["lib/hot.py", "warm.py"], ["lib/hot.py"])
    journal = Journal(workshop.root / ".git/yoke/journal.jsonl")
    journal.append(*(Event("landing.conflicted", epic="b", data={"files": each}) for each in files))
    assert workshop.yoke("status").returncode == 0
    return workshop


def test_plan_show_marks_who_may_touch_them(shop):
    said = shop.yoke("plan", "show").stdout
    assert "lib/hot.py  3 conflicts, a.1, b.1, b.2" in said
    assert "warm.py" not in said
    marked = {line.split()[1] for line in said.splitlines() if "≠" in line and "Do " in line}
    assert marked == {"a.1", "b.1", "b.2"}
    told = json.loads(shop.yoke("plan", "show", "--json").stdout)
    assert told["hot_files"] == [{"path": "lib/hot.py", "conflicts": 3, "tasks": ["a.1", "b.1", "b.2"]}]
    assert {one["id"]: one["hot_files"] for one in told["tasks"]}["a.2"] == []


def test_plan_show_knows_them_while_the_store_is_away(shop, monkeypatch):
    monkeypatch.setenv("YOKE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    told = json.loads(shop.yoke("plan", "show", "--json").stdout)
    # Who does not say which files it touches may have nothing to do with them.
    assert told["hot_files"] == [{"path": "lib/hot.py", "conflicts": 3, "tasks": ["a.1", "b.2"]}]


def test_nothing_is_said_where_nothing_conflicts(workshop):
    workshop.plan(epic("a", task("a.1")))
    assert "conflict" not in workshop.yoke("plan", "show").stdout
    assert json.loads(workshop.yoke("plan", "show", "--json").stdout)["hot_files"] == []
