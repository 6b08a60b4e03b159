"""Expertise files: one document a domain, compiled from its lessons, with every version kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from difflib import unified_diff
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import func, insert, select, text, update

from yoke_expertise.documents import compile_document, render
from yoke_expertise.history import restore
from yoke_expertise.memories import find
from yoke_expertise.tables import ExpertiseFile, ExpertiseUpdate, MemoryRow
from yokeflow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

    from yokeflow.config import Learning

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('expertise ' || CAST(:project AS text), 0))")
#: What is in the file but is no news.
_STAMP = "last_validated"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a domain's file."""

    domain: str
    version: int
    at: datetime
    change_type: str
    summary: str
    session: UUID | None
    diff: str
    content: Mapping[str, Any]


async def hold(conn: AsyncConnection, project_id: UUID) -> None:
    """Let nobody else compile or write the project's files until the transaction ends."""
    await conn.execute(_LOCK, {"project": str(project_id)})


async def compile_domain(
    conn: AsyncConnection,
    project_id: UUID,
    domain: str,
    learning: Learning,
    *,
    change_type: str,
    summary: str = "",
    session: UUID | None = None,
    validated: bool = False,
) -> Version | None:
    """Compile a domain's file; None where it says the same as before.

    `change_type` is one of `tables.CHANGE_TYPES`, `validated` stamps the time.
    """
    await hold(conn, project_id)
    everything = await find(conn, project_id, domain, status=())
    lessons = [memory for memory in everything if memory.status == "active"]
    old = await _file(conn, project_id, domain)
    if old is None and not lessons:
        return None
    compiled = compile_document(domain, lessons, learning.expertise_max_lines)
    if validated:
        await _stamp(conn, project_id, domain)
    if old is not None and _news(old.content) == compiled.content:
        return None
    content = dict(compiled.content)
    if stamp := await _today(conn) if validated else old.content.get(_STAMP) if old else None:
        content[_STAMP] = stamp
    summary = summary or _summary(old.content if old else {}, content)
    seen = {str(memory.id): memory.version for memory in everything}
    return await _store(
        conn, project_id, old, content, seen, change_type, summary, session, validated=validated
    )


async def compile_all(
    conn: AsyncConnection,
    project_id: UUID,
    learning: Learning,
    *,
    change_type: str,
    session: UUID | None = None,
    validated: bool = False,
) -> list[Version]:
    """Compile every domain that has lessons or a file; gives the new versions."""
    made = [
        await compile_domain(
            conn,
            project_id,
            domain,
            learning,
            change_type=change_type,
            session=session,
            validated=validated,
        )
        for domain in await domains(conn, project_id)
    ]
    return [version for version in made if version is not None]


async def domains(conn: AsyncConnection, project_id: UUID) -> list[str]:
    """Domains that have lessons or a file, in the order of their names."""
    lessons = select(MemoryRow.domain).where(MemoryRow.project_id == project_id)
    files = select(ExpertiseFile.domain).where(ExpertiseFile.project_id == project_id)
    return sorted(await conn.scalars(lessons.union(files)))


async def versions(conn: AsyncConnection, project_id: UUID, domain: str) -> list[Version]:
    """Every version of a domain's file, the first one first."""
    rows = await conn.execute(
        select(ExpertiseUpdate.__table__)
        .join(ExpertiseFile, ExpertiseFile.id == ExpertiseUpdate.expertise_id)
        .where(ExpertiseFile.project_id == project_id, ExpertiseFile.domain == domain)
        .order_by(ExpertiseUpdate.version)
    )
    return [_version(domain, row) for row in rows]


async def current_text(conn: AsyncConnection, project_id: UUID, domain: str) -> str | None:
    """The text of a domain's file; None before it is compiled for the first time."""
    row = await _file(conn, project_id, domain)
    return render(row.content, row.version) if row else None


async def hashes(conn: AsyncConnection, project_id: UUID, domain: str) -> frozenset[str]:
    """SHA-256 of every text that a domain's file ever had."""
    found = await conn.scalars(
        select(ExpertiseUpdate.file_hash)
        .join(ExpertiseFile, ExpertiseFile.id == ExpertiseUpdate.expertise_id)
        .where(ExpertiseFile.project_id == project_id, ExpertiseFile.domain == domain)
    )
    return frozenset(found)


async def rollback(
    conn: AsyncConnection, project_id: UUID, domain: str, to: int, learning: Learning, *, actor: str
) -> Version | None:
    """Take a domain's lessons back to what they were in an earlier version, as a new version.

    None where they are what they were. Raises UsageError when there is no such version.
    """
    known = {version.version: version for version in await versions(conn, project_id, domain)}
    if to not in known:
        there = f"its versions are 1 to {max(known)}" if known else "`yoke expertise list` shows the domains"
        raise UsageError(f"there is no version {to} of the domain {domain!r}", hint=there)
    reason = f"back to version {to} of {domain}"
    await hold(conn, project_id)
    seen = await _seen_in(conn, project_id, domain, to)
    await restore(conn, project_id, known[to].at, domain, seen, actor=actor, reason=reason)
    return await compile_domain(conn, project_id, domain, learning, change_type="rolled_back", summary=reason)


def text_hash(content: bytes) -> str:
    """How a file's text is known again, however its lines end."""
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def _news(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != _STAMP}


async def _file(conn: AsyncConnection, project_id: UUID, domain: str) -> Row[Any] | None:
    rows = await conn.execute(
        select(ExpertiseFile.__table__).where(
            ExpertiseFile.project_id == project_id, ExpertiseFile.domain == domain
        )
    )
    return rows.first()


async def _seen_in(conn: AsyncConnection, project_id: UUID, domain: str, version: int) -> dict[UUID, int]:
    """Versions of all lessons that the domain had when the file was compiled, by id."""
    found = await conn.scalar(
        select(ExpertiseUpdate.lessons)
        .join(ExpertiseFile, ExpertiseFile.id == ExpertiseUpdate.expertise_id)
        .where(ExpertiseFile.project_id == project_id, ExpertiseFile.domain == domain)
        .where(ExpertiseUpdate.version == version)
    )
    return {UUID(id_): each for id_, each in (found or {}).items()}


async def _stamp(conn: AsyncConnection, project_id: UUID, domain: str) -> None:
    await conn.execute(
        update(ExpertiseFile)
        .where(ExpertiseFile.project_id == project_id, ExpertiseFile.domain == domain)
        .values(validated_at=func.now())
    )


async def _today(conn: AsyncConnection) -> str:
    return str(await conn.scalar(text("SELECT CAST(now() AT TIME ZONE 'UTC' AS date)")))


async def _store(
    conn: AsyncConnection,
    project_id: UUID,
    old: Row[Any] | None,
    content: dict[str, Any],
    seen: dict[str, int],
    change_type: str,
    summary: str,
    session: UUID | None,
    *,
    validated: bool,
) -> Version:
    before = render(old.content, old.version) if old else ""
    version = old.version + 1 if old else 1
    after = render(content, version)
    values = {"content": content, "version": version, "line_count": after.count("\n")}
    if old is None:
        stamp = {"validated_at": func.now()} if validated else {}
        made = insert(ExpertiseFile).values(
            project_id=project_id, domain=content["domain"], **values, **stamp
        )
        file_id = await conn.scalar(made.returning(ExpertiseFile.id))
    else:
        file_id = old.id
        await conn.execute(update(ExpertiseFile).where(ExpertiseFile.id == file_id).values(**values))
    rows = await conn.execute(
        insert(ExpertiseUpdate)
        .values(
            expertise_id=file_id,
            session_id=session,
            version=version,
            change_type=change_type,
            change_summary=summary,
            diff="".join(_diff(before, after)),
            content=content,
            lessons=seen,
            file_hash=text_hash(after.encode()),
        )
        .returning(ExpertiseUpdate.__table__)
    )
    return _version(content["domain"], rows.one())


def _diff(before: str, after: str) -> list[str]:
    lines = (before.splitlines(keepends=True), after.splitlines(keepends=True))
    return list(unified_diff(*lines, "before", "after", n=1))


def _summary(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    before, after = _entries(old), _entries(new)
    both = before.keys() & after.keys()
    counts = {
        "added": len(after.keys() - before.keys()),
        "changed": sum(before[name] != after[name] for name in both),
        "gone": len(before.keys() - after.keys()),
    }
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "other order or header"


def _entries(content: Mapping[str, Any]) -> dict[str, Any]:
    sections = (value for value in content.values() if isinstance(value, list))
    return {entry["id"]: entry for part in sections for entry in part if isinstance(entry, dict)}


def _version(domain: str, row: Row[Any]) -> Version:
    return Version(
        domain,
        row.version,
        row.at,
        row.change_type,
        row.change_summary,
        row.session_id,
        row.diff,
        row.content,
    )
