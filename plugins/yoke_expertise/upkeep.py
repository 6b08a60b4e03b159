"""Keep lessons true and few: check them against the files that exist, retire what is old, sort into tiers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from math import inf
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select, text

from yoke_expertise.compile import Version, compile_all, domains
from yoke_expertise.memories import Memory, change, find, retire
from yoke_expertise.runs import LOOK_AGAIN
from yoke_expertise.tables import ExpertiseFile, MemoryUse
from yokeflow.store.tables import Session

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yokeflow.config import Config

#: What a session made may not have landed yet.
_GRACE = timedelta(days=1)
_DAY = timedelta(days=1)
_FAILURES_LAST = timedelta(days=30)
_FORGOTTEN = timedelta(days=90)
_WEEK = timedelta(days=7)
#: Uses in a week that make a lesson hot.
_BUSY = 10
#: From here on it is neither retired for its age nor put among the cold ones.
_IMPORTANT = 8
_VITAL = 9


@dataclass(frozen=True, slots=True)
class Touched:
    """A lesson that upkeep changed, or would change."""

    memory: Memory
    reason: str


@dataclass(frozen=True, slots=True)
class Revised:
    """What a revision did."""

    validated: Sequence[Touched]
    pruned: Sequence[Touched]
    versions: Sequence[Version]


@dataclass(frozen=True, slots=True)
class Left:
    """What must pass before it is time to revise."""

    seconds: float = 0.0
    #: Sessions that must end.
    sessions: int = 0


async def is_due(conn: AsyncConnection, project_id: UUID, config: Config) -> bool:
    """Whether it is time to revise: never, after any session, every day, or after so many sessions."""
    return await until_due(conn, project_id, config) == Left()


async def until_due(conn: AsyncConnection, project_id: UUID, config: Config) -> Left:
    """What must pass before it is time to revise; without any lesson, when to look for one again."""
    interval = config.learning.self_improve_interval
    if interval == "never" or not config.learning.enabled:
        return Left(seconds=inf)
    last = await _last_revision(conn, project_id)
    if last is None:
        return Left() if await domains(conn, project_id) else Left(seconds=LOOK_AGAIN)
    if interval == "daily":
        left = last + _DAY - await _now(conn)
        return Left(seconds=max(left.total_seconds(), 0.0))
    finished = await conn.scalar(
        select(func.count()).where(Session.project_id == project_id, Session.finished_at > last)
    )
    return Left(sessions=max((1 if interval == "session" else interval) - (finished or 0), 0))


async def revise(
    conn: AsyncConnection,
    project_id: UUID,
    config: Config,
    tracked: Collection[str],
    *,
    session: UUID | None = None,
) -> Revised:
    """Validate, prune and compile all domains. `tracked` are the paths in the target branch.

    What was learned within a day is not held against the target: its epic may land later.
    """
    before = await _now(conn) - _GRACE
    validated = await validate(conn, project_id, tracked, learned_before=before)
    pruned = await prune(conn, project_id)
    versions = await compile_all(
        conn,
        project_id,
        config.learning,
        change_type="self_improved",
        session=session,
        validated=True,
    )
    return Revised(validated, pruned, versions)


async def validate(
    conn: AsyncConnection,
    project_id: UUID,
    tracked: Collection[str],
    *,
    domain: str | None = None,
    learned_before: datetime | None = None,
    actor: str = "system",
) -> list[Touched]:
    """Drop references to files that are gone, and retire lessons that were about nothing else.

    A lesson that is pinned or that a person said stays without its references. Nothing is dropped while
    `tracked` is empty, since then nothing is known.
    """
    there, touched = _with_folders(tracked), []
    for memory in sorted(await find(conn, project_id, domain, status=("active", "disputed")), key=_by_id):
        gone = [path for path in memory.files if path.rstrip("/") not in there]
        if not gone or not there or (learned_before and memory.created_at > learned_before):
            continue
        reason = f"gone: {', '.join(gone)}"
        left = [path for path in memory.files if path not in gone]
        if left or memory.pinned or memory.source == "explicit":
            await change(conn, memory.id, memory.version, actor=actor, reason=reason, files=left)
        else:
            await retire(conn, memory.id, reason, actor=actor)
        touched.append(Touched(memory, reason))
    return touched


async def prune(
    conn: AsyncConnection,
    project_id: UUID,
    *,
    domain: str | None = None,
    actor: str = "system",
    dry_run: bool = False,
) -> list[Touched]:
    """Retire what has expired or was never used, and put lessons into tiers by use and importance.

    Gives what was retired.
    """
    now, busy = await _now(conn), await _uses(conn, project_id)
    retired = []
    for memory in sorted(await find(conn, project_id, domain), key=_by_id):
        tier = _tier(memory, busy.get(memory.id, 0), now)
        if reason := _worn_out(memory, now):
            retired.append(Touched(memory, reason))
            if not dry_run:
                await retire(conn, memory.id, reason, actor=actor)
        elif tier != memory.tier and not dry_run:
            await change(conn, memory.id, memory.version, actor="tier_manager", tier=tier)
    return retired


def _worn_out(memory: Memory, now: datetime) -> str:
    """Why a lesson is of no more use; empty for one that stays."""
    if memory.expires_at and memory.expires_at <= now:
        return f"expired on {memory.expires_at:%Y-%m-%d}"
    if _is_kept(memory) or memory.source == "explicit":
        return ""
    idle = now - (memory.last_accessed_at or memory.updated_at)
    if memory.kind == "failure_fix" and not memory.access_count and idle > _FAILURES_LAST:
        return f"not needed in {_FAILURES_LAST.days} days"
    if memory.tier == "cold" and idle > _FORGOTTEN:
        return f"cold, and not used in {_FORGOTTEN.days} days"
    return ""


def _tier(memory: Memory, busy: int, now: datetime) -> str:
    if memory.pinned or memory.importance >= _VITAL or busy > _BUSY:
        return "hot"
    forgotten = now - memory.created_at > _FORGOTTEN and memory.access_count < 2
    if memory.importance < 3 and forgotten and not _is_kept(memory):
        return "cold"
    return memory.tier


def _is_kept(memory: Memory) -> bool:
    return memory.pinned or memory.importance >= _IMPORTANT or memory.type == "identity"


def _with_folders(tracked: Iterable[str]) -> set[str]:
    """Paths with all the folders that they are in: there may be many, and every lesson names some."""
    there: set[str] = set()
    for path in tracked:
        while path and path not in there:
            there.add(path)
            path = path.rpartition("/")[0]  # noqa: PLW2901 - on to the folder
    return there


def _by_id(memory: Memory) -> Any:
    return memory.id


async def _uses(conn: AsyncConnection, project_id: UUID) -> dict[UUID, int]:
    """How often each lesson was given in the last seven days."""
    rows = await conn.execute(
        select(MemoryUse.memory_id, func.count())
        .where(
            MemoryUse.project_id == project_id,
            MemoryUse.held_out.is_(False),
            MemoryUse.recalled_at > func.now() - _WEEK,
        )
        .group_by(MemoryUse.memory_id)
    )
    return {row[0]: row[1] for row in rows}


async def _last_revision(conn: AsyncConnection, project_id: UUID) -> datetime | None:
    """When all domains had been validated; None while one never was."""
    rows = await conn.scalars(
        select(ExpertiseFile.validated_at).where(ExpertiseFile.project_id == project_id)
    )
    times = rows.all()
    return None if None in times else min((time for time in times if time), default=None)


async def _now(conn: AsyncConnection) -> datetime:
    moment: datetime = (await conn.execute(text("SELECT clock_timestamp()"))).scalar_one()
    return moment
