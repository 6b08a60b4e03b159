"""What alembic runs: migrations over the connection it is given, or over one it opens itself.

The program hands in a connection that holds the advisory lock. `alembic -c schema/alembic.ini` by
hand takes the server's address from YOKE_DATABASE_URL.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from yokeflow.store import (  # noqa: F401 - imported so that the metadata has them
    tables,
    tables_commits,
    tables_evidence,
    tables_forecasts,
)
from yokeflow.store.address import normalise

if TYPE_CHECKING:
    from sqlalchemy import Connection


def migrate(connection: Connection) -> None:
    """Run what was asked for in the transaction of this connection."""
    context.configure(
        connection=connection, target_metadata=tables.Project.metadata, compare_server_default=True
    )
    with context.begin_transaction():
        context.run_migrations()


async def connect_and_migrate() -> None:
    """Open a connection for one command."""
    engine = create_async_engine(normalise(os.environ["YOKE_DATABASE_URL"]), poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


given: Connection | None = context.config.attributes.get("connection")
if given is None:
    asyncio.run(connect_and_migrate())
else:
    migrate(given)
