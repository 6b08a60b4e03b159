"""`yoke log`: what happened."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

import click

from yokeflow.cli import options, output
from yokeflow.cli.lines import event_lines
from yokeflow.cli.opened import opened
from yokeflow.store import history

if TYPE_CHECKING:
    from collections.abc import Iterable

    from yokeflow.store.history import Entry


class _Wanted(NamedTuple):
    run: str
    item: str

    def fits(self, entry: Entry) -> bool:
        event = entry.event
        of_item = not self.item or self.item in (event.task, event.epic)
        return of_item and self.run in ("", event.run)


@click.command(
    epilog=options.examples(
        "yoke log", "yoke log -f", "yoke log --item auth.model -n 200", "yoke log --json | jq .type"
    )
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens next, until ^C.")
@click.option("--item", default="", metavar="ID", help="Only this task or epic.")
@click.option("--run", default="", metavar="ID", help="Only this run.")
@click.option(
    "-n", "number", type=click.IntRange(1), default=50, show_default=True, help="How many of the newest."
)
@options.json_option("Print one JSON object a line.")
def command(*, follow: bool, item: str, run: str, number: int, as_json: bool) -> None:
    """Show the newest events, newest last."""
    asyncio.run(_log(_Wanted(run, item), number, follow=follow, as_json=as_json))


async def _log(wanted: _Wanted, number: int, *, follow: bool, as_json: bool) -> None:
    async with opened() as place:
        async with place.store.begin() as connection:
            entries = await history.log(connection, place.id, run=wanted.run, item=wanted.item, limit=number)
            newest = await history.log(connection, place.id, limit=1)
        _print(entries, as_json=as_json)
        if not follow:
            return
        after = newest[-1].seq if newest else 0
        async with aclosing(history.follow(place.store, place.id, after)) as coming:
            async for entry in coming:
                if wanted.fits(entry):
                    _print([entry], as_json=as_json)


def _print(entries: Iterable[Entry], *, as_json: bool) -> None:
    for entry in entries:
        if as_json:
            output.data_line(entry.event.to_json())
        else:
            for line in event_lines(entry.event, date=True):
                output.line(line)
