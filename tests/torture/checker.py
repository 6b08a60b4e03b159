"""Proves what a round must not have broken, with git and SQL alone: nothing of YokeFlow is imported.

    python -m tests.torture.checker FOLDER [URL]

With the address of a store that was rebuilt from git, only that one is compared with what the lost one said.
Prints the broken promises as a JSON list of sentences, and leaves with 1 when there are any.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import asyncpg

from tests.torture.facts import Facts, Stored
from tests.torture.proofs_extras import EXTRA_PROOFS
from tests.torture.proofs_git import GIT_PROOFS
from tests.torture.proofs_store import REBUILT_PROOFS, STORE_PROOFS

_QUERIES = {
    "events": "SELECT id::text, seq, run, type, epic, task, session, payload FROM events"
    " WHERE project_id = $1 ORDER BY seq",
    "items": "SELECT key, kind, status, commit FROM work_items WHERE project_id = $1 AND deleted_at IS NULL",
    "landings": "SELECT w.key AS epic, l.status, l.commit, l.tree FROM landings l"
    " JOIN work_items w ON w.id = l.work_item_id WHERE l.project_id = $1 ORDER BY l.queued_at",
    "checks": "SELECT tree, command, stage, passed, flaky FROM check_results WHERE project_id = $1",
    "sessions": "SELECT s.id::text, w.key AS task, s.state FROM sessions s"
    " JOIN work_items w ON w.id = s.work_item_id WHERE s.project_id = $1",
    "runs": "SELECT id::text, state FROM runs WHERE project_id = $1",
    "questions": "SELECT i.kind, w.key AS item, i.reason FROM interventions i"
    " LEFT JOIN work_items w ON w.id = i.work_item_id WHERE i.project_id = $1 AND i.resolved_at IS NULL",
    "commits": "SELECT c.commit, c.kind, c.writer, w.key AS item FROM commits c"
    " JOIN work_items w ON w.id = c.work_item_id WHERE c.project_id = $1",
}


async def read_store(url: str, shop: Path) -> Stored:
    """All rows of the round's project."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""), timeout=30)
    try:
        await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
        key = str((shop / ".git").resolve())
        project = await connection.fetchval("SELECT id FROM projects WHERE repo_key = $1", key)
        rows: dict[str, list[dict[str, Any]]] = {
            name: [dict(row) for row in await connection.fetch(query, project)]
            for name, query in _QUERIES.items()
        }
    finally:
        await connection.close()
    return Stored(**rows)


def check(folder: Path) -> list[str]:
    """Every broken promise of the round in `folder`, as sentences."""
    facts = Facts.read(folder)
    stored = asyncio.run(read_store(facts.database, facts.shop))
    return [
        *(f"{prove.__name__}: {found}" for prove in GIT_PROOFS for found in prove(facts)),
        *(
            f"{prove.__name__}: {found}"
            for prove in (*STORE_PROOFS, *EXTRA_PROOFS)
            for found in prove(facts, stored)
        ),
    ]


def compare(folder: Path, rebuilt: str) -> list[str]:
    """What a store that was rebuilt from git tells otherwise than the one of the round."""
    facts = Facts.read(folder)
    lost, found = (asyncio.run(read_store(url, facts.shop)) for url in (facts.database, rebuilt))
    return [f"{prove.__name__}: {each}" for prove in REBUILT_PROOFS for each in prove(lost, found)]


if __name__ == "__main__":
    broken = check(Path(sys.argv[1])) if len(sys.argv) < 3 else compare(Path(sys.argv[1]), sys.argv[2])
    sys.stdout.write(json.dumps(broken, indent=1) + "\n")
    sys.exit(1 if broken else 0)
