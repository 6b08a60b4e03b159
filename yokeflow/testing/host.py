"""What the core lends plugins, for tests: with a real database behind it or without one."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID, uuid4

from yokeflow.errors import StoreError
from yokeflow.events import CORE_SUBJECTS, Event
from yokeflow.model import AgentReport
from yokeflow.settings import load_config
from yokeflow.store import migrate, projection, projects
from yokeflow.store.address import with_database
from yokeflow.store.connection import Store
from yokeflow.store.driver import connection
from yokeflow.store.server import ensure_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
    from types import ModuleType

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yokeflow.model import Attempt


class TestHost:
    """A `yokeflow.hookspecs.Host` whose answers a test sets and whose events it reads."""

    #: For pytest: this is no test.
    __test__: ClassVar[bool] = False

    def __init__(self, *, store: Store | None = None, project_id: UUID | None = None) -> None:
        self.run = str(uuid4())
        self.project_id = project_id or uuid4()
        self.root = Path.cwd()
        #: What the plugin recorded.
        self.events: list[Event] = []
        #: What `changed_files` and `tracked_files` answer.
        self.changed: list[str] = []
        self.tracked: list[str] = []
        #: What `ask` answers, one after another; then an empty answer.
        self.answers: list[AgentReport] = []
        #: What `ask` was asked, with its operation.
        self.asked: list[tuple[str, str]] = []
        #: The attempt that recorded events are about.
        self.attempt: Attempt | None = None
        self._store = store

    @property
    def has_database(self) -> bool:
        return self._store is not None

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction; raises StoreError where the host has no database, as when it is away."""
        if self._store is None:
            raise StoreError("the database is away", hint="this host was made without one")
        async with self._store.begin() as conn:
            yield conn

    def emit(self, type_: str, **data: Any) -> None:
        """Keep an event in `events`; `store_events` brings it into the table."""
        subject, dot, what = type_.partition(".")
        if not (subject and dot and what) or subject in CORE_SUBJECTS:
            raise ValueError(f"{type_!r} is no event of a plugin's: write something like deploy.started")
        json.dumps(data, allow_nan=False)
        about: dict[str, Any] = {}
        if self.attempt is not None:
            task = self.attempt.task
            about = {"epic": task.epic, "task": task.id, "session": self.attempt.session}
        self.events.append(Event(type_, run=self.run, **about, data=data))

    async def store_events(self, *more: Event) -> None:
        """Bring what was recorded, and `more`, into the table `events`, where triggers see it."""
        async with self.begin() as conn:
            await projection.apply(conn, self.project_id, [*more, *self.events])

    async def changed_files(self, base: str, head: str) -> Sequence[str]:  # noqa: ARG002 - the protocol's
        """What the test has put into `changed`."""
        return self.changed

    async def tracked_files(self) -> Sequence[str]:
        """What the test has put into `tracked`."""
        return self.tracked

    async def ask(self, prompt: str, *, operation: str, agent: str, model: str = "") -> AgentReport:  # noqa: ARG002 - the protocol's
        """The next of `answers`."""
        self.asked.append((operation, prompt))
        return self.answers.pop(0) if self.answers else AgentReport(ok=True)


@asynccontextmanager
async def host(database_url: str | None = None) -> AsyncIterator[TestHost]:
    """A host for tests; with an address of a migrated database, with a project of its own there."""
    if database_url is None:
        yield TestHost()
        return
    async with await Store.open(database_url) as store:
        async with store.begin() as conn:
            project_id = await projects.register(conn, f"test-{uuid4().hex}", "test", Path.cwd())
        yield TestHost(store=store, project_id=project_id)


@contextmanager
def temporary_database(*plugins: object, server: str | None = None) -> Iterator[str]:
    """The address of a database that is there for a while, with the tables of the core and of `plugins`.

    It is made on `server`, else on the configured one or, where none is configured, on YokeFlow's private
    server, which is started.
    """
    at = server or ensure_server(load_config(Path.cwd(), strict=False).config.database)
    name = f"test_{uuid4().hex}"
    wait(_execute(at, f'CREATE DATABASE "{name}" TEMPLATE template0'))
    url = with_database(at, name)
    try:
        wait(migrate.upgrade(url, [folder for folder in map(migrations_of, plugins) if folder]))
        yield url
    finally:
        wait(_execute(at, f'DROP DATABASE "{name}" WITH (FORCE)'))


def migrations_of(plugin: object | ModuleType) -> Path | None:
    """The folder of a plugin's revisions."""
    register = getattr(plugin, "register_migrations", None)
    return register() if register is not None else None


def wait(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end wherever this is called: another loop may be running."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def _execute(url: str, statement: str) -> None:
    async with connection(url) as opened:
        await opened.execute(statement)
