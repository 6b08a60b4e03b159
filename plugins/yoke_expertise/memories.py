"""Write and read lessons. Every change goes through here with who made it and why; triggers keep the log."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import delete, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import aggregate_order_by, insert

from yoke_expertise.strengthening import merged, strengthened
from yoke_expertise.tables import STATUSES, MemoryRow, MemoryTag
from yokeflow.errors import StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection

_SPACE = re.compile(r"\s+")
_ACT = text("""
SELECT set_config('yoke.actor', :actor, true), set_config('yoke.reason', :reason, true),
       set_config('yoke.session', :session, true), set_config('yoke.action', :action, true)
""")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Draft:
    """A lesson before it is saved."""

    domain: str
    kind: str
    #: At most 2,000 characters.
    content: str
    #: At most 200 characters.
    subject: str = ""
    type: str = "semantic"
    source: str = "extraction"
    #: From 1 to 10.
    importance: int = 5
    confidence: float = 0.5
    #: Numbers add up, lists are joined, anything else is replaced; `sessions` are UUIDs it was learned from.
    evidence: Mapping[str, Any] = field(default_factory=dict)
    pinned: bool = False
    files: Sequence[str] = ()
    categories: Sequence[str] = ()
    tags: Sequence[str] = ()
    expires_at: datetime | None = None
    #: What makes it the same lesson as another one; empty: kind, subject and words of the content.
    key: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """A lesson as it is stored, or as it was at a past time."""

    id: UUID
    project_id: UUID
    key: str
    type: str
    domain: str
    status: str
    tier: str
    source: str
    kind: str
    subject: str
    content: str
    importance: int
    confidence: float
    evidence: Mapping[str, Any]
    pinned: bool
    files: tuple[str, ...]
    categories: tuple[str, ...]
    superseded_by: UUID | None
    access_count: int
    last_accessed_at: datetime | None
    expires_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime
    tags: tuple[str, ...] = ()


#: Fields that `change` takes; `tags` too.
CHANGEABLE = frozenset(
    (
        *("type", "domain", "status", "tier", "source", "kind", "subject", "content", "importance"),
        *("confidence", "evidence", "pinned", "files", "categories", "superseded_by", "expires_at", "tags"),
    )
)


class StaleMemoryError(StoreError):
    """Somebody else changed the lesson meanwhile, so it was left as it is."""

    def __init__(
        self,
        expected: int,
        wanted: Mapping[str, Any],
        current: Memory,
        *,
        hint: str = "look at it again with `yoke expertise show` and repeat the change",
    ) -> None:
        theirs = ", ".join(f"{name} = {getattr(current, name)!r}" for name in sorted(wanted))
        yours = ", ".join(f"{name} = {value!r}" for name, value in sorted(wanted.items()))
        super().__init__(
            f"lesson {current.id} was changed by somebody else: you started from version {expected}, "
            f"it is at version {current.version}\n  yours:  {yours}\n  theirs: {theirs}",
            hint=hint,
        )
        self.expected = expected
        self.wanted = dict(wanted)
        self.current = current


def key_of(draft: Draft) -> str:
    """What two drafts of the same lesson have in common, however they are spaced and capitalised."""
    words = [_SPACE.sub(" ", part).strip().casefold() for part in (draft.kind, draft.subject, draft.content)]
    return draft.key or hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]


async def act(
    conn: AsyncConnection, actor: str, reason: str = "", *, session: str = "", action: str = ""
) -> None:
    """Tell the log who changes lessons in the rest of the transaction, and why.

    `action` is one of `tables.ACTIONS`; empty: told from the fields that change.
    """
    await conn.execute(
        _ACT,
        {"actor": actor, "reason": reason, "session": session, "action": action},
    )


async def save(
    conn: AsyncConnection,
    project_id: UUID,
    draft: Draft,
    *,
    actor: str,
    reason: str = "",
    session: str = "",
    action: str = "",
) -> Memory:
    """Store a lesson; one that is there already gains evidence and confidence.

    What sessions teach twice (after a crash) counts once. A lesson that was retired stays so, unless a person
    says it again. Raises StoreError for values that no lesson can have.
    """
    await act(conn, actor, reason, session=session, action=action)
    added = await conn.scalar(
        insert(MemoryRow)
        .values(project_id=project_id, **_values(draft))
        .on_conflict_do_nothing(index_elements=["project_id", "key"])
        .returning(MemoryRow.id)
    )
    if added is not None:
        await _set_tags(conn, added, draft.tags)
        return await _only(conn, added)
    old = await _locked(conn, project_id, key_of(draft))
    changes = strengthened(old, draft)
    if not changes:
        return old
    await _write(conn, old, changes)
    return await _only(conn, old.id)


async def save_all(
    conn: AsyncConnection,
    project_id: UUID,
    drafts: Iterable[Draft],
    *,
    actor: str,
    reason: str = "",
    session: str = "",
) -> list[Memory]:
    """Store several lessons, always in the same order, so that two who do it at once wait for each other."""
    return [
        await save(conn, project_id, draft, actor=actor, reason=reason, session=session)
        for draft in sorted(drafts, key=key_of)
    ]


async def change(
    conn: AsyncConnection,
    memory_id: UUID,
    version: int,
    *,
    actor: str,
    reason: str = "",
    session: str = "",
    action: str = "",
    **changed: Any,
) -> Memory:
    """Replace fields of the lesson as it was read at `version`.

    Raises StaleMemoryError when it has another version by now.
    """
    if unknown := set(changed) - CHANGEABLE:
        raise TypeError(f"no field that can be changed: {', '.join(sorted(unknown))}")
    found = await _find(conn, MemoryRow.id == memory_id, lock=True)
    if not found:
        raise StoreError(f"there is no lesson {memory_id}", hint="`yoke expertise list` shows them")
    (current,) = found
    if current.version != version:
        raise StaleMemoryError(version, changed, current)
    wanted = {name: _frozen(value) for name, value in changed.items()}
    different = {name: value for name, value in wanted.items() if getattr(current, name) != value}
    if not different:
        return current
    await act(conn, actor, reason, session=session, action=action)
    await _write(conn, current, different)
    return await _only(conn, memory_id)


async def retire(
    conn: AsyncConnection, memory_id: UUID, reason: str, *, actor: str = "system", session: str = ""
) -> Memory:
    """Use a lesson no more. It stays, with its history."""
    current = await _only(conn, memory_id, lock=True)
    return await change(
        conn,
        memory_id,
        current.version,
        actor=actor,
        reason=reason,
        session=session,
        status="archived",
        tier="cold",
    )


async def supersede(
    conn: AsyncConnection, old: UUID, new: UUID, reason: str, *, actor: str = "system"
) -> Memory:
    """Put another lesson in the place of this one."""
    current = await _only(conn, old, lock=True)
    return await change(
        conn,
        old,
        current.version,
        actor=actor,
        reason=reason,
        status="superseded",
        tier="cold",
        superseded_by=new,
    )


async def find(
    conn: AsyncConnection,
    project_id: UUID,
    domain: str | None = None,
    *,
    status: Sequence[str] = ("active",),
    kind: str | None = None,
    tag: str | None = None,
) -> list[Memory]:
    """Lessons of a project, the most important first. An empty `status` means every one."""
    where = [MemoryRow.project_id == project_id, MemoryRow.status.in_(tuple(status) or STATUSES)]
    if domain is not None:
        where.append(MemoryRow.domain == domain)
    if kind is not None:
        where.append(MemoryRow.kind == kind)
    if tag is not None:
        where.append(exists().where(MemoryTag.memory_id == MemoryRow.id, MemoryTag.tag == tag))
    return sorted(await _find(conn, *where), key=rank)


async def get(conn: AsyncConnection, project_id: UUID, name: str) -> Memory:
    """The lesson whose id is `name` or begins with it.

    Raises UsageError when there is none, or more than one.
    """
    start = name.lower()
    if not re.fullmatch(r"[0-9a-f-]{4,36}", start):
        raise UsageError(f"{name!r} is no id of a lesson", hint="`yoke expertise list` shows the ids")
    matches = (
        MemoryRow.id == UUID(start)
        if _UUID.fullmatch(start)
        else func.cast(MemoryRow.id, MemoryRow.key.type).startswith(start, autoescape=True)
    )
    found = await _find(conn, MemoryRow.project_id == project_id, matches)
    if len(found) != 1:
        several = "more than one lesson begins with" if found else "there is no lesson"
        raise UsageError(f"{several} {name}", hint="`yoke expertise list --status all` shows the ids")
    return found[0]


def rank(memory: Memory) -> tuple[bool, int, float, str, str]:
    """The order of lessons: pinned, important, sure; then by words, so that it is the same everywhere."""
    return (not memory.pinned, -memory.importance, -memory.confidence, memory.content, str(memory.id))


def _values(draft: Draft) -> dict[str, Any]:
    names = {item.name for item in fields(Draft)} - {"tags", "key"}
    values = {name: _stored(name, getattr(draft, name)) for name in names}
    return values | {"key": key_of(draft)}


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | set | frozenset) else value


def _stored(name: str, value: Any) -> Any:
    if name == "evidence":
        return merged({}, value)
    return list(value) if isinstance(value, tuple | list) else value


async def _write(conn: AsyncConnection, old: Memory, changed: Mapping[str, Any]) -> None:
    values = {name: _stored(name, value) for name, value in changed.items() if name != "tags"}
    await conn.execute(
        update(MemoryRow).where(MemoryRow.id == old.id).values(**values, version=MemoryRow.version + 1)
    )
    if "tags" in changed:
        await _set_tags(conn, old.id, changed["tags"])


async def _set_tags(conn: AsyncConnection, memory_id: UUID, tags: Sequence[str]) -> None:
    await conn.execute(
        delete(MemoryTag).where(MemoryTag.memory_id == memory_id, MemoryTag.tag.not_in(tuple(tags)))
    )
    if tags:
        rows = [{"memory_id": memory_id, "tag": tag} for tag in sorted(set(tags))]
        await conn.execute(insert(MemoryTag).values(rows).on_conflict_do_nothing())


async def _locked(conn: AsyncConnection, project_id: UUID, key: str) -> Memory:
    (found,) = await _find(conn, MemoryRow.project_id == project_id, MemoryRow.key == key, lock=True)
    return found


async def _only(conn: AsyncConnection, memory_id: UUID, *, lock: bool = False) -> Memory:
    found = await _find(conn, MemoryRow.id == memory_id, lock=lock)
    if not found:
        raise StoreError(f"there is no lesson {memory_id}", hint="`yoke expertise list` shows them")
    return found[0]


async def _find(conn: AsyncConnection, *where: Any, lock: bool = False) -> list[Memory]:
    tags = (
        select(func.array_agg(aggregate_order_by(MemoryTag.tag, MemoryTag.tag.collate("C"))))
        .where(MemoryTag.memory_id == MemoryRow.id)
        .correlate(MemoryRow)
        .scalar_subquery()
        .label("tags")
    )
    columns = [column for column in MemoryRow.__table__.columns if column.name != "search"]
    statement = select(*columns, tags).where(*where)
    if lock:
        statement = statement.with_for_update(of=MemoryRow, key_share=True)
    return [_memory(row) for row in (await conn.execute(statement)).mappings()]


def _memory(row: Mapping[Any, Any]) -> Memory:
    lists = {name: tuple(row[name] or ()) for name in ("files", "categories", "tags")}
    return Memory(**{**row, **lists})
