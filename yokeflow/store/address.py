"""Addresses of databases: the spellings we take, what the driver wants, what may be shown."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from yokeflow.errors import StoreError

_SCHEMES = ("postgres", "postgresql", "postgresql+asyncpg")
_PASSWORD = re.compile(r"(?i)(://[^:@/?#]*:).*(?=@)|([?&][^=&]*(?:password|secret|token)[^=&]*=)[^&]*")


def normalise(url: str) -> str:
    """The same address as `postgresql+asyncpg://…`.

    Raises StoreError for anything that is no address of PostgreSQL.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in _SCHEMES:
        raise StoreError(
            "the database's address does not name PostgreSQL",
            hint="write postgresql://user:password@host:5432/name",
        )
    return f"postgresql+asyncpg://{rest}"


def plain(url: str) -> str:
    """The same address as `postgresql://…`, for asyncpg and PostgreSQL's own programs."""
    return "postgresql://" + normalise(url).partition("://")[2]


def shown(url: str) -> str:
    """The address without its password."""
    return _PASSWORD.sub(lambda found: (found[1] or found[2]) + "***", plain(url))


def of_socket(folder: str, database: str) -> str:
    """Address of a database behind a Unix socket, complete, so that no PG* variable changes it."""
    return f"postgresql+asyncpg://postgres@/{database}?host={quote(folder, safe='/')}&port=5432"


def with_database(url: str, database: str) -> str:
    """The address of another database on the same server."""
    parts = urlsplit(normalise(url))
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}/{quote(database, safe='')}{query}"
