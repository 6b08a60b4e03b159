"""`yoke plugins`: what is loaded, what was refused and why."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yokeflow import commands
from yokeflow.cli import options, output
from yokeflow.cli.words import first_line
from yokeflow.errors import ExitCode, PluginError
from yokeflow.hookspecs import PROMISES
from yokeflow.places import find_root
from yokeflow.plugin_manager import BUILT_IN, Offer, load_plugins
from yokeflow.settings import disabled_plugins
from yokeflow.store.revisions import RevisionError, check_revisions, revisions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from yokeflow.plugin_manager import PluginManager


@click.command(
    epilog=options.examples(
        "yoke plugins",
        "yoke plugins --json",
        "yoke plugins --check",
        "YOKE_PLUGINS= yoke plugins   # the built-in ones alone",
    )
)
@click.option(
    "--check",
    is_flag=True,
    help="Ask those that are not built in what a run would ask, without the store, and check the answers.",
)
@options.as_json
def command(*, check: bool, as_json: bool) -> ExitCode:
    """Show the plugins in the order in which they are asked: where each comes from and what it brings.

    One that cannot be loaded is shown with the reason, and the exit code is 1: commands that need plugins do
    not work then. It is 1, too, for one that breaks a promise.
    """
    here = Path.cwd()
    disabled = disabled_plugins(find_root(here) or here)
    failed: list[dict[str, str]] = []

    def note(offer: Offer, error: PluginError) -> None:
        reason = error.message.removeprefix(f"plugin {offer.name}: ")
        failed.append({"name": offer.name, "source": offer.source, "reason": reason, "hint": error.hint})

    manager = load_plugins(disabled, on_failure=note)
    for name, error in _unusable(manager).items():
        manager.unregister(name=name)
        note(Offer(name, manager.sources[name], dict), error)
    loaded = _loaded(manager)
    broken = _broken(manager) if check else {}
    if as_json:
        checked = {"broken": broken} if check else {}
        output.data({"loaded": loaded, "failed": failed, "disabled": list(disabled), **checked})
    else:
        _print(loaded, failed, disabled, broken)
    return ExitCode.FAILED if failed or broken else ExitCode.OK


def _print(
    loaded: Sequence[dict[str, Any]],
    failed: Sequence[dict[str, str]],
    disabled: Sequence[str],
    broken: Mapping[str, str],
) -> None:
    rows = [(entry["name"], entry["source"], _brings(entry), _hooks(entry)) for entry in loaded]
    rows += [
        (entry["name"], entry["source"], "", f"failed: {first_line(entry['reason'])}") for entry in failed
    ]
    output.table(("plugin", "from", "brings", "hooks"), rows)
    for name in disabled:
        output.line(f"{name} is disabled in the configuration")
    for entry in failed:
        output.warn(f"plugin {entry['name']}: {entry['reason']}", entry["hint"])
    for name, promise in broken.items():
        output.warn(f"plugin {name} breaks a promise: {promise}", "tell its author, or disable it")


def _unusable(manager: PluginManager) -> dict[str, PluginError]:
    """Plugins whose migrations make no sense, which every command that needs the store would tell."""
    found: dict[str, PluginError] = {}
    while True:
        folders = {folder: name for folder, name in manager.migrations.items() if name not in found}
        try:
            check_revisions(folders)
        except RevisionError as error:
            if error.plugin not in folders.values():
                raise
            reason = error.message.removeprefix(f"plugin {error.plugin}: ")
            found[error.plugin] = PluginError(error.plugin, reason, hint=error.hint)
        else:
            return found


def _broken(manager: PluginManager) -> dict[str, str]:
    """The promise that each plugin breaks; those of this distribution are checked by its tests."""
    # Imported by name: it brings what only tests need.
    check_plugin = import_module("yokeflow.testing").check_plugin
    broken = {}
    for name, plugin in manager.list_name_plugin():
        if plugin is not None and name not in BUILT_IN:
            try:
                check_plugin(plugin)
            except Exception as error:  # noqa: BLE001 - a plugin may raise anything
                broken[name] = first_line(str(error) or repr(error))
    return broken


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
