"""Travel in time: what lessons were at a past moment, rebuilt field by field from the log alone."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select, text

from yoke_expertise.memories import CHANGEABLE, Memory, change, find, retire
from yoke_expertise.tables import MemoryLog

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

_NAMES = frozenset(item.name for item in fields(Memory))
_TIMES = frozenset(("last_accessed_at", "expires_at", "created_at", "updated_at"))
#: What a lesson says and how it is used; what was seen of it stays.
_RESTORED = CHANGEABLE - {"evidence", "source"}
_LISTS = frozenset(("files", "categories", "tags"))

#: The latest value that each field had been given by then; of equal keys the last one counts.
_STATE_AT = text("""
SELECT memory_id, jsonb_object_agg(field.key, field.value ORDER BY entry.seq) AS state
FROM memory_log entry, jsonb_each(entry.new) field
WHERE entry.project_id = :project AND entry.at <= :at
GROUP BY memory_id
""")


#: The same by the version that each lesson had, whatever the clock said.
_STATE_IN = text("""
SELECT memory_id, jsonb_object_agg(field.key, field.value ORDER BY entry.seq) AS state
FROM memory_log entry
JOIN jsonb_each_text(CAST(:versions AS jsonb)) had ON entry.memory_id = CAST(had.key AS uuid),
     jsonb_each(entry.new) field
WHERE entry.project_id = :project
  AND entry.seq < coalesce((SELECT min(later.seq) FROM memory_log later
                            WHERE later.memory_id = entry.memory_id
                              AND CAST(later.new ->> 'version' AS integer) > CAST(had.value AS integer)),
                           entry.seq + 1)
GROUP BY memory_id
""")


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the log."""

    seq: int
    at: datetime
    memory: UUID
    action: str
    changed_by: str
    reason: str
    session: str
    #: The fields that changed, before and after, as JSON has them.
    old: Mapping[str, Any]
    new: Mapping[str, Any]


async def state_at(conn: AsyncConnection, project_id: UUID, at: datetime) -> list[Memory]:
    """Every lesson of a project, whatever its status, as it was at a moment, in the order of their ids."""
    rows = await conn.execute(_STATE_AT, {"project": project_id, "at": at})
    return _all_rebuilt(project_id, rows)


async def state_in(conn: AsyncConnection, project_id: UUID, versions: Mapping[UUID, int]) -> list[Memory]:
    """Lessons as they were in certain versions, in the order of their ids."""
    values = json.dumps({str(id_): version for id_, version in versions.items()})
    rows = await conn.execute(_STATE_IN, {"project": project_id, "versions": values})
    return _all_rebuilt(project_id, rows)


async def log_of(conn: AsyncConnection, memory_id: UUID) -> list[Change]:
    """Every change of a lesson, the first one first."""
    rows = await conn.execute(
        select(MemoryLog.__table__).where(MemoryLog.memory_id == memory_id).order_by(MemoryLog.seq)
    )
    return [
        Change(
            row.seq,
            row.at,
            row.memory_id,
            row.action,
            row.changed_by,
            row.reason,
            row.session,
            row.old,
            row.new,
        )
        for row in rows
    ]


async def restore(
    conn: AsyncConnection,
    project_id: UUID,
    at: datetime,
    domain: str,
    versions: Mapping[UUID, int] | None = None,
    *,
    actor: str,
    reason: str = "",
) -> int:
    """Take the lessons of a domain back to what they were, as new changes; gives how many changed.

    Lessons that came later are retired. Evidence stays: it was seen. Where the `versions` of the domain's
    lessons are known they count: one that was just being written at the moment is not among them.
    """
    then = {memory.id: memory for memory in await state_at(conn, project_id, at)}
    if versions is not None:
        then = {id_: memory for id_, memory in then.items() if memory.domain != domain}
        then |= {memory.id: memory for memory in await state_in(conn, project_id, versions)}
    changed = 0
    for memory in sorted(await find(conn, project_id, status=()), key=lambda memory: memory.id):
        was = then.get(memory.id)
        after = memory
        if was is not None and domain in (was.domain, memory.domain):
            values = {name: getattr(was, name) for name in _RESTORED}
            after = await change(conn, memory.id, memory.version, actor=actor, reason=reason, **values)
        elif was is None and memory.domain == domain and memory.status in ("active", "disputed"):
            after = await retire(conn, memory.id, reason, actor=actor)
        changed += after.version != memory.version
    return changed


def _all_rebuilt(project_id: UUID, rows: Iterable[Row[Any]]) -> list[Memory]:
    found = (_rebuilt(row.memory_id, project_id, row.state) for row in rows)
    return sorted(found, key=lambda memory: memory.id)


def _rebuilt(memory_id: UUID, project_id: UUID, state: Mapping[str, Any]) -> Memory:
    values = {name: _value(name, value) for name, value in state.items() if name in _NAMES}
    return Memory(id=memory_id, project_id=project_id, **values)


def _value(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _TIMES:
        return datetime.fromisoformat(value)
    if name in _LISTS:
        return tuple(value)
    return UUID(value) if name == "superseded_by" else value
