"""`yoke plugins`: what is loaded, what was refused and why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yokeflow import commands
from yokeflow.cli import options, output
from yokeflow.cli.words import first_line
from yokeflow.errors import ExitCode
from yokeflow.hookspecs import PROMISES
from yokeflow.plugin_manager import load_plugins
from yokeflow.settings import disabled_plugins, find_root
from yokeflow.store.migrate import revisions

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
    """Show the plugins in the order in which they are asked: where each comes from and what it brings.

    One that cannot be loaded is shown with the reason, and the exit code is 1: commands that need plugins do
    not work then.
    """
    here = Path.cwd()
    disabled = disabled_plugins(find_root(here) or here)
    failed: list[dict[str, str]] = []

    def note(offer: Offer, error: PluginError) -> None:
        reason = error.message.removeprefix(f"plugin {offer.name}: ")
        failed.append({"name": offer.name, "source": offer.source, "reason": reason, "hint": error.hint})

    loaded = _loaded(load_plugins(disabled, on_failure=note))
    if as_json:
        output.data({"loaded": loaded, "failed": failed, "disabled": list(disabled)})
        return ExitCode.FAILED if failed else ExitCode.OK
    rows = [(entry["name"], entry["source"], _brings(entry), _hooks(entry)) for entry in loaded]
    rows += [
        (entry["name"], entry["source"], "", f"failed: {first_line(entry['reason'])}") for entry in failed
    ]
    output.table(("plugin", "from", "brings", "hooks"), rows)
    for name in disabled:
        output.line(f"{name} is disabled in the configuration")
    for entry in failed:
        output.warn(f"plugin {entry['name']}: {entry['reason']}", entry["hint"])
    return ExitCode.FAILED if failed else ExitCode.OK


def _loaded(manager: PluginManager) -> list[dict[str, Any]]:
    """Plugins registered later are asked first."""
    return [_entry(manager, name, plugin) for name, plugin in reversed(manager.list_name_plugin()) if plugin]


def _entry(manager: PluginManager, name: str, plugin: object) -> dict[str, Any]:
    hooks = sorted(caller.name for caller in manager.get_hookcallers(plugin) or [])
    brought = manager.brought[name]
    built_in = (word for word, entry in commands.BUILT_IN.items() if entry.module == name)
    return {
        "name": name,
        "source": manager.sources[name],
        "module": getattr(plugin, "__name__", type(plugin).__module__),
        "file": getattr(plugin, "__file__", None),
        "hooks": hooks,
        "versions": {hook: PROMISES[hook].version for hook in hooks},
        "needs": dict(getattr(plugin, "yoke_needs", {})),
        "sections": sorted(brought.sections),
        "commands": sorted((*brought.commands, *built_in)),
        "migrations": _branches(brought.migrations),
    }


def _branches(folder: Path | None) -> list[str]:
    """Labels of the migration branches in a folder."""
    found = revisions([folder]).values() if folder else ()
    return sorted({branch for revision in found for branch in revision.branches})


def _hooks(entry: dict[str, Any]) -> str:
    """Version 1 goes without saying."""
    versions = entry["versions"].items()
    return ", ".join(f"{hook} v{version}" if version > 1 else hook for hook, version in versions)


def _brings(entry: dict[str, Any]) -> str:
    words = (
        *(f"section {name}" for name in entry["sections"]),
        *(f"`yoke {name}`" for name in entry["commands"]),
        *(f"tables {name}" for name in entry["migrations"]),
    )
    return ", ".join(words) or "–"
