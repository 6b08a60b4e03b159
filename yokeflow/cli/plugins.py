"""`yoke plugins`: what is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yokeflow.cli import options, output
from yokeflow.cli.words import first_line
from yokeflow.errors import ExitCode
from yokeflow.plugin_manager import load_plugins
from yokeflow.settings import find_root, load_config

if TYPE_CHECKING:
    from yokeflow.errors import PluginError
    from yokeflow.plugin_manager import Offer, PluginManager


@click.command(
    epilog=options.examples(
        "yoke plugins", "yoke plugins --json", "YOKE_PLUGINS= yoke plugins   # the built-in ones alone"
    )
)
@options.as_json
def command(*, as_json: bool) -> ExitCode:
    """Show the plugins in the order in which they are asked: where each comes from and which hooks it has.

    One that cannot be loaded is shown with the reason, and the exit code is 1: no other command works then.
    """
    disabled = load_config(find_root(Path.cwd()) or Path.cwd()).config.plugins.disabled
    failed: list[dict[str, str]] = []

    def note(offer: Offer, error: PluginError) -> None:
        reason = error.message.removeprefix(f"plugin {offer.name}: ")
        failed.append({"name": offer.name, "source": offer.source, "reason": reason, "hint": error.hint})

    loaded = _loaded(load_plugins(disabled, on_failure=note))
    if as_json:
        output.data({"loaded": loaded, "failed": failed, "disabled": list(disabled)})
    else:
        rows = [(entry["name"], entry["source"], ", ".join(entry["hooks"])) for entry in loaded]
        rows += [
            (entry["name"], entry["source"], f"failed: {first_line(entry['reason'])}") for entry in failed
        ]
        output.table(("plugin", "from", "hooks"), rows)
        for name in disabled:
            output.line(f"{name} is disabled in the configuration")
        for entry in failed:
            output.warn(f"plugin {entry['name']}: {entry['reason']}", entry["hint"])
    return ExitCode.FAILED if failed else ExitCode.OK


def _loaded(manager: PluginManager) -> list[dict[str, Any]]:
    """Plugins registered later are asked first."""
    return [_entry(manager, name, plugin) for name, plugin in reversed(manager.list_name_plugin()) if plugin]


def _entry(manager: PluginManager, name: str, plugin: object) -> dict[str, Any]:
    callers = manager.get_hookcallers(plugin) or []
    return {
        "name": name,
        "source": manager.sources[name],
        "module": getattr(plugin, "__name__", type(plugin).__module__),
        "file": getattr(plugin, "__file__", None),
        "hooks": sorted(caller.name for caller in callers),
    }
