"""`yoke attention`: what waits for a person."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yokeflow.cli import options, output
from yokeflow.cli.advice import answers, consequence, place_of
from yokeflow.cli.opened import project_status
from yokeflow.cli.output import clean, style
from yokeflow.cli.words import ago, first_line
from yokeflow.engine.layers import read_status
from yokeflow.engine.project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from yokeflow.cli.advice import Answer, Place


@click.command(epilog=options.examples("yoke attention", "yoke attention --json"))
@options.as_json
def command(*, as_json: bool) -> None:
    """Show what waits for you: why, since when, what it holds up, and the commands that answer it."""
    state, place = asyncio.run(_read())
    waiting = state["interventions"]
    if as_json:
        output.data(waiting)
    elif not waiting:
        output.line("Nothing waits for you.")
    else:
        epics = {item["id"] for item in state["items"] if item["kind"] == "epic"}
        conflicts = {entry["epic"] for entry in state["landings"] if entry["status"] == "conflict"}
        for entry in waiting:
            item = entry["item"]
            merge = [place.merge(item)] if entry["kind"] == "conflict" and item in conflicts else []
            for line in _lines(entry, datetime.now(UTC), merge, of_epic=item in epics):
                output.line(line)


async def _read() -> tuple[dict[str, Any], Place]:
    project = await Project.open(Path.cwd())
    state = await read_status(Path.cwd(), project_status)
    if reason := state["source"].get("reason"):
        output.warn(
            reason, hint="answers are kept until the store is back; `yoke db status` shows what is wrong"
        )
    return state, await place_of(project)


def _lines(
    entry: Mapping[str, Any], now: datetime, first: Sequence[Answer], *, of_epic: bool
) -> Iterator[str]:
    item = entry["item"] or "the run"
    age = ago(datetime.fromisoformat(entry["opened"]), now)
    mark = style("!", fg="yellow", bold=True)
    yield f"{mark} {style(clean(item), bold=True)}  {clean(first_line(entry['reason']))}"
    yield f"    waits for {age}; {consequence(item, of_epic=of_epic)}"
    rows = [(f"yoke show {item}", "see what happened")]
    offered = [*first, *answers(item, entry["choices"], of_epic=of_epic)]
    rows += [(answer.command, answer.effect) for answer in offered]
    size = max(len(command) for command, _ in rows)
    for typed, effect in rows:
        yield f"    {style(typed.ljust(size), fg='cyan')}  {style(effect, dim=True)}"
    yield ""
