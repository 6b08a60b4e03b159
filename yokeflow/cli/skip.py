"""`yoke skip ITEM`: leave a task out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from yokeflow.cli import options
from yokeflow.cli.asking import ask

if TYPE_CHECKING:
    from pathlib import Path

    from yokeflow.errors import ExitCode


@click.command(epilog=options.examples("yoke skip auth.captcha"))
@options.item
@options.plan
def command(*, item: str, plan: Path | None) -> ExitCode:
    """Leave the task ITEM out; what depends on it goes on as if it were done."""
    return asyncio.run(
        ask("skip", item, done=f"{item} is left out; `yoke run` goes on without it.", plan=plan)
    )
