"""`yoke turns`. What reads the store is imported only when the command is called: it takes a while."""

from __future__ import annotations

import asyncio
from importlib import import_module

import click

from yokeflow.cli import options, output


@click.command("turns", epilog=options.examples("yoke turns", "yoke turns --json"))
@options.as_json
def turns(*, as_json: bool) -> None:
    """Show how many tasks of each epic were started, in all runs of this project."""
    counted: dict[str, int] = asyncio.run(import_module("yoke_round_robin.report").count_turns())
    if as_json:
        output.data(counted)
    else:
        output.table(("epic", "started"), counted.items(), right=(1,))
