"""Who tells something when the store does not, and how old that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yokeflow.cli.output import style
from yokeflow.cli.words import span

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: What to do about a store that is away.
AWAY = "`yoke db status` shows what is wrong; this is what is known without it"
_LAYERS = {
    "cache": "the local cache",
    "journal": "the journal and git",
    "git": "git",
    "file": "the status file",
}


def origin_lines(source: Mapping[str, Any]) -> Iterator[str]:
    """The line that says so; none when it is the store that tells."""
    layer = _LAYERS.get(source.get("layer", ""))
    if layer:
        old = ", may be outdated" if source.get("stale") else ""
        age = span(source["age_seconds"])
        yield style(f"from {layer}, {age} old{old}: the store is not reachable", fg="yellow")
