"""What is to be known of finished sessions before they teach: from the store, git and transcripts."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from yoke_expertise.extract import MOST_FILES, Case, Failed, check_of
from yoke_expertise.transcripts import commands_in, worked
from yokeflow.errors import GitError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yoke_expertise.memories import Draft
    from yokeflow.hookspecs import Host

#: The latest sessions among which files are counted, and the failed ones among which checks are.
_RECENT: Final = 100
_RECENT_FAILURES: Final = 150
_RECENT_CONFLICTS: Final = 20
_REMEMBERED: Final = 1_000

#: Paths between two commits, which never change.
_changed: OrderedDict[tuple[str, str, str], tuple[str, ...]] = OrderedDict()

#: In one statement, for all sessions of a go: attempts at the same task that failed before, since it was
#: last completed; landings that met a conflict, with the epic whose landing it was; whether lessons about
#: pairs may be refuted; when the latest use was settled; whether there is anything to tell.
_FACTS: Final = text("""
SELECT
  (SELECT jsonb_agg(jsonb_build_object('session', this.session, 'id', tried.id, 'reason', tried.reason,
                                       'output', tried.metadata ->> 'output', 'head', tried.head_commit)
                    ORDER BY tried.number)
   FROM jsonb_to_recordset(CAST(:wanted AS jsonb)) AS wanted(session uuid, task text)
   JOIN work_items item ON item.project_id = CAST(:project AS uuid) AND item.key = wanted.task
   LEFT JOIN sessions stored ON stored.id = wanted.session
   CROSS JOIN LATERAL (SELECT wanted.session, coalesce(stored.number, 2147483647) AS number) this
   JOIN sessions tried ON tried.work_item_id = item.id AND tried.state = 'failed'
    AND tried.number < this.number AND tried.id <> this.session
   WHERE tried.number > coalesce((SELECT max(done.number) FROM sessions done
                                  WHERE done.work_item_id = item.id AND done.state = 'completed'
                                    AND done.number < this.number AND done.id <> this.session), 0)
  ) AS earlier,
  (SELECT jsonb_agg(jsonb_build_object('id', met.id, 'files', met.files, 'epic', met.key))
   FROM (SELECT landing.id, landing.files, item.key
         FROM landings landing JOIN work_items item ON item.id = landing.work_item_id
         LEFT JOIN events queued ON queued.id = landing.id
         WHERE landing.project_id = CAST(:project AS uuid) AND landing.status = 'conflict'
           AND landing.files <> '[]'
         ORDER BY queued.seq DESC NULLS LAST LIMIT :most) met
  ) AS conflicts,
  EXISTS (SELECT FROM memories
          WHERE project_id = CAST(:project AS uuid) AND kind = 'co_change' AND status = 'active'
            AND NOT pinned AND files ?| CAST(:changed AS text[])) AS paired,
  (SELECT max(updated_at) FROM memory_uses
   WHERE project_id = CAST(:project AS uuid) AND landed IS NOT NULL) AS settled,
  EXISTS (SELECT FROM memories
          WHERE project_id = CAST(:project AS uuid) AND status IN ('active', 'disputed')) AS lessons
""")

_COMPLETED: Final = text("""
SELECT id, base_commit, head_commit FROM sessions
WHERE project_id = CAST(:project AS uuid) AND state = 'completed' AND base_commit <> head_commit
ORDER BY number DESC LIMIT :most
""")

_FAILURES: Final = text("""
SELECT session.id, item.key AS task, session.reason, session.metadata ->> 'output' AS output
FROM sessions session JOIN work_items item ON item.id = session.work_item_id
WHERE session.project_id = CAST(:project AS uuid) AND session.state = 'failed'
  AND session.reason LIKE 'check `%'
ORDER BY session.number DESC LIMIT :most
""")


@dataclass(slots=True, eq=False)
class Ended:
    """A finished session on its way to being learned from."""

    case: Case
    #: Lent for this session.
    host: Host
    base: str
    head: str
    #: What an agent that was asked about it said.
    opinions: Sequence[Draft] = ()
    #: Its host may still be used.
    here: bool = True


@dataclass(frozen=True, slots=True)
class Facts:
    """What the store knows that matters to some sessions."""

    #: By session: attempts at its task that failed before, with the commit they left.
    earlier: Mapping[str, Sequence[tuple[Failed, str | None]]]
    #: Id, files and epic of landings in conflict.
    conflicts: Sequence[tuple[str, Sequence[str], str]]
    #: A lesson about files that change together is about one that these sessions changed.
    paired: bool
    settled: datetime | None
    lessons: bool


async def begin(case: Case, base: str | None, head: str | None, transcript: Path, host: Host) -> Ended:
    """A session with what git and its transcript know."""
    commands = await asyncio.to_thread(commands_in, transcript)
    changed = await paths(host, base, head)
    case = replace(case, changed=changed, worked=worked(commands))
    return Ended(case, host, base or "", head or "")


async def facts_of(conn: AsyncConnection, project: UUID, several: Sequence[Ended]) -> Facts:
    """What the store knows, asked for at once."""
    completed = [each.case for each in several if each.case.state == "completed"]
    values = {
        "project": str(project),
        "wanted": json.dumps([{"session": each.case.session, "task": each.case.task} for each in several]),
        "changed": sorted({path for case in completed for path in case.changed}),
        "most": _RECENT_CONFLICTS,
    }
    (row,) = (await conn.execute(_FACTS, values)).all()
    earlier: dict[str, list[tuple[Failed, str | None]]] = {}
    for each in row.earlier or ():
        failed = Failed(each["reason"], each["output"] or "", each["id"])
        earlier.setdefault(each["session"], []).append((failed, each["head"]))
    conflicts = [(each["id"], each["files"], each["epic"]) for each in row.conflicts or ()]
    return Facts(earlier, conflicts, row.paired, row.settled, row.lessons)


async def complete(ended: Ended, facts: Facts, host: Host) -> Case:
    """The case with its earlier attempts; the store knows more of them once it is told of all."""
    found = facts.earlier.get(ended.case.session, ())
    if not found or len(found) < len(ended.case.earlier):
        return ended.case
    earlier = [
        replace(failed, fixed_by=_by_itself(ended.case, await paths(host, head, ended.head or None)))
        for failed, head in found
    ]
    return replace(ended.case, earlier=tuple(earlier))


def _by_itself(case: Case, differing: Sequence[str]) -> tuple[str, ...] | None:
    """Those of the paths that the attempt changed: others may differ since it began from later work."""
    return tuple(path for path in differing if path in case.changed) if differing else None


def may_show_pairs(case: Case) -> bool:
    """Whether the session changed several files, and not so many that it shows nothing."""
    return case.state == "completed" and 2 <= len(case.changed) <= MOST_FILES


async def baskets(host: Host, cases: Sequence[Case]) -> dict[str, tuple[str, ...]]:
    """Changed paths by session, of the latest that completed and of these."""
    async with host.begin() as conn:
        rows = (await conn.execute(_COMPLETED, {"project": str(host.project_id), "most": _RECENT})).all()
    found = {str(row.id): await paths(host, row.base_commit, row.head_commit) for row in rows}
    return found | {case.session: case.changed for case in cases if case.state == "completed"}


async def failures(
    conn: AsyncConnection, project: UUID, cases: Sequence[Case]
) -> list[tuple[str, str, str, str]]:
    """Session, task, reason and output of the latest failed checks, these cases' too; the oldest first."""
    values = {"project": str(project), "most": _RECENT_FAILURES}
    rows = (await conn.execute(_FAILURES, values)).all()
    found = [(str(row.id), row.task, row.reason, row.output or "") for row in reversed(rows)]
    stored = {session for session, *_ in found}
    return found + [
        (case.session, case.task, case.reason, case.output)
        for case in cases
        if check_of(case.reason) and case.session not in stored
    ]


async def paths(host: Host, base: str | None, head: str | None) -> tuple[str, ...]:
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


def as_case(row: Mapping[Any, Any]) -> Case:
    """A case of a row of `learning._UNLEARNED`."""
    names = ("task", "state", "reason", "title", "prompt", "category")
    return Case(session=str(row["id"]), output=row["output"] or "", **{name: row[name] for name in names})
