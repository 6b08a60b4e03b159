"""What sessions cost: the plugin's tables in the store."""

from __future__ import annotations

from pathlib import Path

from yokeflow.hookspecs import hookimpl


@hookimpl
def register_migrations() -> Path:
    """The branch `yoke_costs`."""
    return Path(__file__).parent / "migrations"
