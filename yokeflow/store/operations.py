"""What persons and runs did to the target and to the plan's items, and what of it can be undone."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from yokeflow.store.fold import TOLD_BY_GIT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

#: Landings that reached a target, oldest first, with the operation that brought them there.
_LANDED = text("""
SELECT epic.key AS epic, epic.title,
       coalesce(CASE WHEN told.brings_back <> '' AND landing.run_id IS NOT NULL THEN landing.commit
                     ELSE CAST(landing.run_id AS text) END, told.run, '') AS operation,
       landing.status = 'landed' AS standing, landing.commit, coalesce(landing.old_commit, '') AS old_commit,
       landing.epic_commit, landing.target, landing.strategy, landing.finished_at AS at,
       coalesce(told.seq, 0) AS place,
       CAST(coalesce(told.tasks, '[]') AS text) AS tasks,
       coalesce(told.brings_back, '') AS brings_back, coalesce(told.by, '') AS by,
       coalesce(landing.metadata ->> 'undone_by', '') AS undone_by,
       coalesce(landing.metadata ->> 'undone_tasks', '{}') AS undone_tasks,
       row_number() OVER (PARTITION BY landing.work_item_id
                          ORDER BY queued.seq DESC NULLS LAST, landing.id) = 1 AS latest
FROM landings landing
JOIN work_items epic ON epic.id = landing.work_item_id
LEFT JOIN events queued ON queued.id = landing.id
LEFT JOIN LATERAL (
    SELECT event.seq, event.run, event.payload -> 'tasks' AS tasks,
           event.payload ->> 'brings_back' AS brings_back, event.payload ->> 'by' AS by
    FROM events event
    WHERE event.project_id = landing.project_id AND event.type = 'landing.landed' AND event.epic = epic.key
      AND event.payload ->> 'commit' = landing.commit
    ORDER BY event.seq DESC LIMIT 1) told ON true
WHERE landing.project_id = CAST(:project AS uuid) AND landing.commit IS NOT NULL
  AND landing.status IN ('landed', 'undone')
ORDER BY told.seq NULLS FIRST, queued.seq, landing.id
""")

_RUNS = text("""
SELECT CAST(run.id AS text) AS id, CASE WHEN run.reason = :by_git THEN '' ELSE run.state END AS state,
       run.started_at AS at, coalesce(min(started.seq), 0) AS place
FROM runs run LEFT JOIN events started
  ON started.project_id = run.project_id AND started.type = 'run.started'
     AND started.run = CAST(run.id AS text)
WHERE run.project_id = CAST(:project AS uuid) GROUP BY run.id
""")

#: What undid something, and what people asked for, in a run or outside of any.
_ASKED = text("""
SELECT CAST(id AS text) AS id, run, type, at, epic, task, payload, seq AS place FROM events
WHERE project_id = CAST(:project AS uuid)
  AND (type IN ('landing.undone', 'control.requested', 'plan.changed')
       OR (run = '' AND type IN ('task.reopened', 'task.skipped', 'landing.queued')))
ORDER BY seq
""")

_WORDS = {"task.reopened": "retry", "task.skipped": "skip", "landing.queued": "land"}


@dataclass(frozen=True, slots=True)
class Landed:
    """A landing that reached the target, whether or not it was undone."""

    epic: str
    title: str
    #: The run, or the undo, that brought it there.
    operation: str
    #: Not undone, as far as the store knows.
    standing: bool
    #: Its place in the order of events.
    place: int
    commit: str
    #: Where the target was before; the same commit where somebody else had brought the epic there.
    old_commit: str
    epic_commit: str | None
    target: str
    strategy: str
    at: datetime
    tasks: tuple[str, ...]
    #: The commit of an undo that this takes back, if it does.
    brings_back: str
    #: The commit that took it back.
    undone_by: str
    #: The commits of the tasks that were opened again by that.
    undone_tasks: Mapping[str, str]
    #: Nothing was queued for its epic since.
    latest: bool
    #: Who brought it back, if somebody did.
    by: str = ""

    @property
    def made(self) -> bool:
        """It has a commit of its own, without which there is nothing to undo."""
        return self.commit != self.old_commit


@dataclass(slots=True)
class Operation:
    """One thing that a run or a person did."""

    #: What `yoke undo` takes; of a run, the run's id.
    id: str
    #: `run`, `undo`, `plan`, or what was asked for: an action of `control.requested`, such as `retry`.
    kind: str
    at: datetime
    #: In the order of events, which goes on where a clock is set back.
    place: int
    by: str = ""
    #: How a run ended; empty where only git knows of it.
    state: str = ""
    items: list[str] = field(default_factory=list)
    #: Epics that it brought to the target or took from there, with the commits.
    landed: dict[str, str] = field(default_factory=dict)
    undone: dict[str, str] = field(default_factory=dict)
    #: What it did is there and can be undone.
    can_undo: bool = False

    def told(self) -> dict[str, Any]:
        """As `yoke log --operations --json` prints it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "at": self.at.isoformat(),
            "by": self.by,
            "state": self.state,
            "items": self.items,
            "landed": self.landed,
            "undone": self.undone,
            "can_undo": self.can_undo,
        }


async def landed(conn: AsyncConnection, project_id: UUID) -> list[Landed]:
    """Every landing that reached a target, oldest first."""
    rows = await conn.execute(_LANDED, {"project": str(project_id)})
    found = []
    for row in rows.mappings():
        lists = {"tasks": tuple(json.loads(row["tasks"])), "undone_tasks": json.loads(row["undone_tasks"])}
        found.append(Landed(**{**row, **lists}))
    return found


async def operations(conn: AsyncConnection, project_id: UUID) -> list[Operation]:
    """All operations, oldest first."""
    project = {"project": str(project_id)}
    landings = await landed(conn, project_id)
    runs = [
        Operation(row.id, "run", row.at, row.place, state=row.state)
        for row in await conn.execute(_RUNS, {**project, "by_git": TOLD_BY_GIT})
    ]
    return gather(runs, await conn.execute(_ASKED, project), landings)


def gather(runs: Iterable[Operation], asked: Iterable[Any], landings: Sequence[Landed]) -> list[Operation]:
    """All operations, oldest first; `asked` are the events by which people asked for something."""
    found = {run.id: run for run in runs}
    for row in asked:
        _note(found, row)
    _add_landings(found, landings)
    return sorted(found.values(), key=lambda operation: operation.place)


def _note(found: dict[str, Operation], row: Row[Any]) -> None:
    """Add what an event tells."""
    data = row.payload
    if row.type == "landing.undone":
        # A run that found an undo in git tells it, and is not what did it.
        run = found.get(row.run)
        name = data["commit"] if not row.run or (run and run.kind == "run") else row.run
        undo = found.setdefault(name, Operation(name, "undo", row.at, row.place, data.get("by") or ""))
        undo.undone[row.epic] = data["commit"]
        if row.epic not in undo.items:
            undo.items.append(row.epic)
    elif row.type == "control.requested":
        asked = Operation(row.id, data.get("action") or "", row.at, row.place, data.get("by") or "")
        found[row.id] = asked
        asked.items += [data["item"]] if data.get("item") else []
    elif row.type == "plan.changed":
        changed = [item for name in ("added", "changed", "gone") for item in data.get(name) or ()]
        found[row.id] = Operation(row.id, "plan", row.at, row.place, items=changed)
    elif data.get("by") != "system":
        kind = _WORDS[row.type]
        by, items = data.get("by") or "", [row.task or row.epic]
        found[row.id] = Operation(row.id, kind, row.at, row.place, by, items=items)


def _add_landings(found: dict[str, Operation], landings: Sequence[Landed]) -> None:
    for landing in landings:
        operation = found.get(landing.operation)
        if operation is None and landing.brings_back:
            back = Operation(landing.operation, "undo", landing.at, landing.place, landing.by)
            operation = found.setdefault(landing.operation, back)
        if operation is None:
            continue
        operation.landed[landing.epic] = landing.commit
        if landing.epic not in operation.items:
            operation.items.append(landing.epic)
        operation.can_undo |= landing.standing and landing.made
    _mark_undos(found.values(), landings)


def _mark_undos(found: Iterable[Operation], landings: Sequence[Landed]) -> None:
    """An undo can be undone as long as what it took back is still gone."""
    gone = {landing.undone_by for landing in landings if not landing.standing and landing.latest}
    for operation in found:
        operation.can_undo |= any(commit in gone for commit in operation.undone.values())
