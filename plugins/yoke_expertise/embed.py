"""Vectors of meaning from an OpenAI-compatible endpoint, kept beside the lessons they belong to."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import math
import os
from typing import TYPE_CHECKING, Any, Final
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from sqlalchemy import text

from yokeflow.engine.secrets.redact import redact

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yokeflow.config import Embeddings
    from yokeflow.hookspecs import Host

_log = logging.getLogger(__name__)

#: Texts of one request, and lessons that get their vector at a time.
_BATCH: Final = 64
_MOST_CHARACTERS: Final = 8_000
_MOST_BYTES: Final = 32_000_000

#: Lessons without a vector of this model, or whose text has changed since.
_WITHOUT = text("""
SELECT memory.id, memory.subject || ' ' || memory.content AS said
FROM memories memory
LEFT JOIN memory_embeddings vector ON vector.memory_id = memory.id AND vector.model = :model
WHERE memory.project_id = CAST(:project AS uuid) AND memory.status IN ('active', 'disputed')
  AND vector.content_hash IS DISTINCT FROM encode(sha256(convert_to(memory.subject || ' ' || memory.content,
                                                                    'UTF8')), 'hex')
ORDER BY memory.created_at DESC, memory.id LIMIT :most
""")

_KEEP = text("""
INSERT INTO memory_embeddings (memory_id, model, embedding, content_hash)
SELECT id, :model, embedding, content_hash
FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS fresh(id uuid, embedding real[], content_hash text)
ON CONFLICT (memory_id, model)
DO UPDATE SET embedding = excluded.embedding, content_hash = excluded.content_hash, created_at = now()
""")

#: Not materialized, the planner may walk an index of all projects' vectors and find next to nothing.
_NEAREST = text("""
WITH mine AS MATERIALIZED (
    SELECT vector.memory_id, vector.embedding
    FROM memory_embeddings vector JOIN memories memory ON memory.id = vector.memory_id
    WHERE memory.project_id = CAST(:project AS uuid) AND memory.status IN ('active', 'disputed')
      AND vector.model = :model AND cardinality(vector.embedding) = :size
)
SELECT memory_id, 1 - (embedding::vector <=> CAST(CAST(:wanted AS text) AS vector)) AS cosine, embedding
FROM mine ORDER BY cosine DESC, memory_id LIMIT :most
""")

_HAS_VECTORS = text("SELECT to_regtype('vector') IS NOT NULL")


class _NoRedirect(HTTPRedirectHandler):
    """A redirect would carry the key to another place."""

    def redirect_request(self, *_args: Any, **_more: Any) -> None:
        return None


async def embed(texts: Sequence[str], options: Embeddings) -> list[list[float]] | None:
    """A vector for each text; None when the endpoint is off or gives no proper answer in time.

    Texts are sent without the secrets in them, and cut.
    """
    if not options.url or not texts:
        return None
    try:
        return await asyncio.to_thread(_ask, list(texts), options)
    except (OSError, URLError, ValueError, KeyError, TypeError) as error:
        _log.warning("lessons are searched by words alone: %s gave no vectors: %s", options.url, error)
        return None


async def fill(host: Host, options: Embeddings) -> int:
    """Give lessons that have none their vector; how many got one."""
    if not options.url:
        return 0
    async with host.begin() as conn:
        values = {"project": str(host.project_id), "model": options.model, "most": _BATCH}
        rows = (await conn.execute(_WITHOUT, values)).all()
    vectors = await embed([row.said for row in rows], options)
    if vectors is None:
        return 0
    fresh = [
        {
            "id": str(row.id),
            "embedding": vector,
            "content_hash": hashlib.sha256(row.said.encode()).hexdigest(),
        }
        for row, vector in zip(rows, vectors, strict=True)
    ]
    async with host.begin() as conn:
        await conn.execute(_KEEP, {"model": options.model, "rows": json.dumps(fresh)})
    return len(fresh)


async def nearest(
    conn: AsyncConnection, project_id: UUID, wanted: Sequence[float], model: str, most: int
) -> dict[UUID, tuple[float, tuple[float, ...]]]:
    """Cosine and vector of the lessons closest in meaning; none where the server cannot compare vectors."""
    if not await conn.scalar(_HAS_VECTORS):
        return {}
    values = {
        "project": str(project_id),
        "model": model,
        "size": len(wanted),
        "wanted": json.dumps(list(wanted)),
        "most": most,
    }
    rows = await conn.execute(_NEAREST, values)
    return {row.memory_id: (row.cosine, tuple(row.embedding)) for row in rows if math.isfinite(row.cosine)}


def _ask(texts: list[str], options: Embeddings) -> list[list[float]]:
    address = f"{(options.url or '').rstrip('/')}/embeddings"
    if urlsplit(address).scheme not in {"http", "https"}:
        raise ValueError("learning.embeddings.url must begin with http:// or https://")
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get(options.key_env):
        headers["Authorization"] = f"Bearer {key}"
    # Cut first, half a secret would not be known as one.
    sent = [redact(each)[:_MOST_CHARACTERS] for each in texts]
    body = json.dumps({"model": options.model, "input": sent})
    request = Request(address, body.encode(), headers)  # noqa: S310 - the scheme was looked at
    with build_opener(_NoRedirect).open(request, timeout=options.timeout) as answer:
        data = json.loads(answer.read(_MOST_BYTES))
    found = sorted(data["data"], key=lambda entry: int(entry.get("index", 0)))
    vectors = [[float(number) for number in entry["embedding"]] for entry in found]
    whole = all(vector and all(map(math.isfinite, vector)) for vector in vectors)
    if len(vectors) != len(texts) or not whole:
        raise ValueError(f"{len(vectors)} vectors for {len(texts)} texts")
    return vectors
