"""Tells people who do not watch what waits for them, and how a run ended: the plugin's hooks."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from yoke_notify.settings import Notify
from yokeflow.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yokeflow.config import Config, Section
    from yokeflow.model import Notice


@hookimpl
def register_config() -> Mapping[str, type[Section]]:
    """The section `notify`."""
    return {"notify": Notify}


@hookimpl
async def notify(notice: Notice, config: Config) -> None:
    """Send a notice wherever the settings want it; by default nowhere."""
    settings = config.section(Notify)
    if settings.wants(notice.type):
        # Brings HTTP, which a run that tells nobody has no use for.
        await import_module("yoke_notify.channels").send(notice, settings)
