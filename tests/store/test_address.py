"""Addresses of databases, and scripts of SQL."""

from __future__ import annotations

import pytest

from yokeflow.errors import StoreError
from yokeflow.store.address import normalise, of_socket, plain, shown, with_database
from yokeflow.store.statements import statements


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_every_spelling_of_postgresql_is_one_address(scheme: str) -> None:
    url = f"{scheme}://u:p@h:5433/d?sslmode=require"
    assert normalise(url) == "postgresql+asyncpg://u:p@h:5433/d?sslmode=require"
    assert plain(url) == "postgresql://u:p@h:5433/d?sslmode=require"


def test_what_is_no_postgresql_is_refused_without_showing_it() -> None:
    with pytest.raises(StoreError) as caught:
        normalise("mysql://u:hunter2@h/d")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter2@h/d",
        "postgresql://u:hun@ter2@h/d",
        "postgresql://u:hun/ter2@h/d",
        "postgresql://u@h/d?password=hunter2",
        "postgresql://u@h/d?sslmode=require&sslpassword=hunter2&x=1",
    ],
)
def test_a_password_is_never_shown(url: str) -> None:
    assert "ter2" not in shown(url)
    assert shown(url).startswith("postgresql://u")


def test_an_address_of_a_socket_keeps_any_folder() -> None:
    assert "host=/a%20b/%C3%A9&port=5432" in of_socket("/a b/é", "store")


def test_another_database_of_the_same_server() -> None:
    assert with_database("postgres://u@h:1/a?x=y", "b c") == "postgresql+asyncpg://u@h:1/b%20c?x=y"


def test_a_script_is_split_at_semicolons_before_empty_lines() -> None:
    script = "-- why\nSELECT 1;\n\nCREATE FUNCTION f() AS $$\nBEGIN\n  x;\nEND\n$$;\n"
    assert statements(script) == ["SELECT 1", "CREATE FUNCTION f() AS $$\nBEGIN\n  x;\nEND\n$$"]
