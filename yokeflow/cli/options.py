"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

#: `--json` gives `as_json: bool`.
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for other programs.")

#: `--plan FILE` gives `plan: Path | None`; None means the configured plan.
plan = click.option(
    "--plan",
    "plan",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The plan, instead of the configured one.",
)


def examples(*lines: str) -> str:
    """An epilog that shows how a command is typed, kept line by line."""
    shown = "\n".join(f"  {line}" for line in lines)
    return f"\b\nExamples:\n{shown}"


#: `ITEM` gives `item: str`, the id of an epic or a task.
item = click.argument("item")
