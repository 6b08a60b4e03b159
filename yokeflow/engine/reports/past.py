"""What happened, as the journal tells it while the store is away, and git for what came before."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import merge
from typing import TYPE_CHECKING, Any, Final

from yokeflow.engine.facts.rebuild import facts_of, history_of, known_to, plan_of
from yokeflow.engine.project import Project
from yokeflow.engine.reports.layers import FAULTS, fall_back, source
from yokeflow.git.repo import Repo
from yokeflow.store.fold_item import fold_item
from yokeflow.store.journal import Journal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from yokeflow.errors import StoreError
    from yokeflow.events import Event
    from yokeflow.model import Plan

#: Seconds between two looks into the journal.
_TICK: Final = 0.5


@dataclass(frozen=True, slots=True)
class Past:
    """Events that are known without the store, oldest first."""

    events: list[Event]
    #: Who tells them, as in the object of `yoke status --json`.
    source: dict[str, Any]
    plan: Plan | None
    journal: Journal


async def read_past(start: Path, failure: StoreError) -> Past:
    """What the journal has, which begins where it was last emptied, and what git knows beyond that.

    Raises `failure` when neither has anything.
    """
    repo = await Repo.discover(start)
    journal = Journal(repo.state_dir / "journal.jsonl")
    written = list(journal.events())
    plan: Plan | None = None
    told: list[Event] = []
    with suppress(*FAULTS):
        project = await Project.open(start)
        plan = plan_of(project)
        told = (await facts_of(project, plan, await history_of(project), known_to(written))).events()
    if not (written or told):
        raise failure
    # Each keeps its own order, whatever clocks said.
    events = list(merge(told, written, key=lambda event: event.at))
    age = max((datetime.now(UTC) - events[-1].at).total_seconds(), 0.0)
    layer = source("journal" if written else "git", age)
    return Past(events, {**layer, "reason": failure.message}, plan, journal)


async def follow(past: Past) -> AsyncGenerator[Event]:
    """Every event that comes into the journal from now on. Never ends by itself."""
    seen = {event.id for event in past.events}
    generation, offset = "", 0
    while True:
        chunk = past.journal.read(generation, offset)
        generation, offset = chunk.generation, chunk.offset
        for event in chunk.events:
            if event.id not in seen:
                seen.add(event.id)
                yield event
        if not chunk.events:
            await asyncio.sleep(_TICK)


async def item_told(start: Path, failure: StoreError, key: str) -> tuple[dict[str, Any] | None, list[str]]:
    """The object of `yoke show --json` and the ids of all items; None for an item that nobody knows.

    Raises `failure` when nobody knows the project.
    """
    state = await fall_back(start, failure)
    past = None
    with suppress(*FAULTS):
        past = await read_past(start, failure)
    item = fold_item(state, past.plan if past else None, past.events if past else (), key)
    ids = [each["id"] for each in state["items"]]
    return (None if item is None else {**item, "source": state["source"]}), ids
