"""What persons and runs did, by events alone: the twin of what the store tells."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from yokeflow.store.fold import TOLD_BY_GIT
from yokeflow.store.operations import Landed, Operation, gather

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from yokeflow.events import Event

#: By these people ask for something, or take something back; and by these outside of any run.
_ASKED: Final = frozenset({"landing.undone", "control.requested", "plan.changed"})
_OUTSIDE: Final = frozenset({"task.reopened", "task.skipped", "landing.queued"})


class _Row(NamedTuple):
    """An event, as the store has it."""

    id: str
    run: str
    type: str
    at: datetime
    epic: str
    task: str
    payload: Mapping[str, Any]
    place: int


def fold_operations(events: Sequence[Event]) -> list[Operation]:
    """All operations that the events tell of, oldest first."""
    rows = [
        _Row(event.id, event.run, event.type, event.at, event.epic, event.task, event.data, place)
        for place, event in enumerate(events)
    ]
    asked = [row for row in rows if row.type in _ASKED or (not row.run and row.type in _OUTSIDE)]
    runs = _runs(rows)
    return gather(runs, asked, _landings(rows, {run.id for run in runs}))


def _runs(rows: Sequence[_Row]) -> list[Operation]:
    """What happened in runs; of one at a time, so that an earlier one that never ended was interrupted."""
    found: dict[str, Operation] = {}
    states = {"run.paused": "paused", "run.continued": "running"}
    for row in rows:
        if not row.run or not row.type.startswith(("run.", "session.")):
            continue
        if row.run not in found:
            for earlier in found.values():
                earlier.state = "interrupted" if earlier.state in {"running", "paused"} else earlier.state
        # The journal may begin in the middle of a run.
        run = found.setdefault(row.run, Operation(row.run, "run", row.at, row.place, state="running"))
        if row.type.startswith("run."):
            run.state = states.get(row.type) or row.payload.get("state") or run.state
            if row.payload.get("reason") == TOLD_BY_GIT:
                run.state = ""
    return list(found.values())


def _landings(rows: Sequence[_Row], runs: set[str]) -> list[Landed]:
    found: list[Landed] = []
    # Titles are of no use here.
    for row in rows:
        if row.type == "landing.landed":
            found.append(_landed(row, runs))
        elif row.type == "landing.undone":
            found = [_undone(each, row) for each in found]
        if row.type == "landing.queued":
            found = [replace(each, latest=each.latest and each.epic != row.epic) for each in found]
    return found


def _landed(row: _Row, runs: set[str]) -> Landed:
    data = row.payload
    back = str(data.get("brings_back") or "")
    return Landed(
        epic=row.epic,
        title="",
        # A run that found in git that somebody brought it back is not what did it.
        operation=str(data.get("commit")) if back and row.run in runs else row.run,
        standing=True,
        commit=str(data.get("commit")),
        old_commit=str(data.get("old_commit") or ""),
        epic_commit=data.get("epic_commit"),
        target=str(data.get("target") or ""),
        strategy=str(data.get("strategy") or ""),
        at=row.at,
        tasks=tuple(data.get("tasks") or ()),
        brings_back=back,
        undone_by="",
        undone_tasks={},
        latest=True,
        place=row.place,
        by=str(data.get("by") or ""),
    )


def _undone(landed: Landed, row: _Row) -> Landed:
    data = row.payload
    if landed.epic != row.epic or landed.commit != data.get("landing") or not landed.standing:
        return landed
    return replace(
        landed, standing=False, undone_by=str(data["commit"]), undone_tasks=dict(data.get("tasks") or {})
    )
