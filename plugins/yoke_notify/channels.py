"""The ways to a person, none of which waits for another."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from yoke_notify import command, desktop, webhook
from yoke_notify.failure import FailedError
from yokeflow.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from yoke_notify.settings import Notify
    from yokeflow.model import Notice


def ways(notice: Notice, settings: Notify) -> Mapping[str, Callable[[], Awaitable[None]]]:
    """What tells a notice to everybody who is to be told, by the name of the channel."""
    return {
        name: partial(_send, name, notice, settings)
        for name, events in settings.channels()
        if notice.type in events
    }


async def _send(name: str, notice: Notice, settings: Notify) -> None:
    """Raises PluginError with why it could not be told."""
    try:
        await _way(name, notice, settings)
    except FailedError as error:
        hint = "correct the section `notify` of the settings"
        raise PluginError("yoke_notify", f"{name}: {error}", hint=hint) from error


def _way(name: str, notice: Notice, settings: Notify) -> Awaitable[None]:
    if name == "webhook":
        return webhook.send(notice, settings.webhook)
    if name == "desktop":
        return desktop.show(notice)
    return command.run(notice, settings.command)
