"""`yoke pause`: start no new tasks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from yokeflow.cli import options
from yokeflow.cli.asking import ask

if TYPE_CHECKING:
    from yokeflow.errors import ExitCode


@click.command(epilog=options.examples("yoke pause", "yoke resume"))
def command() -> ExitCode:
    """Have the run that is going on start no new tasks; running ones finish, finished epics land.

    `yoke resume` lets it go on.
    """
    return asyncio.run(ask("pause", done="Paused."))
