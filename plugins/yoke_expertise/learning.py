"""Learn from finished sessions: from the one that just ended, and from those that were missed."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from yoke_expertise import embed
from yoke_expertise.evidence import revise
from yoke_expertise.extract import Case, Failed, Pairs, check_of, conflict, lessons_of, recurring, together
from yoke_expertise.memories import change, key_of, retire, save, save_all, supersede
from yoke_expertise.rank import similarity
from yoke_expertise.reflect import reflect, wants_reflection
from yoke_expertise.transcripts import commands_in, worked
from yokeflow.errors import GitError, StoreError
from yokeflow.store.driver import ConnectionLostError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yoke_expertise.memories import Draft, Memory
    from yokeflow.config import Config
    from yokeflow.hookspecs import Host
    from yokeflow.model import SessionResult

_log = logging.getLogger(__name__)

_ACTOR: Final = "extraction"
#: Sessions that were missed, learned from at the start of a run, and the seconds that may take.
_MISSED: Final = 20
_CATCH_UP: Final = 20.0
#: The latest sessions among which files are counted, and the failed ones among which checks are.
_RECENT: Final = 100
_RECENT_FAILURES: Final = 150
#: Lessons with this much in common say the same.
_SAME: Final = 0.6
_REMEMBERED: Final = 1_000


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


#: Paths between two commits, which never change.
_changed: OrderedDict[tuple[str, str, str], tuple[str, ...]] = OrderedDict()

_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('yoke_expertise'), hashtext(:project))")

_LEARNED = text("""
INSERT INTO expertise_sessions (project_id, session_id, lessons)
VALUES (CAST(:project AS uuid), CAST(:session AS uuid), :lessons) ON CONFLICT DO NOTHING
""")

_UNLEARNED = text("""
SELECT session.id, item.key AS task, session.state, session.reason, session.base_commit, session.head_commit,
       session.folder, session.metadata ->> 'output' AS output, item.title, item.prompt, item.category
FROM sessions session JOIN work_items item ON item.id = session.work_item_id
WHERE session.project_id = CAST(:project AS uuid) AND session.state IN ('completed', 'failed')
  AND NOT EXISTS (SELECT FROM expertise_sessions learned
                  WHERE learned.project_id = session.project_id AND learned.session_id = session.id)
ORDER BY session.number DESC LIMIT :most
""")

#: Attempts at the same task that failed before the one that is looked at, since it was last completed.
_EARLIER = text("""
WITH this AS (
    SELECT coalesce((SELECT number FROM sessions WHERE id = CAST(:session AS uuid)), 2147483647) AS number
), tried AS (
    SELECT session.* FROM this, sessions session JOIN work_items item ON item.id = session.work_item_id
    WHERE session.project_id = CAST(:project AS uuid) AND item.key = :task AND session.number < this.number
      AND session.id <> CAST(:session AS uuid)
)
SELECT id, reason, metadata ->> 'output' AS output, head_commit FROM tried
WHERE state = 'failed'
  AND number > coalesce((SELECT max(done.number) FROM tried done WHERE done.state = 'completed'), 0)
ORDER BY number
""")

_COMPLETED = text("""
SELECT id, base_commit, head_commit FROM sessions
WHERE project_id = CAST(:project AS uuid) AND state = 'completed' AND base_commit <> head_commit
ORDER BY number DESC LIMIT :most
""")

_FAILURES = text("""
SELECT session.id, item.key AS task, session.reason, session.metadata ->> 'output' AS output
FROM sessions session JOIN work_items item ON item.id = session.work_item_id
WHERE session.project_id = CAST(:project AS uuid) AND session.state = 'failed'
  AND session.reason LIKE 'check `%'
ORDER BY session.number DESC LIMIT :most
""")

#: Lessons that the new ones may meet.
_KNOWN = text("""
SELECT id, key, version, status, pinned, kind, subject, content, evidence -> 'sessions' AS sessions
FROM memories
WHERE project_id = CAST(:project AS uuid)
  AND (key = ANY (CAST(:keys AS text[])) OR status = 'active' AND subject = ANY (CAST(:subjects AS text[])))
""")

#: Landings that met a conflict, with the epic whose landing it was.
_CONFLICTS = text("""
SELECT landing.id, landing.files, item.key AS epic
FROM landings landing JOIN work_items item ON item.id = landing.work_item_id
WHERE landing.project_id = CAST(:project AS uuid) AND landing.status = 'conflict' AND landing.files <> '[]'
ORDER BY landing.queued_at DESC LIMIT :most
""")


async def learn(result: SessionResult, transcript: Path, config: Config, host: Host) -> None:
    """Take what a finished session teaches, then judge the lessons that there are."""
    if not config.learning.enabled or result.state not in {"completed", "failed"}:
        return
    attempt = result.attempt
    case = Case(
        session=attempt.session,
        task=attempt.task.id,
        state=result.state,
        reason=result.reason,
        output=result.output,
        title=attempt.task.title,
        prompt=attempt.task.prompt,
        category=attempt.task.category,
        # What the store has of them is more, once it is there.
        earlier=tuple(Failed(failure.reason, failure.output) for failure in attempt.failures),
    )
    case = await _complete(case, result.base_commit, result.head_commit, transcript, host)
    drafts = lessons_of(case, config.learning.domains)
    if wants_reflection(case, config.learning):
        drafts += await reflect(host, case, config.learning)
    await _keep(case, drafts, config, host)
    await embed.fill(host, config.learning.embeddings)


async def catch_up(config: Config, host: Host) -> None:
    """Learn from sessions that ended when nobody learned; what cannot be done now is done another time."""
    if not config.learning.enabled:
        return
    try:
        async with asyncio.timeout(_CATCH_UP):
            async with host.begin() as conn:
                values = {"project": str(host.project_id), "most": _MISSED}
                rows = (await conn.execute(_UNLEARNED, values)).mappings().all()
            for row in reversed(rows):
                case = Case(
                    session=str(row["id"]),
                    output=row["output"] or "",
                    **{
                        name: row[name] for name in ("task", "state", "reason", "title", "prompt", "category")
                    },
                )
                transcript = Path(row["folder"]) / "output.log"
                case = await _complete(case, row["base_commit"], row["head_commit"], transcript, host)
                await _keep(case, lessons_of(case, config.learning.domains), config, host)
    except StoreError as error:
        _log.warning("earlier sessions are learned from another time: %s", error.message)
    except TimeoutError:
        _log.warning("not all earlier sessions were learned from in %d s; the rest is next", _CATCH_UP)


async def _learn_again(row: Mapping[Any, Any], config: Config, host: Host) -> None:
    case = Case(
        session=str(row["id"]),
        output=row["output"] or "",
        **{name: row[name] for name in ("task", "state", "reason", "title", "prompt", "category")},
    )
    transcript = Path(row["folder"]) / "output.log"
    try:
        case = await _complete(case, row["base_commit"], row["head_commit"], transcript, host)
        await _keep(case, lessons_of(case, config.learning.domains), config, host)
    except ConnectionLostError:
        raise
    except StoreError as error:
        # One that cannot be stored must not keep the others from it.
        _log.warning("session %s teaches nothing: %s", case.session, error.message)


async def _complete(case: Case, base: str | None, head: str | None, transcript: Path, host: Host) -> Case:
    """With what the store, git and the transcript know."""
    async with host.begin() as conn:
        values = {"project": str(host.project_id), "task": case.task, "session": case.session}
        rows = (await conn.execute(_EARLIER, values)).all()
    earlier = [
        Failed(row.reason, row.output or "", str(row.id), await _paths(host, row.head_commit, head))
        for row in rows
    ]
    found = await asyncio.to_thread(commands_in, transcript)
    return replace(
        case,
        changed=await _paths(host, base, head),
        earlier=tuple(earlier) if len(earlier) >= len(case.earlier) else case.earlier,
        worked=worked(found),
    )


async def _keep(case: Case, drafts: Sequence[Draft], config: Config, host: Host) -> None:
    """Save what the session teaches together with what it adds to earlier ones, then judge all lessons."""
    domains, project = config.learning.domains, host.project_id
    done = case.state == "completed"
    pairs = together(await _baskets(host, case), domains) if done else Pairs((), frozenset())
    async with host.begin() as conn:
        # Sessions end at the same time; their lessons are put in order one session after another.
        await conn.execute(_LOCK, {"project": str(project)})
        drafts = [*drafts, *pairs.lessons, *await _over_sessions(conn, project, case, domains)]
        known = await _known(conn, project, drafts, pairs.refuted)
        fresh = [draft for draft in drafts if not _is_known(draft, known)]
        plain = [draft for draft in fresh if draft.kind != "reflection"]
        saved = await save_all(conn, project, plain, actor=_ACTOR, session=case.session)
        opinions = [draft for draft in fresh if draft.kind == "reflection"]
        saved += [await _save_opinion(conn, project, each, known.values(), case.session) for each in opinions]
        ended = [
            await retire(
                conn, known[key].id, "no longer changed together", actor=_ACTOR, session=case.session
            )
            for key in sorted(pairs.refuted & known.keys())
            if known[key].status == "active" and not known[key].pinned
        ]
        ended += [each.memory for each in await revise(conn, project, case.session)]
        values = {"project": str(project), "session": case.session, "lessons": len(saved)}
        await conn.execute(_LEARNED, values)
    _tell(host, saved, ended, known)


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


async def _over_sessions(
    conn: AsyncConnection, project: UUID, case: Case, domains: Sequence[str]
) -> list[Draft]:
    """What this session and earlier ones show together: checks that fail alike, conflicts of landings."""
    values = {"project": str(project), "most": _RECENT_FAILURES}
    found: list[Draft] = []
    if command := check_of(case.reason):
        rows = (await conn.execute(_FAILURES, values)).all()
        failures = [(str(row.id), row.task, row.reason, row.output or "") for row in reversed(rows)]
        if case.session not in {session for session, *_ in failures}:
            failures.append((case.session, case.task, case.reason, case.output))
        found += recurring([each for each in failures if check_of(each[2]) == command], domains)
    for row in (await conn.execute(_CONFLICTS, values | {"most": _MISSED})).all():
        # A landing has an id as a session has; lessons count by it.
        draft = conflict(row.files, f"epic {row.epic} was to land", domains, {"sessions": [str(row.id)]})
        found += [draft] if draft else []
    return found


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
    if said := next((each for each in others if each.pinned or each.kind == "note"), None):
        why = f"contradicts {said.id}"
        return await change(
            conn, saved.id, saved.version, actor=_ACTOR, reason=why, session=session, status="disputed"
        )
    for other in others:
        if other.kind == "reflection":
            await supersede(conn, other.id, saved.id, "a later session says otherwise", actor=_ACTOR)
    return saved


async def _baskets(host: Host, case: Case) -> dict[str, tuple[str, ...]]:
    """Changed paths by session, of the latest that completed."""
    async with host.begin() as conn:
        rows = (await conn.execute(_COMPLETED, {"project": str(host.project_id), "most": _RECENT})).all()
    found = {str(row.id): await _paths(host, row.base_commit, row.head_commit) for row in rows}
    return found | {case.session: case.changed}


async def _paths(host: Host, base: str | None, head: str | None) -> tuple[str, ...]:
    """Paths that differ between two commits; none where one of them is gone."""
    if not base or not head or base == head:
        return ()
    key = (str(host.project_id), base, head)
    if key not in _changed:
        try:
            _changed[key] = tuple(await host.changed_files(base, head))
        except GitError:
            _changed[key] = ()
        if len(_changed) > _REMEMBERED:
            _changed.popitem(last=False)
    return _changed[key]


def _tell(host: Host, saved: Sequence[Memory], ended: Sequence[Memory], known: Mapping[str, Known]) -> None:
    """One event about lessons that are new, stronger or gone."""
    items = [
        {
            "memory": str(memory.id),
            "change": "learned" if before is None else "strengthened",
            "text": memory.content,
        }
        for memory in saved
        if (before := known.get(memory.key)) is None or before.version != memory.version
    ]
    items += [{"memory": str(memory.id), "change": "retired", "text": memory.content} for memory in ended]
    if items:
        host.emit("expertise.learned", items=items)
