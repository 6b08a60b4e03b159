"""`yoke retry ITEM`: try again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from yokeflow.cli import options
from yokeflow.cli.asking import ask

if TYPE_CHECKING:
    from pathlib import Path

    from yokeflow.errors import ExitCode


@click.command(epilog=options.examples("yoke retry auth.model"))
@options.item
@options.plan
def command(*, item: str, plan: Path | None) -> ExitCode:
    """Try ITEM again: a failed task gets new attempts, a finished epic a new landing.

    A run that is going on does it at once; otherwise the next `yoke run` does.
    """
    return asyncio.run(
        ask("retry", item, done=f"{item} is open again; `yoke run` goes on with it.", plan=plan)
    )
