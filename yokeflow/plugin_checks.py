"""What a plugin must be like to be loaded, found out before anything relies on it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yokeflow import __version__, commands
from yokeflow.config import Config, Section
from yokeflow.errors import PluginError
from yokeflow.hookspecs import PROMISES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pluggy

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_COMMAND = re.compile(r"[a-z][a-z0-9-]*")
_UPGRADE = "upgrade YokeFlow, or install an older version of the plugin"


@dataclass(frozen=True)
class Brought:
    """What a plugin adds beside its decisions."""

    sections: Mapping[str, type[Section]] = field(default_factory=dict)
    #: Those of built-in plugins are made only when they are called.
    commands: Mapping[str, click.Command] = field(default_factory=dict)
    migrations: Path | None = None


def check_needs(name: str, plugin: object) -> None:
    """Refuse a plugin that relies on hooks, or on versions of them, that are not here.

    Raises PluginError.
    """
    needs = getattr(plugin, "yoke_needs", {})
    if not isinstance(needs, dict) or not all(isinstance(version, int) for version in needs.values()):
        raise PluginError(
            name,
            f"yoke_needs is {needs!r}, not versions by hook",
            hint='write it as yoke_needs = {"recall": 2}',
        )
    for hook, version in needs.items():
        promise = PROMISES.get(hook)
        if promise is None:
            raise PluginError(
                name, f"needs the hook {hook}, which YokeFlow {__version__} does not have", hint=_UPGRADE
            )
        if version > promise.version:
            raise PluginError(
                name,
                f"needs version {version} of the hook {hook}; YokeFlow {__version__} has {promise.version}",
                hint=_UPGRADE,
            )


def refuse_wrappers(manager: pluggy.PluginManager, name: str) -> None:
    """Plugins are called one by one, each with its own time limit, so none can be wrapped around others.

    Raises PluginError.
    """
    for caller in manager.get_hookcallers(manager.get_plugin(name)) or ():
        if any(
            each.plugin_name == name and (each.hookwrapper or each.wrapper) for each in caller.get_hookimpls()
        ):
            raise PluginError(
                name,
                f"{caller.name} is a hook wrapper, which would hide which plugin failed or was slow",
                hint="make it a plain hook; where the first answer counts, a later plugin is asked first",
            )


def brought(
    name: str, ask: Callable[[str], list[Any]], others: Mapping[str, Brought], *, built_in: bool
) -> Brought:
    """What the plugin adds, where it clashes with nothing. `others` were loaded before.

    Raises PluginError.
    """
    found: dict[str, click.Command] = {}
    if not built_in:
        found = dict(_commands(name, ask("register_commands"), others))
    return Brought(
        dict(_sections(name, ask("register_config"), others)),
        found,
        _migrations(name, ask("register_migrations")),
    )


def commands_of(name: str, answers: list[Any]) -> dict[str, click.Command]:
    """Commands by name, from what a plugin answers to `register_commands`.

    Raises PluginError.
    """
    found: dict[str, click.Command] = {}
    for answer in answers:
        if not isinstance(answer, (list, tuple)) or not all(
            isinstance(each, click.Command) for each in answer
        ):
            raise PluginError(
                name,
                f"register_commands gave {_short(answer)}, not click commands",
                hint="return a list of functions decorated with @click.command",
            )
        for command in answer:
            if not _COMMAND.fullmatch(command.name or "") or command.name in found:
                raise PluginError(
                    name,
                    f"{command.name!r} cannot be the name of a command",
                    hint="give each a name of its own of small letters, digits and hyphens",
                )
            found[command.name or ""] = command
    return found


def _commands(
    name: str, answers: list[Any], others: Mapping[str, Brought]
) -> Iterator[tuple[str, click.Command]]:
    taken = dict.fromkeys(commands.CORE, "the core")
    taken |= {word: entry.module for word, entry in commands.BUILT_IN.items() if entry.module in others}
    taken |= {word: other for other, each in others.items() for word in each.commands}
    for word, command in commands_of(name, answers).items():
        if word in taken:
            whose = _owner(taken[word])
            raise PluginError(
                name, f"the command `{word}` belongs to {whose}", hint="give the command another name"
            )
        yield word, command


def _sections(
    name: str, answers: list[Any], others: Mapping[str, Brought]
) -> Iterator[tuple[str, type[Section]]]:
    taken = dict.fromkeys((*Config.model_fields, *dir(Config)), "the core")
    taken |= {word: other for other, each in others.items() for word in each.sections}
    for answer in answers:
        if not isinstance(answer, dict):
            raise PluginError(
                name,
                f"register_config gave {_short(answer)}, not sections by name",
                hint='return {"my_section": MySection}',
            )
        for word, model in answer.items():
            _check_section(name, word, model)
            if word in taken:
                whose = _owner(taken[word])
                raise PluginError(
                    name, f"the section `{word}` belongs to {whose}", hint="give the section another name"
                )
            yield word, model


def _check_section(name: str, word: Any, model: Any) -> None:
    if not isinstance(word, str) or not _NAME.fullmatch(word) or "__" in word or word.startswith("model_"):
        raise PluginError(
            name,
            f"{word!r} cannot be the name of a section",
            hint="write small letters, digits and single underscores, such as my_plugin",
        )
    if not isinstance(model, type) or not issubclass(model, Section):
        raise PluginError(
            name,
            f"the section `{word}` is {_short(model)}, not a kind of Section",
            hint="make it a subclass of yokeflow.config.Section",
        )
    needed = [key for key, found in model.model_fields.items() if found.is_required()]
    if needed:
        raise PluginError(
            name,
            f"the section `{word}` has no default for {', '.join(needed)}",
            hint="give every key a default, so that an empty file works",
        )


def _migrations(name: str, answers: list[Any]) -> Path | None:
    for answer in answers:
        if answer is not None and not (isinstance(answer, Path) and answer.is_dir()):
            raise PluginError(
                name,
                f"register_migrations gave {_short(answer)}, which is no folder",
                hint='return Path(__file__).parent / "migrations", and let the package contain it',
            )
    return next((answer for answer in answers if answer is not None), None)


def _owner(owner: str) -> str:
    return owner if owner == "the core" else f"the plugin {owner}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
