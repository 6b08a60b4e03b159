"""`yoke log`: what happened."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

import click

from yokeflow.cli import options, output
from yokeflow.cli.lines import event_lines
from yokeflow.cli.opened import opened
from yokeflow.cli.output import clean, style
from yokeflow.cli.words import few, short
from yokeflow.errors import UsageError
from yokeflow.store import history
from yokeflow.store import operations as store_operations

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from yokeflow.store.history import Entry
    from yokeflow.store.operations import Operation


class _Wanted(NamedTuple):
    run: str
    item: str

    def fits(self, entry: Entry) -> bool:
        event = entry.event
        of_item = not self.item or self.item in (event.task, event.epic)
        return of_item and self.run in ("", event.run)


@click.command(
    epilog=options.examples(
        "yoke log",
        "yoke log -f",
        "yoke log --item auth.model -n 200",
        "yoke log --operations",
        "yoke log --json | jq .type",
    )
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens next, until ^C.")
@click.option("--item", default="", metavar="ID", help="Only this task or epic.")
@click.option("--run", default="", metavar="ID", help="Only this run.")
@click.option(
    "-n", "number", type=click.IntRange(1), default=50, show_default=True, help="How many of the newest."
)
@click.option(
    "--operations",
    is_flag=True,
    help="What changed the target or the plan, with ids for `yoke undo`.",
)
@options.json_option("Print one JSON object a line; of --operations, a list.")
def command(*, follow: bool, item: str, run: str, number: int, operations: bool, as_json: bool) -> None:
    """Show the newest events, newest last."""
    if operations:
        if follow:
            raise UsageError("--operations does not follow", hint="leave -f out")
        asyncio.run(_operations(_Wanted(run, item), number, as_json=as_json))
        return
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


async def _operations(wanted: _Wanted, number: int, *, as_json: bool) -> None:
    async with opened() as place, place.store.begin() as connection:
        done = await store_operations.operations(connection, place.id)
    fitting = [
        each
        for each in done
        if (not wanted.item or wanted.item in each.items) and each.id.startswith(wanted.run)
    ][-number:]
    if as_json:
        output.data([each.told() for each in fitting])
        return
    for each in fitting:
        output.line(operation_line(each))


def operation_line(done: Operation) -> str:
    """One line: when, what, by whom, what came of it, and whether that can be undone."""
    when = f"{done.at.astimezone():%Y-%m-%d %H:%M:%S}"
    what = f"{done.kind} {done.id[:8]}"
    state = f"{done.state}" if done.state else ""
    by = f"by {done.by}" if done.by else ""
    parts = (state, by, *_results(done))
    undo = style("  can be undone", fg="green") if done.can_undo else ""
    told = ", ".join(clean(part) for part in parts if part)
    return f"{style(when, dim=True)}  {style(clean(what), bold=True)}{f': {told}' if told else ''}{undo}"


def _results(done: Operation) -> Iterator[str]:
    for verb, commits in (("landed", done.landed), ("took back", done.undone)):
        if commits:
            yield f"{verb} {', '.join(f'{epic} ({short(commit)})' for epic, commit in commits.items())}"
    if done.items and not (done.landed or done.undone):
        yield few(done.items, 5)
