"""One plugin, asked as a run asks it: by name of the hook, within a time limit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from yokeflow.asking import call_and_wait, call_now
from yokeflow.config import Config
from yokeflow.errors import PluginError, StoreError
from yokeflow.hookspecs import PROMISES
from yokeflow.plugin_manager import admit

if TYPE_CHECKING:
    from collections.abc import Callable

    from pluggy import HookImpl


class Asked:
    """A plugin that was admitted as at the start of a run. Breaches become AssertionErrors."""

    def __init__(self, plugin: object, config: Config | None = None) -> None:
        self.config = config or Config()
        self.name = name_of(plugin)
        try:
            self.manager = admit(plugin, self.name)
        except PluginError as error:
            raise AssertionError(error.message) from error

    def has(self, hook: str) -> bool:
        return self._implementation(hook) is not None

    def now(self, hook: str, *, seconds: float | None = None, **arguments: Any) -> Any:
        """The answer to a hook that is not awaitable; None where the plugin does not have it."""
        implementation = self._implementation(hook)
        if implementation is None:
            return None
        given = {"config": self.config, **arguments}
        try:
            return call_now(implementation, hook, given, seconds or PROMISES[hook].seconds)
        except PluginError as error:
            raise AssertionError(error.message) from error

    async def wait(self, hook: str, **arguments: Any) -> Any:
        """The answer to an awaitable hook; None where the plugin does not have it."""
        implementation = self._implementation(hook)
        if implementation is None:
            return None
        given = {"config": self.config, **arguments}
        try:
            return await call_and_wait(implementation, hook, given, PROMISES[hook].seconds)
        except PluginError as error:
            if isinstance(error.__cause__, StoreError):
                # Whether the database may be away is for the check to say.
                raise error.__cause__ from None
            raise AssertionError(error.message) from error

    def needs(self, hook: str) -> None:
        """Raises AssertionError unless the plugin has the hook."""
        assert self.has(hook), f"plugin {self.name} has no hook {hook}: is it marked with @hookimpl?"

    def _implementation(self, hook: str) -> HookImpl | None:
        return next(iter(getattr(self.manager.hook, hook).get_hookimpls()), None)


def name_of(plugin: object) -> str:
    """As errors call it."""
    return str(getattr(plugin, "__name__", type(plugin).__name__))


def valid(answer: Any, check: Callable[[Any], str], hook: str) -> None:
    """Raises AssertionError for an answer that makes no sense. None is no answer."""
    if answer is not None:
        reason = check(answer)
        assert not reason, f"{hook}: {reason}"


def run(work: Any) -> Any:
    """Run a check that waits; not for use within a running loop."""
    return asyncio.run(work)
