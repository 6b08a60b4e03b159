"""Find and check plugins: the built-in ones, installed ones, and those that YOKE_PLUGINS names."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import pluggy

from yokeflow.asking import HungError, call_now, limited, wrong
from yokeflow.errors import PluginError
from yokeflow.hookspecs import Hooks
from yokeflow.plugin_checks import Brought, brought, check_needs, refuse_wrappers
from yokeflow.settings import Settings, disabled_plugins, load_config

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from importlib.metadata import EntryPoint
    from pathlib import Path

    import click

    from yokeflow.config import Section
    from yokeflow.hookspecs import Agent

#: Packages of this distribution that come through the same door as strangers.
BUILT_IN = ("yoke_resolver", "yoke_profiles", "yoke_models", "yoke_costs", "yoke_expertise", "yoke_agents")


_COMPARE = "compare its hooks with yokeflow/hookspecs.py; one that is not there needs a newer YokeFlow"
#: How long a plugin may take to be imported, and to say what it brings.
_IMPORT_SECONDS, _SECONDS = 30.0, 5.0
_NAMED = "named in YOKE_PLUGINS"
_BUILT_IN = "built in"


@dataclass(frozen=True, slots=True)
class Offer:
    """A plugin that can be loaded."""

    name: str
    #: `built in`, `named in YOKE_PLUGINS`, or the distribution with its version.
    source: str
    load: Callable[[], object]

    @property
    def built_in(self) -> bool:
        return self.source == _BUILT_IN


#: Gets a plugin that cannot be used, and why.
OnFailure = Callable[[Offer, PluginError], None]


class PluginManager(pluggy.PluginManager):
    """One per process and per test; never a module global."""

    def __init__(self) -> None:
        super().__init__("yokeflow")
        #: Where each plugin came from, by its name.
        self.sources: dict[str, str] = {}
        #: What each plugin brings, by its name.
        self.brought: dict[str, Brought] = {}
        self.add_hookspecs(Hooks)

    def agents(self) -> dict[str, Agent]:
        """Every kind of agent by name; a plugin registered later wins."""
        kinds: dict[str, Agent] = {}
        for plugin in self.hook.register_agents.get_hookimpls():
            offered = call_now(plugin, "register_agents", {}, _SECONDS)
            if not isinstance(offered, (list, tuple)) or not all(
                hasattr(agent, "launch") for agent in offered
            ):
                raise wrong(plugin, "register_agents", "its answer is no list of agents")
            kinds |= {agent.name: agent for agent in offered}
        return kinds

    @property
    def sections(self) -> dict[str, type[Section]]:
        """Sections of the settings that plugins bring, by name."""
        return {name: model for each in self.brought.values() for name, model in each.sections.items()}

    @property
    def commands(self) -> dict[str, click.Command]:
        """Commands of plugins that are not built in, by name."""
        return {name: command for each in self.brought.values() for name, command in each.commands.items()}

    @property
    def migrations(self) -> list[Path]:
        """Folders of the plugins' own migrations."""
        return [each.migrations for each in self.brought.values() if each.migrations is not None]

    def ask(self, name: str, hook: str) -> list[Any]:
        """What one plugin answers to a hook without arguments; nothing where it does not have it.

        Raises PluginError when it fails.
        """
        plugins = getattr(self.hook, hook).get_hookimpls()
        return [call_now(plugin, hook, {}, _SECONDS) for plugin in plugins if plugin.plugin_name == name]


def load_settings(
    root: Path, overrides: Mapping[str, Any] | None = None, *, on_failure: OnFailure | None = None
) -> tuple[Settings, PluginManager]:
    """Every plugin that is not disabled, and the settings of the project at `root` with their sections.

    Raises PluginError and DocumentError; with `on_failure` that is told of a plugin that cannot be used, and
    sections that nobody knows, which may be of that plugin, are passed over.
    """
    failed: list[Offer] = []

    def fail(offer: Offer, error: PluginError) -> None:
        if on_failure is None:
            raise error
        failed.append(offer)
        on_failure(offer, error)

    plugins = load_plugins(disabled_plugins(root, overrides), on_failure=fail)
    settings = load_config(root, overrides, sections=plugins.sections, strict=not failed)
    return settings, plugins


def load_plugins(disabled: Collection[str] = (), *, on_failure: OnFailure | None = None) -> PluginManager:
    """Load every plugin that is not disabled.

    `YOKE_PLUGINS` unset: built-ins and all installed entry points of the group `yokeflow`; set: built-ins
    and the comma-separated modules it names, so an empty value loads the built-ins alone.

    Raises PluginError when one cannot be imported, brings a hook that does not exist, misspells an argument,
    needs a newer YokeFlow or brings what clashes; with `on_failure` that is told instead, and the plugin is
    left out.
    """
    manager = PluginManager()
    for offer in _offers(disabled):
        try:
            _register(manager, offer)
        except PluginError as error:
            # Two may have one name; then the first stays.
            if manager.has_plugin(offer.name) and offer.name not in manager.sources:
                manager.unregister(name=offer.name)
            if on_failure is None:
                raise
            on_failure(offer, error)
    return manager


def load_built_in(name: str) -> PluginManager:
    """One built-in plugin alone."""
    manager = PluginManager()
    _register(manager, Offer(name, _BUILT_IN, partial(import_module, name)))
    return manager


def admit(plugin: object, name: str) -> PluginManager:
    """One plugin alone, for its tests; raises PluginError as `load_plugins` does."""
    manager = PluginManager()
    source = _BUILT_IN if name in BUILT_IN else "admitted by a test"
    _register(manager, Offer(name, source, lambda: plugin))
    return manager


def _offers(disabled: Collection[str]) -> Iterator[Offer]:
    for name in BUILT_IN:
        if name not in disabled:
            yield Offer(name, _BUILT_IN, partial(import_module, name))
    named = os.environ.get("YOKE_PLUGINS")
    if named is None:
        for point in entry_points(group="yokeflow"):
            if point.name not in disabled:
                yield Offer(point.name, _distribution(point), point.load)
    else:
        for name in filter(None, (part.strip() for part in named.split(","))):
            if name not in disabled:
                yield Offer(name, _NAMED, partial(import_module, name))


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "installed"


def _remedy(offer: Offer) -> str:
    if offer.source == _NAMED:
        return f"correct the environment variable YOKE_PLUGINS, which names {offer.name}"
    return f"uninstall it, or list it under plugins.disabled: [{offer.name}]"


def _register(manager: PluginManager, offer: Offer) -> None:
    try:
        plugin = limited(_IMPORT_SECONDS, offer.load)
        check_needs(offer.name, plugin)
        manager.register(plugin, offer.name)
        manager.check_pending()
        refuse_wrappers(manager, offer.name)
    except PluginError:
        raise
    except SystemExit as error:
        raise PluginError(offer.name, "tries to end the program", hint=_remedy(offer)) from error
    except HungError:
        message = f"importing it took longer than {_IMPORT_SECONDS:g} s"
        raise PluginError(offer.name, message, hint=_remedy(offer)) from None
    except pluggy.PluginValidationError as error:
        raise PluginError(offer.name, str(error), hint=_COMPARE) from error
    except Exception as error:
        raise PluginError(offer.name, f"cannot be loaded: {error}", hint=_remedy(offer)) from error
    manager.brought[offer.name] = brought(
        offer.name, partial(manager.ask, offer.name), manager.brought, built_in=offer.built_in
    )
    manager.sources[offer.name] = offer.source
