"""`yoke status`: what is done, what runs, what waits."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never

import click

from yokeflow.cli import options, output
from yokeflow.cli.origin import AWAY
from yokeflow.cli.status_view import status_lines
from yokeflow.engine.reports.glance import GONE, PATIENCE, Glance
from yokeflow.engine.reports.layers import fall_back, read_status
from yokeflow.errors import StoreError

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
        await _Watch(as_json=as_json, everything=everything).go_on()
        return
    state = await read_status(Path.cwd(), _whole)
    if reason := state["source"].get("reason"):
        output.warn(reason, hint=AWAY)
    _show(state, as_json=as_json, everything=everything)


class _Watch:
    """Shows the state whenever it is another one, by whoever can tell it."""

    def __init__(self, *, as_json: bool, everything: bool) -> None:
        self._as_json, self._everything = as_json, everything
        self._over = output.is_terminal(sys.stdout) and not as_json
        self._seen: object = None
        self._reason = ""
        #: Once it was found.
        self._place: Glance | None = None

    async def go_on(self) -> None:
        """Never ends by itself. Raises StoreError when nobody knows the project."""
        while True:
            try:
                await self._follow(await self._open())
            except GONE as error:
                failure = (
                    error if isinstance(error, StoreError) else StoreError(f"the store is gone: {error}")
                )
                state = await fall_back(Path.cwd(), failure)
            self._look(state)
            await asyncio.sleep(_TICK)

    async def _open(self) -> Glance:
        """The project; a server that somebody stopped meanwhile is not started again."""
        if self._place is None:
            self._place = await Glance.open(Path.cwd(), patience=PATIENCE)
            if await self._place.state() is None:
                # Only what is known to the store can be waited for.
                await _whole()
        else:
            self._place = await self._place.again()
        return self._place

    async def _follow(self, place: Glance) -> Never:
        async with place.changes() as changed:
            while True:
                self._look(await place.state() or await _whole())
                await changed(_TICK)
                await asyncio.sleep(_TOGETHER)

    def _look(self, state: Data) -> None:
        reason = state["source"].get("reason", "")
        if reason != self._reason and reason and not self._over:
            output.warn(reason, hint=AWAY)
        self._reason = reason
        # Time passes always; that alone is news only where it is painted over.
        layer = state["source"]["layer"]
        news = {**state, "run": {**(state["run"] or {}), "elapsed": None}, "source": layer}
        if self._over or news != self._seen:
            _show(state, as_json=self._as_json, everything=self._everything, over=self._over)
        self._seen = news


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
        if reason := state["source"].get("reason"):
            # What is warned about would stand in the middle of it.
            told = (output.clean(reason), "`yoke db status` shows what is wrong")
            lines[1:1] = [output.style(output.cut(f"  {text}", output.columns()), dim=True) for text in told]
        output.repaint(lines)
    else:
        output.line("\n".join(lines))
