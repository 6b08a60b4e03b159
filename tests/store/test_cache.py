"""The last answer of the store, kept in a file; and the status file for people."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yokeflow.engine.reports.status_file import FALLBACK, parse, render
from yokeflow.store.cache import clear_away, read_cache, write_cache

if TYPE_CHECKING:
    from pathlib import Path

STATE: dict[str, Any] = {"items": [{"id": "a"}]}
HERE = {"generation": "g", "offset": 7}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "yoke" / "status.json"


def test_what_is_kept_comes_back_with_its_place_in_the_journal(file):
    write_cache(file, json.dumps(STATE), HERE)
    found = read_cache(file)
    assert found is not None
    assert (found.state, found.generation, found.offset) == (STATE, "g", 7)
    assert [each.name for each in file.parent.iterdir()] == ["status.json"]


def test_nothing_is_written_where_nothing_has_happened(file):
    write_cache(file, json.dumps(STATE), HERE)
    first = file.stat().st_ino
    write_cache(file, json.dumps(STATE), HERE)
    assert file.stat().st_ino == first
    write_cache(file, json.dumps({"items": []}), {**HERE, "offset": 8})
    found = read_cache(file)
    assert found is not None
    assert found.state == {"items": []}


def test_old_answer_is_renewed_though_nothing_has_happened(file):
    write_cache(file, json.dumps(STATE), HERE)
    kept = json.loads(file.read_text())
    old = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    file.write_text(json.dumps({**kept, "at": old}))
    write_cache(file, json.dumps(STATE), HERE)
    found = read_cache(file)
    assert found is not None
    assert found.at > datetime.now(UTC) - timedelta(minutes=1)


def test_what_a_killed_writer_left_is_cleared_away(file):
    write_cache(file, json.dumps(STATE), HERE)
    left = file.with_name("status.json.0123")
    left.write_text("half")
    clear_away(file)
    assert (left.exists(), read_cache(file) is None) == (False, False)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 1, "state": {"items": []}}', '{"version": 2, "state": {}}']
)
def test_what_cannot_be_read_is_as_good_as_nothing(file, text):
    file.parent.mkdir()
    file.write_text(text)
    assert read_cache(file) is None


def test_folder_that_cannot_be_written_costs_the_copy_alone(tmp_path):
    (tmp_path / "yoke").write_text("a file")
    write_cache(tmp_path / "yoke" / "status.json", "{}", HERE)
    assert read_cache(tmp_path / "yoke" / "status.json") is None


words = st.text(
    alphabet=st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Z")), min_size=1
).filter(lambda word: word not in {"–", "None"})
lines = st.lists(words, min_size=1, max_size=3).map(" ".join)


@given(lines, lines, words, st.none() | st.floats(0, 1000), st.none() | words)
def test_status_file_says_the_same_when_it_is_read_back(project, title, name, cost, commit):
    item = {
        "id": name, "kind": "task", "epic": "e", "title": title, "status": "pending", "attempts": 2,
        "cost_usd": cost, "commit": commit, "waits_for": ["x", "y"],
    }  # fmt: skip
    epic = {**item, "id": "e", "kind": "epic", "epic": None, "waits_for": []}
    landing = {"epic": "e", "status": "rejected", "commit": commit, "reason": title, "waits_for": []}
    state = {
        "project": project, "run": None, "items": [epic, item], "landings": [landing], "interventions": [],
        "source": {"layer": "cache"},
    }  # fmt: skip
    text = render(state, datetime.now(UTC))
    assert FALLBACK in text
    found = parse(text)
    assert found["items"] == state["items"]
    assert found["landings"] == [landing]
    assert found["project"] == project


def test_another_file_of_that_name_is_no_status():
    with pytest.raises((ValueError, KeyError, IndexError)):
        parse("# Status\n\nAll is well.\n")
