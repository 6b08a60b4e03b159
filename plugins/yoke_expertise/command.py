"""`yoke expertise`: what sessions taught, and how much it helps."""

from __future__ import annotations

import click

from yokeflow.cli import options


@click.group("expertise", epilog=options.examples("yoke expertise list", "yoke expertise show database"))
def command() -> None:
    """What sessions taught, and how much it helps."""
