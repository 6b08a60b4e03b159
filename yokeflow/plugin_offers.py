"""Which plugins there are to be loaded: built in, named in the environment, installed, or half installed."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import distributions
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

from yokeflow.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from importlib.metadata import Distribution, EntryPoint

#: Packages of this distribution that come through the same door as strangers.
BUILT_IN = (
    *("yoke_resolver", "yoke_profiles", "yoke_models", "yoke_costs", "yoke_expertise", "yoke_agents"),
    *("yoke_conflicts", "yoke_notify"),
)
_NAMED = "named in YOKE_PLUGINS"
_BUILT_IN = "built in"
#: The head of our group of entry points, or what is left of it.
_GROUP = re.compile(r"^\s*\[\s*yokeflow\s*(?:\]|$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Offer:
    """A plugin that can be loaded."""

    name: str
    #: `built in`, `named in YOKE_PLUGINS`, or the distribution with its version.
    source: str
    load: Callable[[], object]
    #: What `load` imports; empty when it is not known.
    module: str = ""

    @property
    def built_in(self) -> bool:
        return self.source == _BUILT_IN

    @property
    def named(self) -> bool:
        """Whether the environment names it, so that no package brings it."""
        return self.source == _NAMED

    @property
    def without(self) -> str:
        """How to go on without it."""
        if self.named:
            return f"take {self.name} out of the environment variable YOKE_PLUGINS"
        return f"uninstall it, or list it under plugins.disabled: [{self.name}]"


def built_in(name: str) -> Offer:
    """A package of this distribution."""
    return Offer(name, _BUILT_IN, partial(import_module, name), name)


def offers(disabled: Collection[str]) -> Iterator[Offer]:
    """Every plugin that is not disabled, the built-in ones first."""
    named = os.environ.get("YOKE_PLUGINS")
    if named is None:
        others = _installed()
    else:
        names = filter(None, (part.strip() for part in named.split(",")))
        others = (Offer(name, _NAMED, partial(import_module, name), name) for name in names)
    for group in (map(built_in, BUILT_IN), others):
        yield from (offer for offer in group if offer.name not in disabled)


def refuse_double(offer: Offer, source: str) -> None:
    """Raises PluginError for a plugin with the name of another one, which came from `source`."""
    name = offer.name
    if offer.named and source == _BUILT_IN:
        raise PluginError(name, "is built in and need not be named", hint=offer.without)
    if offer.named:
        raise PluginError(name, "is named twice in YOKE_PLUGINS", hint="name it once")
    if source == _BUILT_IN:
        raise PluginError(
            name,
            f"{offer.source} brings a plugin with the name of a built-in one",
            hint=f"uninstall {offer.source.partition(' ')[0]}; disabling {name} would disable both",
        )
    raise PluginError(
        name, f"{source} and {offer.source} both bring a plugin `{name}`", hint="uninstall one of them"
    )


def fault(offer: Offer, error: Exception) -> tuple[str, str]:
    """Why a plugin could not be imported and where, and what to do about it."""
    place = _place(offer, error)
    what = error.msg if isinstance(error, SyntaxError) else str(error)
    reason = f"{type(error).__name__}: {what}" + (f" ({place})" if place else "")
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and f"{offer.module}.".startswith(f"{missing}."):
        found = "correct the environment variable YOKE_PLUGINS, or put its folder on PYTHONPATH"
        return reason, found if offer.named else f"install it again; or {offer.without}"
    if missing:
        return reason, f"install {missing}, which it needs; or {offer.without}"
    return reason, f"correct it there; or {offer.without}" if place else offer.without


def _place(offer: Offer, error: Exception) -> str:
    """File and line of the plugin where its import ended; empty when it did not even begin."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    root = offer.module.partition(".")[0]
    own = [
        f"{frame.f_code.co_filename}:{line}"
        for frame, line in walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__", "").partition(".")[0] == root
    ]
    return own[-1] if own else ""


def _installed() -> Iterator[Offer]:
    """The entry points of the group `yokeflow`; of a package that is there twice, the first counts."""
    seen = set()
    for found in distributions():
        folder = getattr(found, "_path", None)
        key = _key(found, folder)
        if key not in seen:
            seen.add(key)
            yield from _offered(found, key, str(folder or key))


def _key(found: Distribution, folder: Any) -> str:
    """A name of a distribution that it has also when what it says about itself is missing."""
    name = folder.name.partition("-")[0] if folder is not None else found.metadata["Name"]
    return re.sub(r"[-_.]+", "_", name.removesuffix(".egg-info")).lower()


def _offered(found: Distribution, key: str, folder: str) -> Iterator[Offer]:
    try:
        text = found.read_text("entry_points.txt") or ""
    except UnicodeDecodeError:
        yield _damaged(key, folder, "its entry_points.txt is no text")
        return
    if not _GROUP.search(text):
        return
    points = _points(found)
    name, version = found.metadata["Name"], found.metadata["Version"]
    if not points or not all(point.pattern.match(point.value) for point in points):
        yield _damaged(points[0].name if points else key, folder, "its entry_points.txt makes no sense")
    elif not name:
        yield from (_damaged(point.name, folder, "what it says about itself is missing") for point in points)
    else:
        source = f"{name} {version}"
        yield from (Offer(point.name, source, point.load, point.module) for point in points)


def _points(found: Distribution) -> Sequence[EntryPoint]:
    try:
        return [point for point in found.entry_points if point.group == "yokeflow"]
    except (TypeError, ValueError, AttributeError):
        # A line that is no entry point.
        return ()


def _damaged(name: str, folder: str, reason: str) -> Offer:
    def load() -> object:
        raise PluginError(
            name, f"its installation is damaged: {reason}", hint=f"install it again, or remove {folder}"
        )

    return Offer(name, "damaged", load)
