"""`yoke plugins`: what is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yokeflow.cli import options, output
from yokeflow.plugin_manager import BUILT_IN, load_plugins
from yokeflow.settings import find_root, load_config

if TYPE_CHECKING:
    from yokeflow.plugin_manager import PluginManager


@click.command(
    epilog=options.examples("yoke plugins", "YOKE_PLUGINS= yoke plugins   # the built-in ones alone")
)
@options.as_json
def command(*, as_json: bool) -> None:
    """Show the plugins in the order in which they are asked: where each comes from and which hooks it has."""
    config = load_config(find_root(Path.cwd()) or Path.cwd()).config
    loaded = _loaded(load_plugins(config.plugins.disabled))
    shown = {"loaded": loaded, "disabled": list(config.plugins.disabled)}
    if as_json:
        output.data(shown)
        return
    output.table(
        ("plugin", "from", "hooks"),
        [(entry["name"], entry["source"], ", ".join(entry["hooks"])) for entry in loaded],
    )
    for name in config.plugins.disabled:
        output.line(f"{name} is disabled in the configuration")


def _loaded(manager: PluginManager) -> list[dict[str, Any]]:
    """Plugins registered later are asked first."""
    return [_entry(manager, name, plugin) for name, plugin in reversed(manager.list_name_plugin()) if plugin]


def _entry(manager: PluginManager, name: str, plugin: object) -> dict[str, Any]:
    callers = manager.get_hookcallers(plugin) or []
    return {
        "name": name,
        "source": "built in" if name in BUILT_IN else "installed",
        "module": getattr(plugin, "__name__", type(plugin).__module__),
        "file": getattr(plugin, "__file__", None),
        "hooks": sorted(caller.name for caller in callers),
    }
