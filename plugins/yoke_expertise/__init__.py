"""What sessions teach later ones, kept only while it helps: the plugin's hooks."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from yokeflow.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence

    import click


@hookimpl
def register_migrations() -> Path:
    """The branch `yoke_expertise`."""
    return Path(__file__).parent / "migrations"


@hookimpl
def register_commands() -> Sequence[click.Command]:
    """`yoke expertise`, whose module is imported when commands are asked for."""
    return (import_module("yoke_expertise.command").command,)
