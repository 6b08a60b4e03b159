"""The ways to a person: each is tried, and what went wrong is told once for all of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from yoke_notify import command, desktop, webhook
from yoke_notify.failure import FailedError
from yokeflow.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from yoke_notify.settings import Notify
    from yokeflow.model import Notice


async def send(notice: Notice, settings: Notify) -> None:
    """Tell everybody who is to be told.

    Raises PluginError with what could not be told, once every other way has been tried.
    """
    ways: dict[str, Awaitable[None]] = {}
    for name, events in settings.channels():
        if notice.type in events:
            ways[name] = _way(name, notice, settings)
    results = await asyncio.gather(*ways.values(), return_exceptions=True)
    failed = []
    for name, result in zip(ways, results, strict=True):
        if isinstance(result, FailedError):
            failed.append(f"{name}: {result}")
        elif result is not None:
            raise result
    if failed:
        raise PluginError(
            "yoke_notify", "; ".join(failed), hint="correct the section `notify` of the settings"
        )


def _way(name: str, notice: Notice, settings: Notify) -> Awaitable[None]:
    if name == "webhook":
        return webhook.send(notice, settings.webhook)
    if name == "desktop":
        return desktop.show(notice)
    return command.run(notice, settings.command)
