"""What waits for a person and what it holds up: read for `yoke attention`, from the store or without it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from yokeflow.cli.advice import place_of
from yokeflow.cli.opened import answered
from yokeflow.engine.facts.rebuild import plan_of
from yokeflow.engine.landing.order import taken_in
from yokeflow.engine.people.consequence import consequences
from yokeflow.engine.project import Project
from yokeflow.engine.reports.layers import fall_back
from yokeflow.store.status import epic_edges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yokeflow.cli.advice import Place
    from yokeflow.cli.opened import Opened
    from yokeflow.engine.people.consequence import Held
    from yokeflow.errors import StoreError


class Waiting(NamedTuple):
    """A project with all that waits in it."""

    #: The object of `yoke status --json`.
    state: dict[str, Any]
    #: By intervention.
    held: dict[str, Held]
    place: Place


async def read() -> Waiting:
    """What waits, by whoever can tell."""
    return await answered(_read_store, _read_without)


async def _read_store(found: Opened) -> Waiting:
    state = await found.status()
    edges: Sequence[tuple[str, str]] = ()
    if state["interventions"]:
        async with found.store.begin() as connection:
            edges = await epic_edges(connection, found.id)
    return Waiting(state, consequences(state, edges), await place_of(found.project))


async def _read_without(failure: StoreError) -> Waiting:
    state = await fall_back(Path.cwd(), failure)
    project = await Project.open(Path.cwd())
    plan = plan_of(project)
    edges = [(epic, before) for epic, found in taken_in(plan).items() for before in found] if plan else []
    return Waiting(state, consequences(state, edges), await place_of(project))
