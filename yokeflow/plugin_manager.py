"""Find and check plugins: the built-in ones, installed ones, and those that YOKE_PLUGINS names."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import pluggy

from yokeflow.errors import PluginError
from yokeflow.hookspecs import Hooks

if TYPE_CHECKING:
    from collections.abc import Collection

    from yokeflow.hookspecs import Agent

#: Packages of this distribution that come through the same door as strangers.
BUILT_IN = ("yoke_resolver", "yoke_models", "yoke_costs", "yoke_agents")


class PluginManager(pluggy.PluginManager):
    """One per process and per test; never a module global."""

    def __init__(self) -> None:
        super().__init__("yokeflow")
        self.add_hookspecs(Hooks)

    def agents(self) -> dict[str, Agent]:
        """Every kind of agent by name; a plugin registered later wins."""
        kinds: dict[str, Agent] = {}
        for offered in reversed(self.hook.register_agents()):
            kinds |= {agent.name: agent for agent in offered}
        return kinds

    def name_of(self, implementation: object) -> str:
        """The name under which a plugin was registered, for messages."""
        return self.get_name(implementation) or repr(implementation)


def load_plugins(disabled: Collection[str] = ()) -> PluginManager:
    """Load every plugin that is not disabled.

    `YOKE_PLUGINS` unset: built-ins and all installed entry points of the group `yokeflow`; set: built-ins
    and the comma-separated modules it names, so an empty value loads the built-ins alone.

    Raises PluginError when one cannot be imported, brings an unknown hook, or misspells an argument.
    """
    manager = PluginManager()
    for name in BUILT_IN:
        if name not in disabled:
            _register(manager, name, lambda name=name: import_module(name))
    named = os.environ.get("YOKE_PLUGINS")
    if named is None:
        for point in entry_points(group="yokeflow"):
            if point.name not in disabled:
                _register(manager, point.name, point.load)
    else:
        for name in filter(None, (part.strip() for part in named.split(","))):
            _register(manager, name, lambda name=name: import_module(name))
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(
            manager.name_of(error.plugin), str(error), hint="compare its hooks with yokeflow/hookspecs.py"
        ) from error
    return manager


def _register(manager: PluginManager, name: str, load: Any) -> None:
    try:
        manager.register(load(), name)
    except pluggy.PluginValidationError as error:
        raise PluginError(name, str(error), hint="compare its hooks with yokeflow/hookspecs.py") from error
    except Exception as error:
        raise PluginError(
            name,
            f"cannot be loaded: {error}",
            hint=f"uninstall it, or list it under plugins.disabled: [{name}]",
        ) from error
