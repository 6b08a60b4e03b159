"""Find and check plugins: the built-in ones, installed ones, and those that YOKE_PLUGINS names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pluggy

from yokeflow.asking import HungError, call_now, limited, wrong
from yokeflow.errors import PluginError
from yokeflow.hookspecs import Hooks
from yokeflow.plugin_checks import Brought, brought, check_needs, refuse_wrappers
from yokeflow.plugin_hooks import COMPARE, check_hooks
from yokeflow.plugin_offers import BUILT_IN, Offer, built_in, fault, offers, refuse_double
from yokeflow.settings import Settings, disabled_plugins, load_config

__all__ = [
    "BUILT_IN",
    "Offer",
    "OnFailure",
    "PluginManager",
    "admit",
    "load_built_in",
    "load_plugins",
    "load_settings",
]

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    import click

    from yokeflow.config import Section
    from yokeflow.hookspecs import Agent

#: How long a plugin may take to be imported, and to say what it brings.
_IMPORT_SECONDS, _SECONDS = 10.0, 5.0
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
    def migrations(self) -> dict[Path, str]:
        """Folders of the plugins' own migrations, with the plugin of each."""
        found = ((each.migrations, name) for name, each in self.brought.items())
        return {folder: name for folder, name in found if folder is not None}

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
    for offer in offers(disabled):
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
    _register(manager, built_in(name))
    return manager


def admit(plugin: object, name: str) -> PluginManager:
    """One plugin alone, for its tests; raises PluginError as `load_plugins` does."""
    manager = PluginManager()
    source = built_in(name).source if name in BUILT_IN else "admitted by a test"
    _register(manager, Offer(name, source, lambda: plugin))
    return manager


def _register(manager: PluginManager, offer: Offer) -> None:
    if manager.has_plugin(offer.name):
        refuse_double(offer, manager.sources[offer.name])
    plugin = _loaded(offer)
    twin = manager.get_name(plugin)
    if twin is not None:
        raise PluginError(offer.name, f"is the same as the plugin {twin}", hint=offer.without)
    try:
        check_needs(offer.name, plugin)
        check_hooks(manager, offer.name, plugin)
        manager.register(plugin, offer.name)
        manager.check_pending()
        refuse_wrappers(manager, offer.name)
    except pluggy.PluginValidationError as error:
        raise PluginError(offer.name, str(error), hint=COMPARE) from error
    manager.brought[offer.name] = brought(
        offer.name, partial(manager.ask, offer.name), manager.brought, built_in=offer.built_in
    )
    manager.sources[offer.name] = offer.source


def _loaded(offer: Offer) -> object:
    try:
        return limited(_IMPORT_SECONDS, offer.load)
    except PluginError:
        raise
    except SystemExit as error:
        raise PluginError(offer.name, "tries to end the program", hint=offer.without) from error
    except HungError:
        message = f"importing it took longer than {_IMPORT_SECONDS:g} s"
        raise PluginError(offer.name, message, hint=offer.without) from None
    except Exception as error:
        reason, hint = fault(offer, error)
        raise PluginError(offer.name, f"cannot be loaded: {reason}", hint=hint) from error
