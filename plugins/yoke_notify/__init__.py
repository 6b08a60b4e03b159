"""Tells people who do not watch what waits for them, and how a run ended: the plugin's hooks."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from yoke_notify.settings import Notify
from yokeflow.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from yokeflow.config import Config, Section
    from yokeflow.model import Notice


@hookimpl
def register_config() -> Mapping[str, type[Section]]:
    """The section `notify`."""
    return {"notify": Notify}


@hookimpl
def notify(notice: Notice, config: Config) -> Mapping[str, Callable[[], Awaitable[None]]] | None:
    """What sends a notice wherever the settings want it; by default nowhere."""
    settings = config.section(Notify)
    if not settings.wants(notice.type):
        return None
    # Brings HTTP, which a run that tells nobody has no use for.
    ways: Mapping[str, Callable[[], Awaitable[None]]] = import_module("yoke_notify.channels").ways(
        notice, settings
    )
    return ways
