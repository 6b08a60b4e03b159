"""Learn from finished sessions: from those that just ended, and from those that were missed."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from yoke_expertise import embed
from yoke_expertise.extract import Case, Failed, Pairs, check_of, conflict, lessons_of, recurring, together
from yoke_expertise.gathering import (
    as_case,
    baskets,
    begin,
    complete,
    facts_of,
    failures,
    may_show_pairs,
)
from yoke_expertise.keeping import keep
from yoke_expertise.reflect import reflect, wants_reflection
from yoke_expertise.runs import remembered
from yoke_expertise.telling import look
from yokeflow.errors import StoreError
from yokeflow.store.driver import ConnectionLostError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yoke_expertise.gathering import Ended, Facts
    from yoke_expertise.memories import Draft
    from yokeflow.config import Config
    from yokeflow.hookspecs import Host
    from yokeflow.model import SessionResult

_log = logging.getLogger(__name__)

#: Sessions that were missed, learned from at the start of a run, and the seconds that may take.
_MISSED: Final = 20
_CATCH_UP: Final = 20.0
_NO_PAIRS: Final = Pairs((), frozenset())

_UNLEARNED = text("""
SELECT session.id, item.key AS task, session.state, session.reason, session.base_commit, session.head_commit,
       session.folder, session.metadata ->> 'output' AS output, item.title, item.prompt, item.category
FROM sessions session JOIN work_items item ON item.id = session.work_item_id
WHERE session.project_id = CAST(:project AS uuid) AND session.state IN ('completed', 'failed')
  AND NOT EXISTS (SELECT FROM expertise_sessions learned
                  WHERE learned.project_id = session.project_id AND learned.session_id = session.id)
ORDER BY session.number DESC LIMIT :most
""")


async def learn(result: SessionResult, transcript: Path, config: Config, host: Host) -> None:
    """Take what a finished session teaches, with others that end at the same time; then judge all lessons."""
    attempt, turns = result.attempt, remembered(host).turns
    turns.ended(attempt.session)
    if not config.learning.enabled or result.state not in {"completed", "failed"}:
        return
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
    ended = await begin(case, result.base_commit, result.head_commit, transcript, host)
    if config.learning.reflect_with:
        async with host.begin() as conn:
            facts = await facts_of(conn, host.project_id, [ended])
        whole = await complete(ended, facts, host)
        if wants_reflection(whole, config.learning):
            ended.opinions = await reflect(host, whole, config.learning)
    await turns.take(ended, partial(_learn, config=config, host=host))
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
                await look(conn, host)
            for row in reversed(rows):
                await _learn_again(row, config, host)
    except StoreError as error:
        _log.warning("earlier sessions are learned from another time: %s", error.message)
    except TimeoutError:
        _log.warning("not all earlier sessions were learned from in %d s; the rest is next", _CATCH_UP)


async def _learn_again(row: Mapping[Any, Any], config: Config, host: Host) -> None:
    case, transcript = as_case(row), Path(row["folder"]) / "output.log"
    try:
        ended = await begin(case, row["base_commit"], row["head_commit"], transcript, host)
        await _learn([ended], config, host)
    except ConnectionLostError:
        raise
    except StoreError as error:
        # One that cannot be stored must not keep the others from it.
        _log.warning("session %s teaches nothing: %s", case.session, error.message)


async def _learn(several: Sequence[Ended], config: Config, host: Host) -> None:
    """Keep what sessions teach, together with what they add to earlier ones."""
    domains = config.learning.domains
    async with host.begin() as conn:
        facts = await facts_of(conn, host.project_id, several)
        over = await _over_sessions(conn, several, facts, domains, host)
    cases = [await complete(each, facts, host) for each in several]
    pairs = _NO_PAIRS
    if facts.paired or any(map(may_show_pairs, cases)):
        pairs = together(await baskets(host, cases), domains)
    drafts = [[*lessons_of(case, domains), *each.opinions] for case, each in zip(cases, several, strict=True)]
    # What sessions show together is put down to the last of them.
    drafts[-1] += [*pairs.lessons, *over]
    await keep(list(zip(several, drafts, strict=True)), pairs.refuted, facts, host)


async def _over_sessions(
    conn: AsyncConnection, several: Sequence[Ended], facts: Facts, domains: Sequence[str], host: Host
) -> list[Draft]:
    """What these and earlier sessions show together: checks that fail alike, conflicts of landings."""
    found: list[Draft] = []
    cases = [each.case for each in several]
    if commands := {command for case in cases if (command := check_of(case.reason))}:
        failed = await failures(conn, host.project_id, cases)
        found += recurring([each for each in failed if check_of(each[2]) in commands], domains)
    for id_, files, epic in facts.conflicts:
        # A landing has an id as a session has; lessons count by it.
        draft = conflict(files, f"epic {epic} was to land", domains, {"sessions": [id_]})
        found += [draft] if draft else []
    return found
