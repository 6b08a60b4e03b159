"""What `yoke undo` says that it did."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from yokeflow.cli.undo import _report
from yokeflow.engine.undo.choice import Undoing
from yokeflow.engine.undo.undoing import Undone
from yokeflow.store.operations import Landed


def landed(epic: str, place: int) -> Landed:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    where: dict[str, Any] = {
        "old_commit": "0" * 40,
        "epic_commit": None,
        "target": "main",
        "strategy": "merge",
        "at": at,
    }
    told: dict[str, Any] = {
        "tasks": (),
        "brings_back": "",
        "undone_by": "",
        "undone_tasks": {},
        "latest": True,
    }
    return Landed(epic, epic, "r1", standing=True, commit="1" * 40, place=place, **where, **told)


@pytest.mark.parametrize(
    ("epics", "back", "words"),
    [
        ("a", False, "a is off main, by 2222222; 1 task open again"),
        ("ab", False, "a and b are off main, by 2222222; 1 task open again"),
        ("abc", True, "a, b and c are back on main, by 2222222."),
    ],
)
def test_epics_are_named_in_the_order_in_which_they_landed(epics, back, words, capsys):
    landings = tuple(landed(epic, place) for place, epic in enumerate(epics))[::-1]
    _report(Undone("3" * 40, Undoing("main", landings, back=back), "2" * 40, ("a.1",)), as_json=False)
    assert capsys.readouterr().out.startswith(words)
