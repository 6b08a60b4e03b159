"""Whether the hooks of a plugin are hooks: marked, known, and with arguments that there are."""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from types import ModuleType
from typing import TYPE_CHECKING, Any

from yokeflow.errors import PluginError
from yokeflow.hookspecs import PROMISES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pluggy

#: What to do about a hook that is none.
COMPARE = "compare its hooks with yokeflow/hookspecs.py; one that is not there needs a newer YokeFlow"


def check_hooks(manager: pluggy.PluginManager, name: str, plugin: object) -> None:
    """Refuse a plugin whose hooks would never be called, or could not be.

    Raises PluginError.
    """
    hooks = dict(_hooks(manager, plugin))
    # Objects may have methods of any name; in a module a function with the name of a hook is meant as one.
    if isinstance(plugin, ModuleType):
        for hook in PROMISES:
            if hook not in hooks and inspect.isfunction(vars(plugin).get(hook)):
                raise PluginError(
                    name,
                    f"{hook} looks like a hook but is not marked with @hookimpl",
                    hint="write @hookimpl, of yokeflow.hookspecs, above it, or give it another name",
                )
    if not hooks:
        raise PluginError(
            name,
            "it has no hook: nothing in it is marked with @hookimpl",
            hint="write @hookimpl, of yokeflow.hookspecs, above each of its hooks",
        )
    for hook, function in hooks.items():
        if hook not in PROMISES:
            raise PluginError(name, f"unknown hook {hook}{_meant(hook, PROMISES)}", hint=COMPARE)
        _check_arguments(manager, name, hook, function)


def _hooks(manager: pluggy.PluginManager, plugin: object) -> Iterator[tuple[str, Any]]:
    """The marked functions by the hook that they are for."""
    for attribute in dir(plugin):
        options = manager.parse_hookimpl_opts(plugin, attribute)
        if options is not None:
            yield options.get("specname") or attribute, getattr(plugin, attribute)


def _check_arguments(manager: pluggy.PluginManager, name: str, hook: str, function: Any) -> None:
    spec = getattr(manager.hook, hook).spec
    for parameter in inspect.signature(function).parameters.values():
        needed = parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        # Classes are plugins, too; then nobody is there to be `self`.
        if needed and parameter.name not in (*spec.argnames, "self", "cls"):
            meant = _meant(parameter.name, spec.argnames)
            raise PluginError(name, f"{hook} has no argument {parameter.name}{meant}", hint=COMPARE)


def _meant(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(word, known, n=1)
    return f" (did you mean {near[0]}?)" if near else ""
