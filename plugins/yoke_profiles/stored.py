"""Profiles in the store: rows of `agent_profiles`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError
from sqlalchemy import text

from yokeflow.config import ProfileOptions
from yokeflow.document import Document, dotted
from yokeflow.errors import DocumentError, Problem
from yokeflow.profiles import faults
from yokeflow.validation import problems_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

_TABLE = Path("agent_profiles")
_REMEDY = "correct the rows of the table agent_profiles, or set their status to draft, and try again"

#: Copies what the config says. A row that somebody inserted under the same name is left alone.
_COPY = text("""
INSERT INTO agent_profiles (project_id, name, status, source, options)
SELECT CAST(:project AS uuid), given.key, 'active', 'config', given.value
FROM jsonb_each(CAST(:profiles AS jsonb)) AS given
ON CONFLICT (project_id, name) DO UPDATE
SET status = 'active', options = EXCLUDED.options, version = agent_profiles.version + 1
WHERE agent_profiles.source = 'config'
  AND (agent_profiles.status, agent_profiles.options) IS DISTINCT FROM ('active', EXCLUDED.options)
""")

#: Keeps what is gone from the config for the reports about it.
_ARCHIVE = text("""
UPDATE agent_profiles SET status = 'archived', version = version + 1
WHERE project_id = CAST(:project AS uuid) AND source = 'config' AND status <> 'archived'
  AND NOT CAST(:profiles AS jsonb) ? name
""")

_ACTIVE = text("""
SELECT name, CAST(options AS text) AS options FROM agent_profiles
WHERE project_id = CAST(:project AS uuid) AND source = 'store' AND status = 'active'
ORDER BY created_at, name
""")


async def copy(conn: AsyncConnection, project_id: UUID, profiles: Mapping[str, ProfileOptions]) -> None:
    """Let the table hold what the config says, so that reports can join it."""
    said = {
        name: options.model_dump(mode="json", exclude_defaults=True) for name, options in profiles.items()
    }
    given = {"project": str(project_id), "profiles": json.dumps(said)}
    await conn.execute(_COPY, given)
    await conn.execute(_ARCHIVE, given)


async def known(
    conn: AsyncConnection, project_id: UUID, profiles: Mapping[str, ProfileOptions]
) -> dict[str, ProfileOptions]:
    """The config's profiles, then the active rows of the store whose names the config does not use.

    Raises DocumentError with everything that is wrong in the rows.
    """
    problems: list[Problem] = []
    found = dict(profiles)
    for row in await conn.execute(_ACTIVE, {"project": str(project_id)}):
        if row.name not in profiles:
            options = _read(row.name, json.loads(row.options), problems)
            found |= {row.name: options} if options else {}
    if not problems:
        stored = (fault for fault in faults(found) if fault.profile not in profiles)
        problems += [
            Problem(_TABLE, 0, dotted((each.profile, *each.key)), each.message, each.hint) for each in stored
        ]
    if problems:
        raise DocumentError(problems, hint=_REMEDY)
    return found


def _read(name: str, options: object, problems: list[Problem]) -> ProfileOptions | None:
    try:
        return ProfileOptions.model_validate(options)
    except ValidationError as error:
        document = Document(_TABLE, {name: options}, {})
        found = problems_of(error, document, ProfileOptions, (name,))
        problems += [Problem(_TABLE, 0, each.key, each.message, each.hint) for each in found]
        return None
