"""`yoke log`: what happened."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from yokeflow.cli import options, output
from yokeflow.cli.lines import event_lines
from yokeflow.cli.opened import answered
from yokeflow.cli.origin import origin_lines
from yokeflow.cli.output import clean, style
from yokeflow.cli.words import few, short
from yokeflow.engine.reports.layers import STORE
from yokeflow.engine.reports.past import follow as follow_journal
from yokeflow.engine.reports.past import read_past
from yokeflow.errors import UsageError
from yokeflow.store import history
from yokeflow.store import operations as store_operations
from yokeflow.store.fold_operations import fold_operations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from yokeflow.cli.opened import Opened
    from yokeflow.engine.reports.past import Past
    from yokeflow.errors import StoreError
    from yokeflow.events import Event
    from yokeflow.store.operations import Operation


class _Wanted(NamedTuple):
    run: str
    item: str

    def fits(self, event: Event) -> bool:
        of_item = not self.item or self.item in (event.task, event.epic)
        return of_item and self.run in ("", event.run)

    def told_nothing(self) -> None:
        """Say so where somebody asked for something that may not exist."""
        if asked := " of ".join(filter(None, (self.item, f"run {self.run}" if self.run else ""))):
            output.warn(f"nothing is recorded of {asked}", hint="`yoke status` lists the items")


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
    log = _Log(wanted, number, follow=follow, as_json=as_json)
    if past := await answered(log.of_store, lambda failure: read_past(Path.cwd(), failure)):
        await log.of_past(past)
    if not log.printed:
        wanted.told_nothing()


class _Log:
    """Prints events: those that were, then those to come."""

    def __init__(self, wanted: _Wanted, number: int, *, follow: bool, as_json: bool) -> None:
        self._wanted, self._number = wanted, number
        self._follow, self._as_json = follow, as_json
        #: Ids, so that nothing is told again when the store goes away in the middle.
        self.printed: set[str] = set()

    async def of_store(self, place: Opened) -> Past | None:
        async with place.store.begin() as connection:
            run, item = self._wanted
            entries = await history.log(connection, place.id, run=run, item=item, limit=self._number)
            newest = await history.log(connection, place.id, limit=1)
        for entry in entries:
            self._print(entry.event)
        if self._follow:
            after = newest[-1].seq if newest else 0
            async with aclosing(history.follow(place.store, place.id, after)) as coming:
                async for entry in coming:
                    self._print(entry.event)
        return None

    async def of_past(self, past: Past) -> None:
        if not self._as_json:
            for line in origin_lines(past.source):
                output.line(line)
        for event in [event for event in past.events if self._wanted.fits(event)][-self._number :]:
            self._print(event, past.source)
        if self._follow:
            async with aclosing(follow_journal(past)) as coming:
                async for event in coming:
                    self._print(event, past.source)

    def _print(self, event: Event, source: Mapping[str, Any] | None = None) -> None:
        if event.id in self.printed or not self._wanted.fits(event):
            return
        self.printed.add(event.id)
        if self._as_json:
            # Some events have a `source` of their own.
            told = replace(event, data={**event.data, "layer": source}) if source else event
            output.data_line(told.to_json())
            return
        for line in event_lines(event, date=True):
            output.line(line)


async def _operations(wanted: _Wanted, number: int, *, as_json: bool) -> None:
    async def ask(place: Opened) -> tuple[list[Operation], Mapping[str, Any]]:
        async with place.store.begin() as connection:
            return await store_operations.operations(connection, place.id), STORE

    async def instead(failure: StoreError) -> tuple[list[Operation], Mapping[str, Any]]:
        past = await read_past(Path.cwd(), failure)
        return fold_operations(past.events), past.source

    done, source = await answered(ask, instead)
    fitting = [
        each
        for each in done
        if (not wanted.item or wanted.item in each.items) and each.id.startswith(wanted.run)
    ][-number:]
    if done and not fitting:
        wanted.told_nothing()
    if as_json:
        output.data([{**each.told(), "source": source} for each in fitting])
        return
    for line in origin_lines(source):
        output.line(line)
    if not done:
        output.line("Nothing was done yet.")
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
