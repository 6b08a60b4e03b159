"""Store events and bring the tables up to date with them, each event once.

State in the database is the fold of the events over the plan, so handlers take what they need from the event
and the tables alone, and times and ids from the event.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

# Importing them puts their handlers into the registry.
from yokeflow.store.projections import (  # noqa: F401 - see above
    commits,
    evidence,
    forecast,
    interventions,
    items,
    landings,
    runs,
    sessions,
)
from yokeflow.store.projections.registry import handlers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yokeflow.events import Event

_log = logging.getLogger(__name__)

#: Stores events in the order given; those stored before, or twice in the list, are left out of the answer.
_RECORD = text("""
INSERT INTO events (id, project_id, run, epic, task, session, type, at, payload)
SELECT id, CAST(:project AS uuid), run, epic, task, session, type, at, payload
FROM jsonb_to_recordset(CAST(:events AS jsonb))
     AS fresh(place int, id uuid, run text, epic text, task text, session text, type text, at timestamptz,
              payload jsonb)
ORDER BY place
ON CONFLICT (id) DO NOTHING
RETURNING id
""")

#: SQLSTATE classes of what one event's values can break: data exceptions and constraints.
_CLASSES_OF_VALUES = ("22", "23")
#: And of what it cannot: lost connections, deadlocks, a full disk, a server that ends.
_CLASSES_OF_SERVER = ("08", "25", "40", "53", "57", "58", "XX")


async def apply(conn: AsyncConnection, project_id: UUID, events: Iterable[Event]) -> list[Event]:
    """Store events and project them; gives those that were new.

    Unknown types are stored only. So is an event whose values do not fit the tables: it is logged, and the
    others go on.
    """
    given = [_clean_event(event) for event in events]
    if not given:
        return []
    new = await _record_all(conn, project_id, given)
    known = [event for event in new if handlers(event.type)]
    try:
        async with conn.begin_nested():
            for event in known:
                await _project(conn, project_id, event)
    except (DBAPIError, ValueError, KeyError, TypeError, AttributeError) as error:
        if not _is_about_values(error):
            raise
        await _project_one_by_one(conn, project_id, known)
    return new


async def _record_all(conn: AsyncConnection, project_id: UUID, events: Sequence[Event]) -> list[Event]:
    """Store events; one that a plugin's trigger refuses is stored as `event.refused` with what it says."""
    try:
        async with conn.begin_nested():
            return await _record(conn, project_id, events)
    except DBAPIError as error:
        if _is_lost(error):
            raise
    new: list[Event] = []
    for event in events:
        try:
            async with conn.begin_nested():
                new += await _record(conn, project_id, [event])
        except DBAPIError as error:
            if _is_lost(error):
                raise
            _log.warning("a trigger on events refuses %s of type %s: %s", event.id, event.type, error.orig)
            if await _record(conn, project_id, [_refused(event, error)]):
                new.append(event)
    return new


def _refused(event: Event, error: DBAPIError) -> Event:
    reason = str(error.orig).partition("\n")[0]
    told = {"event_type": event.type, "error": reason, "data": dict(event.data)}
    return replace(event, type="event.refused", data=told)


def _is_lost(error: DBAPIError) -> bool:
    """The connection is gone, or the server cannot go on: nothing about one event."""
    state: str | None = getattr(error.orig, "sqlstate", None)
    return error.connection_invalidated or (state or "")[:2] in _CLASSES_OF_SERVER


async def _record(conn: AsyncConnection, project_id: UUID, events: Sequence[Event]) -> list[Event]:
    rows = [
        {
            "place": place,
            "id": event.id,
            "run": event.run,
            "epic": event.epic,
            "task": event.task,
            "session": event.session,
            "type": event.type,
            "at": event.at.isoformat(),
            "payload": event.data,
        }
        for place, event in enumerate(events)
    ]
    result = await conn.execute(_RECORD, {"project": str(project_id), "events": json.dumps(rows)})
    new = set(result.scalars())
    by_id = {UUID(event.id): event for event in reversed(events)}
    return [event for id_, event in reversed(by_id.items()) if id_ in new]


async def _project(conn: AsyncConnection, project_id: UUID, event: Event) -> None:
    for handler in handlers(event.type):
        await handler(conn, project_id, event)


async def _project_one_by_one(conn: AsyncConnection, project_id: UUID, events: Sequence[Event]) -> None:
    for event in events:
        try:
            async with conn.begin_nested():
                await _project(conn, project_id, event)
        except (DBAPIError, ValueError, KeyError, TypeError, AttributeError) as error:
            if not _is_about_values(error):
                raise
            _log.warning("event %s of type %s was stored but not projected: %s", event.id, event.type, error)


def _is_about_values(error: Exception) -> bool:
    if isinstance(error, DBAPIError):
        state: str | None = getattr(error.orig, "sqlstate", None)
        # Values that the driver itself refuses have no state.
        return not error.connection_invalidated and (
            state[:2] in _CLASSES_OF_VALUES
            if state
            else "invalid input for query argument" in str(error.orig)
        )
    return True


def _clean_event(event: Event) -> Event:
    """The event without what text and jsonb of PostgreSQL cannot hold."""
    common = {name: _clean(getattr(event, name)) for name in ("type", "run", "epic", "task", "session")}
    return replace(event, data=_clean(dict(event.data)), **common)


def _clean(value: Any) -> Any:
    match value:
        case str():
            return value.replace("\0", "").encode("utf-8", "replace").decode()
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {_clean(key): _clean(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_clean(inner) for inner in value]
    return value
