"""What is known about checks: by (stage, tree, command, environment)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import text

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

#: Stage, tree, command, environment.
Key: TypeAlias = tuple[str, str, str, str]

#: The newest results by key; a result has the id of its event. What is reused counts too, so that evidence in
#: use does not grow old.
_KNOWN = text("""
WITH newest AS (
    SELECT result.id, stage, tree, command, environment, passed, flaky, seconds, source_id, seq
    FROM (SELECT id, seq FROM events
          WHERE project_id = CAST(:project AS uuid) AND type = 'check.finished'
          ORDER BY seq DESC LIMIT :limit) told
    JOIN check_results result ON result.id = told.id
)
SELECT stage, tree, command, environment,
       bool_or(passed) AS ever_passed, bool_or(flaky) AS flaky,
       (array_agg(passed ORDER BY seq DESC))[1] AS passed,
       CAST((array_agg(coalesce(source_id, id) ORDER BY seq DESC))[1] AS text) AS source,
       max(seconds) AS seconds
FROM newest GROUP BY stage, tree, command, environment
""")

#: What proved a landing, a command each; what was tested before the target moved is about another tree.
_OF_LANDING = text("""
SELECT DISTINCT ON (result.command) result.command, result.environment, result.flaky,
       coalesce(source.seconds, result.seconds) AS seconds
FROM check_results result LEFT JOIN check_results source ON source.id = result.source_id
LEFT JOIN events told ON told.id = result.id
WHERE result.project_id = CAST(:project AS uuid) AND result.landing_id = CAST(:landing AS uuid)
  AND result.tree = :tree AND result.passed
ORDER BY result.command, told.seq DESC NULLS LAST
""")


#: What passed on a tree, a command each.
_ON_TREE = text("""
SELECT DISTINCT ON (result.command) result.command, result.environment, result.flaky, result.seconds
FROM check_results result LEFT JOIN events told ON told.id = result.id
WHERE result.project_id = CAST(:project AS uuid) AND result.stage = 'landing' AND result.tree = :tree
  AND result.passed AND result.source_id IS NULL
ORDER BY result.command, told.seq DESC NULLS LAST
""")


@dataclass(frozen=True, slots=True)
class Known:
    """What earlier results say about a command on a tree."""

    #: The id of the result to reuse; empty where there is none to rely on.
    evidence: str
    #: It passed at least once, however often it was tried.
    passed: bool
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Passed:
    """A command that a landing passed."""

    command: str
    environment: str
    flaky: bool
    seconds: float


async def known_checks(conn: AsyncConnection, project_id: UUID, *, limit: int = 10_000) -> dict[Key, Known]:
    """What the newest results say.

    A command that was flaky on a tree proves nothing about it any more; else its newest result counts.
    """
    rows = await conn.execute(_KNOWN, {"project": str(project_id), "limit": limit})
    return {
        (row.stage, row.tree, row.command, row.environment): Known(
            row.source if row.passed and not row.flaky else "", row.ever_passed, row.seconds
        )
        for row in rows
    }


async def passed_on(conn: AsyncConnection, project_id: UUID, tree: str) -> list[Passed]:
    """The commands that passed as landing checks on a tree, as far as the store has them."""
    rows = await conn.execute(_ON_TREE, {"project": str(project_id), "tree": tree})
    return [Passed(row.command, row.environment, row.flaky, row.seconds) for row in rows]


async def passed_by_landing(conn: AsyncConnection, project_id: UUID, landing: str, tree: str) -> list[Passed]:
    """The commands that a landing passed on a tree, as far as the store has them."""
    asked = {"project": str(project_id), "landing": landing, "tree": tree}
    rows = await conn.execute(_OF_LANDING, asked)
    return [Passed(row.command, row.environment, row.flaky, row.seconds) for row in rows]
