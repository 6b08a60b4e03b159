"""Travel in time: what lessons were at a past moment, rebuilt field by field from the log alone."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select, text

from yoke_expertise.memories import CHANGEABLE, Memory, change, find, retire
from yoke_expertise.tables import MemoryLog

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    return sorted(
        (_rebuilt(row.memory_id, project_id, row.state) for row in rows), key=lambda memory: memory.id
    )


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
    conn: AsyncConnection, project_id: UUID, at: datetime, domain: str, *, actor: str, reason: str = ""
) -> int:
    """Take the lessons of a domain back to what they were, as new changes; gives how many changed.

    Lessons that came later are retired. Evidence stays: it was seen.
    """
    then = {memory.id: memory for memory in await state_at(conn, project_id, at)}
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
