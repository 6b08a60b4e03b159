"""Fixtures of all tests: a home of its own for every test, one database server for all of them."""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import settings

from yokeflow.config import Database
from yokeflow.store import migrate
from yokeflow.store.address import with_database
from yokeflow.store.connection import Store
from yokeflow.store.driver import connect
from yokeflow.store.server import ensure_server, stop_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator

#: Short, since a socket's path must be; others may pass through, since root's PostgreSQL is another user.
_SHARED = "TEST_FOLDER_OF_YOKE"
_TEMPLATE = "template_yoke"
_MEMORY = Path("/dev/shm")
#: Bytes.
_ROOM = 4 << 30
_numbers = itertools.count()
_folder_key = pytest.StashKey[Path]()

# Other examples at each run would fail somebody whose change has nothing to do with it;
# `pytest --hypothesis-profile=default` looks for new ones.
settings.register_profile("steady", derandomize=True)
settings.load_profile("steady")


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder of this test run; workers of pytest-xdist inherit its name."""
    if _SHARED not in os.environ:
        in_memory = _has_room(_MEMORY)
        folder = Path(tempfile.mkdtemp(prefix="yoke-test-", dir=_MEMORY if in_memory else "/tmp"))
        folder.chmod(0o711)
        os.environ[_SHARED] = str(folder)
        if in_memory and not os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC:
            # Of pytest: where `tmp_path` is. Half of what git does in a small repository is making files.
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))
        config.stash[_folder_key] = folder


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the server, in the process that made the folder."""
    folder = config.stash.get(_folder_key, None)
    if folder is not None:
        with _home(folder / "server"):
            stop_server()
        shutil.rmtree(folder)
        del os.environ[_SHARED]


def _has_room(memory: Path) -> bool:
    """Whether the servers of all tests fit there, where a database is made in a tenth of the time."""
    usable = memory.is_dir() and os.access(memory, os.W_OK | os.X_OK)
    return usable and shutil.disk_usage(memory).free > _ROOM


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder of the test's own. A server that the test started in it is stopped."""
    for name in list(os.environ):
        if name.startswith(("YOKE_", "PG")):
            monkeypatch.delenv(name)
    folder = Path(os.environ[_SHARED]) / f"{os.getpid()}-{next(_numbers)}"
    monkeypatch.setenv("YOKE_HOME", str(folder))
    monkeypatch.setenv("YOKE_PLUGINS", "")
    yield folder
    with _home(folder):
        stop_server()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def git_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, with a git identity and none of the developer's git settings.

    What a test commits itself need not survive a power cut; our own git says what is to be synced.
    """
    folder = tmp_path_factory.mktemp("home")
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / ".config"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(folder / ".gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    text = "[user]\n\tname = Ada\n\temail = ada@example.com\n[init]\n\tdefaultBranch = main\n"
    text += "[core]\n\tfsync = none\n"
    (folder / ".gitconfig").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def server_url() -> str:
    """The server of this test run, for `CREATE DATABASE` and the like; tests use `database_url`."""
    shared = Path(os.environ[_SHARED])
    with _home(shared / "server"):
        url = ensure_server(Database())
    with (shared / "template.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "template").exists():
            _wait(_make_template(url))
            (shared / "template").touch()
    return url


@pytest.fixture
def empty_database_url(server_url: str) -> Iterator[str]:
    """A database of the test's own without any table."""
    yield from _database(server_url, "template0")


@pytest.fixture
def database_url(server_url: str) -> Iterator[str]:
    """A database of the test's own with all migrations applied."""
    yield from _database(server_url, _TEMPLATE)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open store on a database of the test's own."""
    async with await Store.open(database_url) as opened:
        yield opened


def plugin_migrations() -> list[Path]:
    """The folders of revisions of all plugins in this repository."""
    return sorted((Path(__file__).parents[1] / "plugins").glob("*/migrations"))


def _database(server_url: str, template: str) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    in_memory = Path(os.environ[_SHARED]).is_relative_to(_MEMORY)
    how = "FILE_COPY" if in_memory else "WAL_LOG"
    _wait(_execute(server_url, f'CREATE DATABASE "{name}" TEMPLATE {template} STRATEGY {how}'))
    yield with_database(server_url, name)
    _wait(_execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)'))


async def _make_template(url: str) -> None:
    """The migrated database that tests clone, and a server that need not survive a power cut."""
    await _execute(url, "ALTER SYSTEM SET fsync = off")
    await _execute(url, "SELECT pg_reload_conf()")
    await _execute(url, f"CREATE DATABASE {_TEMPLATE}")
    await migrate.upgrade(with_database(url, _TEMPLATE), plugin_migrations())


async def _execute(url: str, statement: str) -> None:
    opened = await connect(url, 10.0)
    try:
        await opened.execute(statement)
    finally:
        await opened.close()


def _wait(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end wherever this is called: a loop of another fixture may be running."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


@contextmanager
def _home(folder: Path) -> Iterator[None]:
    """Another data folder for a while."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("YOKE_HOME", str(folder))
        patch.delenv("YOKE_DATABASE_URL", raising=False)
        yield
