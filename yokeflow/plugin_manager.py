"""Find and check plugins: the built-in ones, installed ones, and those that YOKE_PLUGINS names."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import pluggy

from yokeflow.errors import PluginError
from yokeflow.hookspecs import Hooks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from importlib.metadata import EntryPoint

    from yokeflow.hookspecs import Agent

#: Packages of this distribution that come through the same door as strangers.
BUILT_IN = ("yoke_resolver", "yoke_models", "yoke_costs", "yoke_agents")


_COMPARE = "compare its hooks with yokeflow/hookspecs.py"
_NAMED = "named in YOKE_PLUGINS"


@dataclass(frozen=True, slots=True)
class Offer:
    """A plugin that can be loaded."""

    name: str
    #: `built in`, `named in YOKE_PLUGINS`, or the distribution with its version.
    source: str
    load: Callable[[], object]


#: Gets a plugin that cannot be used, and why.
OnFailure = Callable[[Offer, PluginError], None]


class PluginManager(pluggy.PluginManager):
    """One per process and per test; never a module global."""

    def __init__(self) -> None:
        super().__init__("yokeflow")
        #: Where each plugin came from, by its name.
        self.sources: dict[str, str] = {}
        self.add_hookspecs(Hooks)

    def agents(self) -> dict[str, Agent]:
        """Every kind of agent by name; a plugin registered later wins."""
        kinds: dict[str, Agent] = {}
        for offered in reversed(self.hook.register_agents()):
            kinds |= {agent.name: agent for agent in offered}
        return kinds


def load_plugins(disabled: Collection[str] = (), *, on_failure: OnFailure | None = None) -> PluginManager:
    """Load every plugin that is not disabled.

    `YOKE_PLUGINS` unset: built-ins and all installed entry points of the group `yokeflow`; set: built-ins
    and the comma-separated modules it names, so an empty value loads the built-ins alone.

    Raises PluginError when one cannot be imported, brings a hook that does not exist or misspells an
    argument; with `on_failure` that is told instead, and the plugin is left out.
    """
    manager = PluginManager()
    for offer in _offers(disabled):
        try:
            _register(manager, offer)
        except PluginError as error:
            if on_failure is None:
                raise
            # Two may have one name; then the first stays.
            if manager.has_plugin(offer.name) and offer.name not in manager.sources:
                manager.unregister(name=offer.name)
            on_failure(offer, error)
    return manager


def _offers(disabled: Collection[str]) -> Iterator[Offer]:
    for name in BUILT_IN:
        if name not in disabled:
            yield Offer(name, "built in", partial(import_module, name))
    named = os.environ.get("YOKE_PLUGINS")
    if named is None:
        for point in entry_points(group="yokeflow"):
            if point.name not in disabled:
                yield Offer(point.name, _distribution(point), point.load)
    else:
        for name in filter(None, (part.strip() for part in named.split(","))):
            yield Offer(name, _NAMED, partial(import_module, name))


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "installed"


def _remedy(offer: Offer) -> str:
    if offer.source == _NAMED:
        return f"correct the environment variable YOKE_PLUGINS, which names {offer.name}"
    return f"uninstall it, or list it under plugins.disabled: [{offer.name}]"


def _register(manager: PluginManager, offer: Offer) -> None:
    try:
        manager.register(offer.load(), offer.name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(offer.name, str(error), hint=_COMPARE) from error
    except Exception as error:
        raise PluginError(offer.name, f"cannot be loaded: {error}", hint=_remedy(offer)) from error
    manager.sources[offer.name] = offer.source
