"""`yoke cancel`: stop the run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from yokeflow.cli import options
from yokeflow.cli.asking import ask

if TYPE_CHECKING:
    from yokeflow.errors import ExitCode


@click.command(epilog=options.examples("yoke cancel"))
def command() -> ExitCode:
    """Stop the run that is going on, as one ^C in its terminal does.

    Sessions are stopped cleanly, what is landed stays, and `yoke resume` goes on later.
    """
    return asyncio.run(ask("cancel", done="Cancelled."))
