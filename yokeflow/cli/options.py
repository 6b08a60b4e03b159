"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from yokeflow.cli import output

if TYPE_CHECKING:
    from collections.abc import Callable

Command = TypeVar("Command", bound="Callable[..., Any] | click.Command")


def json_option(text: str) -> Callable[[Command], Command]:
    """`--json` with a help of its own; gives `as_json: bool`, and keeps stdout for the command's results."""
    return click.option("--json", "as_json", is_flag=True, callback=_keep, help=text)


def _keep(context: click.Context, _: click.Parameter, wanted: bool) -> bool:  # noqa: FBT001 - as click calls it
    if wanted:
        context.with_resource(output.kept())
    return wanted


#: `--json` gives `as_json: bool`. Whatever else prints meanwhile does so on stderr.
as_json = json_option("Print JSON for other programs.")

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
