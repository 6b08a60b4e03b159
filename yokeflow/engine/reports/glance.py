"""The state of a project at a glance: a third of the time, where nothing must be brought up to date first."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg

from yokeflow import __version__
from yokeflow.engine.landing.order import LandingOrder
from yokeflow.engine.lock import Holder, holder
from yokeflow.errors import StoreError
from yokeflow.git.repo import Repo
from yokeflow.places import FILE_NAME, user_file
from yokeflow.store.announcements import announcements
from yokeflow.store.cache import CACHE, write_cache
from yokeflow.store.driver import connection
from yokeflow.store.journal import Journal
from yokeflow.store.server import embedded_address, ensure_server, normalise, server_status
from yokeflow.store.status import EPIC_EDGES, STATUS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping
    from pathlib import Path
    from uuid import UUID

    from yokeflow.config import Config
    from yokeflow.settings import Settings
    from yokeflow.store.announcements import Announced

_URL = "YOKE_DATABASE_URL"
#: What a store raises that is gone, or older than we are.
GONE = (StoreError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
#: Seconds for a connection to a server that may only have to be started, and to any other that may be gone.
_SOON = 1.0
PATIENCE = 1.5
#: A project and how far its journal was applied.
_PROJECT = "SELECT id, metadata -> 'journal' AS journal FROM projects WHERE repo_key = $1"


@dataclass(frozen=True, slots=True)
class Glance:
    """A project to look at, without loading what only writing needs."""

    repo: Repo
    config: Config
    #: Of the store.
    url: str

    @classmethod
    async def open(cls, start: Path, *, patience: float | None = None) -> Glance:
        """The project of the repository around `start`.

        `patience` are seconds for a server to answer, where the settings allow more. Raises RepositoryError,
        DocumentError or StoreError.
        """
        repo = await Repo.discover(start)
        config = await asyncio.to_thread(_config, repo)
        url = await asyncio.to_thread(ensure_server, config.database.at_most(patience))
        return cls(repo, config, url)

    async def again(self) -> Glance:
        """The same, once its server answers; one that somebody has stopped is not started.

        Raises StoreError as long as it does not.
        """
        database = self.config.database.at_most(PATIENCE)
        status = await asyncio.to_thread(server_status, database)
        if not status.running:
            raise StoreError(f"the store does not answer: {status.reason}", hint="`yoke db start` starts it")
        return replace(self, url=await asyncio.to_thread(ensure_server, database))

    async def state(self) -> dict[str, Any] | None:
        """The object of `yoke status --json`.

        None when something has to be done first: a migration, a journal to be drained, a plan to be read.
        """
        return await glance_state(self.repo, self.url)

    @property
    def view(self) -> View:
        """What a report needs of it."""
        return View(self.repo, self.url, _shown(self.config))

    @asynccontextmanager
    async def changes(self) -> AsyncIterator[Announced]:
        """Waits for what happens in the project, which must be known to the store."""
        async with connection(self.url) as opened:
            project = await opened.fetchrow(_PROJECT, str(self.repo.common_dir))
        async with announcements(self.url, str(project["id"]) if project else "") as announced:
            yield announced


@dataclass(frozen=True, slots=True)
class View:
    """A project to report about."""

    repo: Repo
    #: Of the store.
    url: str
    #: The sections `project` and `cost`, as plain data.
    settings: Mapping[str, Any]

    @classmethod
    async def open(cls, start: Path) -> View | None:
        """The project of the repository around `start`, without judging settings that were good before.

        None when that must be done: settings have changed since, a file names the server, or the embedded one
        has to be started. Raises RepositoryError, or StoreError for an address that is none.
        """
        named = os.environ.get(_URL)
        url = normalise(named) if named else embedded_address()
        if url is None:
            return None
        repo = await Repo.discover(start)
        settings = await asyncio.to_thread(_found_to_be_good, repo)
        return None if settings is None else cls(repo, url, settings)

    @asynccontextmanager
    async def reading(
        self, *, behind: bool = False
    ) -> AsyncIterator[tuple[asyncpg.Connection[Any], UUID] | None]:
        """A connection to ask for more than the state, and the project's id.

        None when the project is not known yet, or its journal is to be drained, unless it may be `behind`.
        """
        async with connection(self.url) as opened:
            project = await _project(opened, self.repo)
            # Compiling a statement takes longer than running it.
            await opened.execute("SET jit = off")
            yield None if project is None or (project.behind and not behind) else (opened, project.id)


async def glimpse(start: Path) -> dict[str, Any] | None:
    """What `Glance.state` gives, at the price of a `View`; None when that must be asked.

    Raises StoreError for a server that the environment names and that is away: to ask it again is no use.
    """
    view = await View.open(start)
    if view is None:
        return None
    named = _URL in os.environ
    try:
        return await glance_state(view.repo, view.url, patience=PATIENCE if named else _SOON)
    except StoreError:
        if named:
            raise
    except GONE:
        # Whatever is wrong will be found again, and told.
        pass
    # The embedded server may only have to be started.
    return None


def truthful(state: dict[str, Any], held: Holder | None, lock: Path) -> dict[str, Any]:
    """The state, in which a run whose process is gone is interrupted, as the next run will record.

    `held` is who had the project's lock before the state was read: a run may start or end meanwhile.
    """
    run = state["run"]
    if run and run["state"] in {"running", "paused"} and held is None and holder(lock) is None:
        return {**state, "run": {**run, "state": "interrupted"}}
    return state


def lands_later(state: Mapping[str, Any]) -> bool:
    """Whether an epic is queued to land, so that it may wait for others."""
    return any(entry["status"] == "queued" for entry in state["landings"])


def in_landing_order(state: dict[str, Any], edges: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The state, in which every queued landing says for which epics it waits.

    `edges` tells which epic takes in work of which other one.
    """
    tasks: dict[str, list[str]] = {item["id"]: [] for item in state["items"] if item["kind"] == "epic"}
    direct: dict[str, set[str]] = {epic: set() for epic in tasks}
    for item in state["items"]:
        if item["epic"] in tasks:
            tasks[item["epic"]].append(item["status"])
    for after, before in edges:
        if after != before and after in direct and before in direct:
            direct[after].add(before)
    finished = {epic for epic, states in tasks.items() if {*states} <= {"completed", "cancelled"}}
    landed = {entry["epic"] for entry in state["landings"] if entry["status"] == "landed"}
    # Where everything was left out there is nothing to land.
    landed |= {epic for epic, states in tasks.items() if states and {*states} == {"cancelled"}}
    order = LandingOrder(direct)

    def waits(entry: Mapping[str, Any]) -> list[str]:
        known = entry["status"] == "queued" and entry["epic"] in direct
        return order.waits_for(entry["epic"], finished, landed) if known else []

    return {**state, "landings": [{**entry, "waits_for": waits(entry)} for entry in state["landings"]]}


def _config(repo: Repo) -> Config:
    """The settings; remembers that they are good, unless a file names the server."""
    # Loaded by name, since what judges them takes longer to load than the store to read.
    settings: Settings = import_module("yokeflow.settings").load_config(repo.root, strict=False)
    if settings.config.database.url in {None, os.environ.get(_URL)}:
        with suppress(OSError):
            repo.state_dir.mkdir(exist_ok=True)
            kept = {"sources": _sources(repo), "settings": _shown(settings.config)}
            _good(repo).write_text(json.dumps(kept), encoding="ascii")
    return settings.config


def _shown(config: Config) -> dict[str, Any]:
    """What reports show of the settings; no others, since some are secrets."""
    return config.model_dump(mode="json", include={"project", "cost"})


def _found_to_be_good(repo: Repo) -> Mapping[str, Any] | None:
    """What reports show of settings that have not changed since they were judged."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(_good(repo).read_text(encoding="ascii"))
        if kept["sources"] == _sources(repo):
            settings: Mapping[str, Any] = kept["settings"]
            return settings
    return None


def _good(repo: Repo) -> Path:
    return repo.state_dir / "settings.good"


def _sources(repo: Repo) -> str:
    """A digest of everything that settings can come from, and of what judges them."""
    files = (repo.root / FILE_NAME, user_file())
    said = {key: value for key, value in sorted(os.environ.items()) if key.startswith("YOKE_")}
    read = [path.read_bytes() if path.exists() else None for path in files]
    return sha256(repr((__version__, said, read)).encode(errors="replace")).hexdigest()


async def glance_state(repo: Repo, url: str, patience: float = 5.0) -> dict[str, Any] | None:
    """The state as `Glance.state` gives it, which is kept for when the store is away."""
    lock = repo.state_dir / "run.lock"
    held = holder(lock)
    async with connection(url, patience) as opened:
        try:
            state = await _read(opened, repo)
        except asyncpg.PostgresError:
            # An older schema: opening the store migrates it.
            return None
    return state and truthful(state, held, lock)


class _Project(NamedTuple):
    id: UUID
    #: How far the journal was applied.
    position: Mapping[str, Any]
    #: Whether the journal has events that were not applied yet.
    behind: bool


async def _project(opened: asyncpg.Connection[Any], repo: Repo) -> _Project | None:
    try:
        found = await opened.fetchrow(_PROJECT, str(repo.common_dir))
    except asyncpg.UndefinedTableError:
        return None
    if found is None:
        return None
    at = json.loads(found["journal"] or "{}")
    journal = Journal(repo.state_dir / "journal.jsonl")
    unread = journal.read(at.get("generation", ""), at.get("offset", 0), limit=1).events
    return _Project(found["id"], at, bool(unread))


async def _read(opened: asyncpg.Connection[Any], repo: Repo) -> dict[str, Any] | None:
    project = await _project(opened, repo)
    if project is None or project.behind:
        return None
    # Compiling the statement takes longer than running it.
    await opened.execute("SET jit = off")
    told: str = await opened.fetchval(STATUS.replace(":project", "$1"), str(project.id))
    state: dict[str, Any] = json.loads(told)
    if not state["items"]:
        return None
    edges: Iterable[tuple[str, str]] = ()
    if lands_later(state):
        edges = await opened.fetch(EPIC_EDGES.replace(":project", "$1"), str(project.id))
    write_cache(repo.state_dir / CACHE, told, project.position)
    return in_landing_order(state, edges)
