"""What agents are told about conflicts that are foreseen, and which tasks had better not meet."""

from __future__ import annotations

from pathlib import Path

from yokeflow.cli.forecast_view import forecast_lines
from yokeflow.cli.lines import describe
from yokeflow.engine.conflicts.foreseen import told, wishes
from yokeflow.events import Event
from yokeflow.model import Epic, Plan, Task
from yokeflow.store.forecasts import ConflictHistory, Forecast

A1, A2, A3 = (
    Task("a.1", "a", "First of A"),
    Task("a.2", "a", "Second", files=("src/",)),
    Task("a.3", "a", "Third", files=("docs/",)),
)
B1 = Task("b.1", "b", "First of B", files=("src/api.py",))
C1 = Task("c.1", "c", "First of C")
PLAN = Plan(
    (Epic("a", "Epic A", (), (A1, A2, A3)), Epic("b", "Epic B", (), (B1,)), Epic("c", "Epic C", (), (C1,))),
    Path("plan.yaml"),
)
PAIR = Forecast("a", "b", "main", ("src/api.py",), 0, {"a": ("a.1",), "b": ("b.1",)})


def test_tasks_avoid_the_other_epic_where_both_may_touch_the_files() -> None:
    of = wishes([PAIR], [])
    assert of is not None
    for mine in (A1, A2):
        assert of(mine).shows == of(B1).avoids
        assert of(mine).avoids == of(B1).shows
        assert not of(mine).avoids & of(mine).shows
    assert not of(A3).avoids
    assert not of(C1).shows
    assert wishes([], []) is None
    # Nobody can stay out of the way of what has landed.
    assert wishes([Forecast("a", "", "main", ("src/api.py",))], []) is None


def test_where_files_are_only_counted_every_task_may_touch_one() -> None:
    of = wishes([Forecast("a", "b", "main", ("src/api.py",), 7)], [])
    assert of is not None
    assert of(A3).avoids == of(B1).shows


def test_tasks_mind_each_other_at_a_hot_file() -> None:
    of = wishes([], [ConflictHistory("src/api.py", 3, frozenset({"c"}))])
    assert of is not None
    assert of(A2).minds == of(B1).minds == of(C1).minds == of(C1).shows
    assert of(C1).minds
    # It has no `files`, and its epic never changed that one.
    assert not of(A1).minds
    assert not of(A3).minds
    assert not of(B1).avoids


def test_an_agent_is_told_of_the_other_side_alone() -> None:
    text = told(PAIR, "a", PLAN, "src/api.py\n@@ -1 +1 @@")
    assert "## A conflict ahead: `b`" in text
    assert "“Epic B” (`b`)" in text
    assert "- `src/api.py`" in text
    assert "- `b.1`: First of B" in text
    assert "@@ -1 +1 @@" in text
    assert "small and compatible" in text
    assert "a.1" not in text
    assert "- `a.1`: First of A" in told(PAIR, "b", PLAN, "")
    landed = Forecast("a", "", "main", tuple(f"f{n}" for n in range(30)), 4, {"c": ("c.1",), "a": ("a.1",)})
    text = told(landed, "a", PLAN, "")
    assert "what has landed on `main` meanwhile" in text
    assert "- `c.1`: First of C" in text
    assert "a.1" not in text
    assert "- and 22 more" in text
    assert "```" not in text


def test_status_shows_what_is_ahead_and_what_is_hot() -> None:
    shown = {
        "meaning": "a and b do not merge: whichever lands second will conflict",
        "files": ["src/api.py", "x\ny"],
        "more": 3,
        "tasks": {"a": ["a.1"], "b": ["b.1"]},
    }
    state = {
        "items": [{"id": "a"}, {"id": "a.1"}, {"id": "b"}, {"id": "b.1"}],
        "forecasts": [shown] * 9,
        "hot_files": [{"path": "src/api.py", "conflicts": 4}],
    }
    lines = list(forecast_lines(state, 100))
    assert "a and b do not merge" in lines[1]
    assert "src/api.py" in lines[2]
    assert "and 3 more, changed by a.1, b.1" in lines[2]
    assert "and 1 more conflict ahead" in lines[-2]
    assert "src/api.py (4)" in lines[-1]
    assert not [line for line in lines if "\n" in line]
    assert list(forecast_lines({}, 100)) == []


def test_events_say_it_in_words() -> None:
    def said(type_: str, **data: object) -> str:
        return describe(Event(type_, epic="a", data={"files": ["x"], **data}))[0]

    assert said("forecast.conflicted", with_epic="b", more=2) == "will conflict with b in x and 2 more"
    assert said("forecast.cleared", with_epic="", target="main") == "will not conflict with main any more"
    assert said("handover.conflicted", with_epic="b") == "cannot take in the work of b: conflicts in x"
    there = said("handover.conflicted", with_epic="", target="main")
    assert there == "cannot take in what is on main: conflicts in x"
