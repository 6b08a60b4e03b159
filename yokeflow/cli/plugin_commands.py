"""Commands that plugins bring."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from yokeflow.cli import output
from yokeflow.cli.words import first_line
from yokeflow.commands import BUILT_IN
from yokeflow.errors import PluginError, UsageError
from yokeflow.places import find_root
from yokeflow.plugin_checks import commands_of
from yokeflow.plugin_manager import load_built_in, load_plugins
from yokeflow.settings import disabled_plugins

if TYPE_CHECKING:
    from collections.abc import Mapping

    import click

    from yokeflow.plugin_manager import Offer


def built_in(name: str) -> click.Command | None:
    """The command of a built-in plugin, which is loaded alone; None where the plugin is disabled.

    Raises PluginError.
    """
    plugin = BUILT_IN[name].module
    if plugin in _disabled():
        return None
    answers = load_built_in(plugin).ask(plugin, "register_commands")
    found = commands_of(plugin, answers).get(name)
    if found is None:
        raise PluginError(plugin, f"brings no command `{name}`", hint="reinstall YokeFlow")
    return found


def disabled(name: str) -> click.Command:
    """Tell that the plugin of a command is disabled.

    Raises UsageError, and that alone.
    """
    plugin = BUILT_IN[name].module
    raise UsageError(
        f"`yoke {name}` belongs to the plugin {plugin}, which is disabled",
        hint=f"take {plugin} out of plugins.disabled: `yoke config show` tells where that is set",
    )


def foreign() -> Mapping[str, click.Command]:
    """Commands of plugins that are not built in; a warning for each plugin that cannot be used."""

    def tell(offer: Offer, error: PluginError) -> None:
        reason = first_line(error.message.removeprefix(f"plugin {offer.name}: "))
        output.warn(f"plugin {offer.name} cannot be used: {reason} (`yoke plugins` tells more)")

    return load_plugins(_disabled(), on_failure=tell).commands


def _disabled() -> tuple[str, ...]:
    here = Path.cwd()
    return disabled_plugins(find_root(here) or here)
