"""The open store: transactions, and the errors of the driver in our words."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from yokeflow.errors import StoreError
from yokeflow.store.connection import ConnectionLostError, Store


async def test_a_transaction_is_committed_at_its_end(store: Store) -> None:
    async with store.begin() as connection:
        await connection.execute(text("INSERT INTO projects (repo_key, name) VALUES ('a', 'a')"))
    async with store.begin() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM projects")) == 1


async def test_a_transaction_is_taken_back_on_an_error(store: Store) -> None:
    with pytest.raises(KeyError):
        async with store.begin() as connection:
            await connection.execute(text("INSERT INTO projects (repo_key, name) VALUES ('a', 'a')"))
            raise KeyError
    async with store.begin() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM projects")) == 0


async def test_what_the_database_refuses_is_a_store_error_without_the_values(store: Store) -> None:
    with pytest.raises(StoreError, match="ck_projects_status") as caught:
        async with store.begin() as connection:
            await connection.execute(
                text("INSERT INTO projects (repo_key, name, status) VALUES ('a', :secret, 'odd')"),
                {"secret": "s3cret"},
            )
    assert not isinstance(caught.value, ConnectionLostError)
    assert "s3cret" not in str(caught.value)


async def test_a_lost_connection_is_told_apart_and_the_next_one_works(store: Store) -> None:
    with pytest.raises(ConnectionLostError):
        async with store.begin() as connection:
            own = await connection.scalar(text("SELECT pg_backend_pid()"))
            async with store.begin() as other:
                await other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": own})
            await connection.execute(text("SELECT 1"))
    async with store.begin() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1


async def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(StoreError, match="cannot connect") as caught:
        await Store.open("postgresql://me:hunter2@127.0.0.1:9/store")
    assert "hunter2" not in str(caught.value)
    assert "127.0.0.1:9/store" in str(caught.value)
    assert caught.value.hint
