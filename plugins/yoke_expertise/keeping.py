"""Keep what sessions teach together with what is known, then judge all lessons."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from yoke_expertise.evidence import revise
from yoke_expertise.memories import change, key_of, retire, save, save_all, supersede
from yoke_expertise.rank import similarity
from yoke_expertise.runs import remembered

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yoke_expertise.gathering import Ended, Facts
    from yoke_expertise.memories import Draft, Memory
    from yokeflow.hookspecs import Host

_ACTOR: Final = "extraction"
#: Lessons with this much in common say the same.
_SAME: Final = 0.6


@dataclass(frozen=True, slots=True)
class Known:
    """What matters of a lesson that a new one may meet."""

    id: UUID
    key: str
    version: int
    status: str
    pinned: bool
    kind: str
    subject: str
    content: str
    sessions: frozenset[str]


@dataclass(slots=True)
class News:
    """What became of lessons by one session."""

    saved: list[Memory]
    ended: list[Memory]
    known: Mapping[str, Known]


_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('yoke_expertise'), hashtext(:project))")

_LEARNED = text("""
INSERT INTO expertise_sessions (project_id, session_id, lessons)
SELECT CAST(:project AS uuid), session, lessons
FROM unnest(CAST(:sessions AS uuid[]), CAST(:lessons AS integer[])) AS learned(session, lessons)
ON CONFLICT DO NOTHING
""")

#: Lessons that the new ones may meet.
_KNOWN = text("""
SELECT id, key, version, status, pinned, kind, subject, content, evidence -> 'sessions' AS sessions
FROM memories
WHERE project_id = CAST(:project AS uuid)
  AND (key = ANY (CAST(:keys AS text[])) OR status = 'active' AND subject = ANY (CAST(:subjects AS text[])))
""")


async def keep(
    several: Sequence[tuple[Ended, Sequence[Draft]]], refuted: frozenset[str], facts: Facts, host: Host
) -> None:
    """Save what sessions teach and what became of it, all or nothing, and tell it when that is done."""
    state, project = remembered(host), host.project_id
    # What is measured has not changed until another use is settled.
    judging = facts.lessons and facts.settled is not None and facts.settled != state.judged
    news: dict[str, News] = {}
    async with host.begin() as conn:
        if judging or refuted or any(drafts for _, drafts in several):
            # Other processes may learn too; lessons are put in order one session after another.
            await conn.execute(_LOCK, {"project": str(project)})
        last = several[-1][0].case.session
        for ended, drafts in several:
            apart = refuted if ended.case.session == last else frozenset()
            news[ended.case.session] = await _save(conn, project, ended.case.session, drafts, apart)
        if judging:
            news[last].ended += [each.memory for each in await revise(conn, project, last)]
        values = {
            "project": str(project),
            "sessions": list(news),
            "lessons": [len(each.saved) for each in news.values()],
        }
        await conn.execute(_LEARNED, values)
    state.found(lessons=facts.lessons)
    state.judged = facts.settled
    if any(each.saved for each in news.values()):
        state.saved()
    for ended, _ in several:
        _tell(ended, news[ended.case.session])


async def _save(
    conn: AsyncConnection, project: UUID, session: str, drafts: Sequence[Draft], refuted: frozenset[str]
) -> News:
    if not (drafts or refuted):
        return News([], [], {})
    known = await _known(conn, project, drafts, refuted)
    fresh = [draft for draft in drafts if not _is_known(draft, known)]
    plain = [draft for draft in fresh if draft.kind != "reflection"]
    saved = await save_all(conn, project, plain, actor=_ACTOR, session=session)
    opinions = [draft for draft in fresh if draft.kind == "reflection"]
    saved += [await _save_opinion(conn, project, each, known.values(), session) for each in opinions]
    ended = [
        await retire(conn, known[key].id, "no longer changed together", actor=_ACTOR, session=session)
        for key in sorted(refuted & known.keys())
        if known[key].status == "active" and not known[key].pinned
    ]
    return News(saved, ended, known)


async def _known(
    conn: AsyncConnection, project: UUID, drafts: Sequence[Draft], refuted: Iterable[str]
) -> dict[str, Known]:
    values = {
        "project": str(project),
        "keys": [*(key_of(draft) for draft in drafts), *refuted],
        "subjects": [draft.subject for draft in drafts if draft.kind == "reflection"],
    }
    rows = (await conn.execute(_KNOWN, values)).mappings()
    found = (Known(**{**row, "sessions": frozenset(row["sessions"] or ())}) for row in rows)
    return {each.key: each for each in found}


def _is_known(draft: Draft, known: Mapping[str, Known]) -> bool:
    """Whether the lesson is there with everything that speaks for it."""
    same = known.get(key_of(draft))
    return same is not None and same.sessions.issuperset(draft.evidence["sessions"])


async def _save_opinion(
    conn: AsyncConnection, project: UUID, draft: Draft, known: Iterable[Known], session: str
) -> Memory:
    """Save what an agent thinks, beside what is known of the same subject.

    Much the same: the known one gains evidence. Something else: it takes the place of what an agent thought
    before, and is disputed where a person said or pinned the other. Other subjects go side by side.
    """
    others = [each for each in known if each.status == "active" and each.subject == draft.subject]
    for other in others:
        if similarity(other.content, draft.content) >= _SAME:
            same = replace(draft, key=other.key)
            return await save(conn, project, same, actor=_ACTOR, session=session, action="consolidated")
    saved = await save(conn, project, draft, actor="reflection", session=session)
    if saved.status != "active":
        # It was retired before, or is in dispute: said once more, it says nothing against the others.
        return saved
    if said := next((each for each in others if each.pinned or each.kind == "note"), None):
        why = f"contradicts {said.id}"
        return await change(
            conn, saved.id, saved.version, actor=_ACTOR, reason=why, session=session, status="disputed"
        )
    for other in others:
        if other.kind == "reflection":
            await supersede(conn, other.id, saved.id, "a later session says otherwise", actor=_ACTOR)
    return saved


def _tell(ended: Ended, news: News) -> None:
    """One event about lessons that are new, stronger or gone."""
    items = [
        {
            "memory": str(memory.id),
            "change": "learned" if before is None else "strengthened",
            "text": memory.content,
        }
        for memory in news.saved
        if (before := news.known.get(memory.key)) is None or before.version != memory.version
    ]
    items += [{"memory": str(each.id), "change": "retired", "text": each.content} for each in news.ended]
    if items and ended.here:
        ended.host.emit("expertise.learned", items=items)
