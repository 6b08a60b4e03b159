"""The state of a project by whoever can tell: the store, the local cache, git, the status file.

Each is asked when the one before it fails or has no answer, and the answer names who gave it. What only the
later ones need is loaded by name, since the first one nearly always answers.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from yokeflow.engine.lock import holder
from yokeflow.engine.reports.glance import PATIENCE, Glance, glimpse, truthful
from yokeflow.errors import StoreError, YokeError
from yokeflow.git.repo import Repo
from yokeflow.store.cache import CACHE, LIFETIME, read_cache
from yokeflow.store.fold import fold
from yokeflow.store.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


#: Who tells, when it is the store itself.
STORE: Final = {"layer": "postgres", "age_seconds": 0.0}
#: What a layer can fail with; the next one is asked.
FAULTS: Final = (YokeError, OSError, ValueError, KeyError, TypeError)


async def read_status(start: Path, whole: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """The object of `yoke status --json`; `whole` opens the store and brings it up to date first.

    Raises StoreError when the store is out of reach and no other layer knows the project, and what
    `Glance.open` raises.
    """
    try:
        state = await glimpse(start)
        if state is None:
            place = await Glance.open(start, patience=PATIENCE)
            state = await place.state() or await whole()
    except StoreError as error:
        return await fall_back(start, error)
    return state


async def fall_back(start: Path, failure: StoreError) -> dict[str, Any]:
    """The state by the first layer behind the store that has one; raises `failure` when none has."""
    repo = await Repo.discover(start)
    lock = repo.state_dir / "run.lock"
    for layer in (_cached, _told_by_git, _written_down):
        held = holder(lock)
        with suppress(*FAULTS):
            state = await layer(repo)
            if state is not None:
                state["source"]["reason"] = failure.message
                return truthful(state, held, lock)
    raise failure


async def _cached(repo: Repo) -> dict[str, Any] | None:
    """The last answer, and what was written to the journal since."""
    cached = read_cache(repo.state_dir / CACHE)
    if cached is None:
        return None
    new = _journal(repo).events(cached.generation, cached.offset)
    if not _is_current(repo, cached.generation):
        # A journal that was written anew is read from its start.
        new = (event for event in new if event.at >= cached.at)
    state = fold(cached.state, new)
    state["landings"] = [{"waits_for": [], **entry} for entry in state["landings"]]
    age = max((datetime.now(UTC) - cached.at).total_seconds(), 0.0)
    return {**state, "source": source("cache", age, stale=age > LIFETIME)}


async def _told_by_git(repo: Repo) -> dict[str, Any] | None:
    """The plan, and what landings and kept attempts say about it; then what the journal still has."""
    git: Any = import_module("yokeflow.engine.reports.git_layer")
    told = await git.of_git(repo, list(_journal(repo).events()))
    return None if told is None else {**told.state, "source": source("git", told.age)}


async def _written_down(repo: Repo) -> dict[str, Any] | None:
    """What a run wrote into the status file."""
    files: Any = import_module("yokeflow.engine.reports.status_file")
    state: dict[str, Any] | None = files.read(repo.root)
    if state is None:
        return None
    at = datetime.fromisoformat(state.pop("at"))
    age = max((datetime.now(UTC) - at).total_seconds(), 0.0)
    return {**state, "source": source("file", age, stale=age > LIFETIME)}


def source(layer: str, age: float, *, stale: bool = False) -> dict[str, Any]:
    """Who tells something, and how old that is."""
    return {"layer": layer, "age_seconds": round(age, 3), "stale": stale}


def _is_current(repo: Repo, generation: str) -> bool:
    return _journal(repo).read(generation, 0, limit=1).generation == generation


def _journal(repo: Repo) -> Journal:
    return Journal(repo.state_dir / "journal.jsonl")
