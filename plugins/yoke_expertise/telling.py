"""Find what to tell an attempt, keep some of it back, and record which."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from yoke_expertise.domains import domain_of
from yoke_expertise.embed import embed, nearest
from yoke_expertise.rank import Candidate, Wanted, choose, render
from yoke_expertise.runs import remembered
from yoke_expertise.verdict import held_out
from yokeflow.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yokeflow.config import Config, Learning
    from yokeflow.hookspecs import Host
    from yokeflow.model import Attempt, Task

_log = logging.getLogger(__name__)

#: Candidates of each way of looking.
_MOST: Final = 40
#: Words of a task that are looked for: each costs a look into the index.
_MOST_WORDS: Final = 40
#: What was met once may have been chance.
_SURE_ENOUGH: Final = 0.4
#: Prompts are long; what counts is at their beginning.
_MOST_CHARACTERS: Final = 4_000
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{2,30}")
_MAGIC: Final = re.compile(r"[*?\[{]")

#: Words are looked for from the rarest on, until so large a share of all lessons may have one of them, and at
#: least so many. The server knows the shares from its statistics: what they leave out is rare.
_SHARE: Final = 0.05
_LEAST_WORDS: Final = 3

#: Candidates by words, by files, by category or domain and pinned ones, by id (those close in meaning).
_CANDIDATES = text("""
WITH common AS (
    SELECT entry.lexeme, entry.share
    FROM pg_stats stats,
         unnest(CAST(CAST(most_common_elems AS text) AS text[]), most_common_elem_freqs) entry(lexeme, share)
    WHERE stats.schemaname = current_schema() AND stats.tablename = 'memories' AND stats.attname = 'search'
      AND entry.lexeme IS NOT NULL
), ordered AS (
    SELECT lexeme, row_number() OVER rarest AS place, sum(coalesce(share, 0)) OVER rarest AS together
    FROM unnest(tsvector_to_array(to_tsvector('english', :words))) lexeme LEFT JOIN common USING (lexeme)
    WINDOW rarest AS (ORDER BY coalesce(share, 0), lexeme)
), query AS (
    SELECT CAST(coalesce(string_agg(quote_literal(lexeme), ' | '), '') AS tsquery) AS terms FROM ordered
    WHERE together <= :share OR place <= :least
),
mine AS NOT MATERIALIZED (
    SELECT id, search, files, categories, domain, importance, confidence, pinned FROM memories
    WHERE project_id = CAST(:project AS uuid) AND status IN ('active', 'disputed')
      AND (confidence >= :sure OR pinned) AND (expires_at IS NULL OR expires_at > now())
),
worded AS (
    SELECT id, ts_rank_cd(search, (SELECT terms FROM query), 1) AS rank FROM mine
    WHERE search @@ (SELECT terms FROM query) ORDER BY rank DESC, id LIMIT :most
),
filed AS (
    SELECT id FROM mine
    WHERE files ?| CAST(:paths AS text[]) OR files @? CAST(nullif(CAST(:below AS text), '') AS jsonpath)
    ORDER BY importance * confidence DESC, id LIMIT :most
),
sorted AS (
    SELECT id FROM mine WHERE pinned OR categories ? CAST(:category AS text) OR domain = :domain
    ORDER BY pinned DESC, categories ? CAST(:category AS text) DESC, importance * confidence DESC, id
    LIMIT 2 * :most
),
found AS (
    SELECT id FROM worded UNION SELECT id FROM filed UNION SELECT id FROM sorted
    UNION SELECT id FROM mine WHERE id = ANY (CAST(:close AS uuid[]))
)
SELECT memory.id, memory.key, memory.kind, memory.content, memory.domain, memory.importance,
       memory.confidence, memory.created_at, memory.status, memory.pinned, memory.files, memory.categories,
       coalesce(worded.rank, 0) AS words,
       CAST(memory.evidence -> 'effect' ->> 'probability' AS double precision) AS effect
FROM found JOIN memories memory USING (id) LEFT JOIN worded USING (id)
""")


_ANY = text("""
SELECT EXISTS (SELECT FROM memories
               WHERE project_id = CAST(:project AS uuid) AND status IN ('active', 'disputed'))
""")

#: With its values known, the planner leaves out what a task does not ask for.
_PLANNED = text("SET LOCAL plan_cache_mode = force_custom_plan")


def recall(attempt: Attempt, config: Config, host: Host) -> Awaitable[list[str]] | list[str]:
    """Lessons for one attempt as Markdown paragraphs; none while the database is away.

    While the project is known to have no lessons the answer is there at once, and the store is not asked; one
    that another process adds during the run is told `runs.LOOK_AGAIN` seconds later at the latest.
    """
    learning, state = config.learning, remembered(host)
    if learning.enabled:
        state.turns.began(attempt.session)
    if not learning.enabled or not learning.recall_tokens or state.has_lessons is False:
        return []
    return _recall(attempt, learning, host)


async def _recall(attempt: Attempt, learning: Learning, host: Host) -> list[str]:
    try:
        if not await _has_lessons(host):
            return []
        chosen = await chosen_for(attempt.task, learning, host)
    except StoreError as error:
        _log.warning("nothing is recalled for %s: %s", attempt.task.id, error.message)
        return []
    kept = [
        each for each in chosen if held_out(each.key, attempt.task.id, learning.holdout, pinned=each.pinned)
    ]
    given = [each for each in chosen if each not in kept]
    if chosen:
        host.emit(
            "expertise.recalled",
            given=[str(each.id) for each in given],
            held_out=[str(each.id) for each in kept],
        )
    return render(given)


async def _has_lessons(host: Host) -> bool:
    known = remembered(host).has_lessons
    if known is None:
        async with host.begin() as conn:
            known = await look(conn, host)
    return known


async def look(conn: AsyncConnection, host: Host) -> bool:
    """Whether there is anything to tell; the run remembers it."""
    found = bool(await conn.scalar(_ANY, {"project": str(host.project_id)}))
    remembered(host).found(lessons=found)
    return found


async def chosen_for(task: Task, learning: Learning, host: Host) -> list[Candidate]:
    """The lessons that fit a task, the best first, before any is kept back."""
    whole = f"{task.title}\n{task.prompt}"
    said = whole[:_MOST_CHARACTERS]
    vectors = await embed([whole], learning.embeddings)
    wanted = Wanted(task.files, task.category, domain_of(said, task.files, learning.domains, task.category))
    async with host.begin() as conn:
        close = (
            await nearest(conn, host.project_id, vectors[0], learning.embeddings.model, _MOST)
            if vectors
            else {}
        )
        candidates = await find_candidates(conn, host.project_id, said, wanted, close)
    return choose(candidates, wanted, learning.recall_tokens, datetime.now(UTC))


async def find_candidates(
    conn: AsyncConnection,
    project_id: UUID,
    said: str,
    wanted: Wanted,
    close: Mapping[UUID, tuple[float, tuple[float, ...]]],
) -> list[Candidate]:
    """Every lesson that some way of looking finds; `close` has cosines and vectors by lesson."""
    paths, below = _paths(wanted.files)
    values = {
        "project": str(project_id),
        "words": " ".join(terms_of(said)),
        "share": _SHARE,
        "least": _LEAST_WORDS,
        "sure": _SURE_ENOUGH,
        "most": _MOST,
        "paths": paths,
        "below": below,
        "category": wanted.category,
        "domain": wanted.domain,
        "close": list(close),
    }
    await conn.execute(_PLANNED)
    rows = (await conn.execute(_CANDIDATES, values)).mappings()
    return [
        Candidate(
            **{
                **row,
                "files": tuple(row["files"]),
                "categories": tuple(row["categories"]),
                "meaning": max(close.get(row["id"], (0.0,))[0], 0.0),
                "vector": close[row["id"]][1] if row["id"] in close else (),
            }
        )
        for row in rows
    ]


def terms_of(said: str) -> list[str]:
    """The words of a text, identifiers and paths taken apart as the index has them; the first ones."""
    return list(dict.fromkeys(word.lower() for word in _WORD.findall(said)))[:_MOST_WORDS]


def _paths(files: Sequence[str]) -> tuple[list[str], str]:
    """Plain paths, and a JSON path that finds lists with something below the beginning of a glob or folder.

    It may let too much through; what does not overlap gets no points.
    """
    beginnings = []
    for pattern in files:
        start = _MAGIC.split(pattern, maxsplit=1)[0]
        # `src/a*.py` means what is in `src/`; a plain path may be a folder.
        head = start.rpartition("/")[0] if start != pattern else start.rstrip("/")
        if start != pattern or "." not in start.rpartition("/")[2]:
            beginnings.append(json.dumps(f"{head}/" if head else ""))
    below = " || ".join(f"@ starts with {beginning}" for beginning in dict.fromkeys(beginnings))
    return [pattern for pattern in files if not _MAGIC.search(pattern)], f"$[*] ? ({below})" if below else ""
