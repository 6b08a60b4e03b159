"""`yoke status`: what is done, what runs, what waits."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yokeflow.cli import options, output
from yokeflow.cli.status_view import status_lines
from yokeflow.engine.glance import Glance
from yokeflow.engine.layers import read_status

if TYPE_CHECKING:
    from collections.abc import Mapping

    Data = Mapping[str, Any]

#: Longest time between two looks of --watch: ages grow, and a run that was killed announces nothing.
_TICK = 2.0
#: What happens within this many seconds of a change is shown with it.
_TOGETHER = 0.05


@click.command(
    epilog=options.examples("yoke status", "yoke status --watch", "yoke status --json | jq .items")
)
@options.as_json
@click.option("--watch", is_flag=True, help="Show it again whenever something happens, until ^C.")
@click.option("--all", "everything", is_flag=True, help="Show the tasks of landed epics too.")
def command(*, as_json: bool, watch: bool, everything: bool) -> None:
    """Show every epic and task: how far it is, what it waits for, what it cost."""
    asyncio.run(_status(as_json=as_json, watch=watch, everything=everything))


async def _status(*, as_json: bool, watch: bool, everything: bool) -> None:
    if watch:
        await _watch(await Glance.open(Path.cwd()), as_json=as_json, everything=everything)
        return
    state = await read_status(Path.cwd(), _whole)
    if reason := state["source"].get("reason"):
        output.warn(reason, hint="`yoke db status` shows what is wrong; this is what is known without it")
    _show(state, as_json=as_json, everything=everything)


async def _watch(place: Glance, *, as_json: bool, everything: bool) -> None:
    seen: object = None
    over = output.is_terminal(sys.stdout) and not as_json
    async with place.changes() as changed:
        while True:
            state = await _state(place)
            # Time passes always; that alone is news only where it is painted over.
            news = {**state, "run": {**(state["run"] or {}), "elapsed": None}}
            if over or news != seen:
                _show(state, as_json=as_json, everything=everything, over=over)
            seen = news
            await changed(_TICK)
            await asyncio.sleep(_TOGETHER)


async def _state(place: Glance) -> dict[str, Any]:
    return await place.state() or await _whole()


async def _whole() -> dict[str, Any]:
    """The state, with everything brought up to date before."""
    # Loaded by name since it takes longer than all the rest, and is seldom needed.
    state: dict[str, Any] = await import_module("yokeflow.cli.opened").project_status()
    return state


def _show(state: Data, *, as_json: bool, everything: bool, over: bool = False) -> None:
    if as_json:
        output.data(state)
        return
    lines = list(status_lines(state, output.columns(), everything=everything))
    if over:
        output.repaint(lines)
    else:
        output.line("\n".join(lines))
