"""What a domain's expertise file says, from its lessons: the same lessons always give the same text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from yoke_expertise.memories import Memory, rank

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

#: By section, the kinds of lessons in it; one that is written into a file by hand is of the first kind.
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "patterns": ("co_change", "conflict"),
    "best_practices": ("note", "check"),
    "learned_from_failures": ("failure_fix",),
    "effective_patterns": ("reflection",),
    "successful_techniques": ("command",),
}
_SECTION_OF = {kind: name for name, kinds in SECTIONS.items() for kind in kinds}
#: What is cut to how many entries, in this order, as long as a file is too long.
_CUTS = (
    ("learned_from_failures", 10),
    ("effective_patterns", 15),
    ("core_files", 30),
    ("successful_techniques", 10),
)
_TITLE = "# Written by YokeFlow from its lessons. After editing: yoke expertise import FILE\n"
_ORDER = ("domain", "version", "overview", "core_files", *SECTIONS, "last_validated")
_ENTRY_ORDER = (
    *("id", "kind", "subject", "lesson", "files", "categories", "tags"),
    *("importance", "confidence", "pinned"),
)
_USUAL_IMPORTANCE = 5
_WIDTH = 100


class _Dumper(yaml.SafeDumper):
    """Texts of several lines stay readable."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


@dataclass(frozen=True, slots=True)
class Compiled:
    """What a file says."""

    content: Mapping[str, Any]
    #: Lessons for which there was no room.
    left_out: int


def entry_of(memory: Memory) -> dict[str, Any]:
    """A lesson as it stands in a file; what is usual is left out."""
    kind = memory.kind if memory.kind != SECTIONS[_SECTION_OF[memory.kind]][0] else None
    values = {
        "id": str(memory.id),
        "kind": kind,
        "subject": memory.subject,
        "lesson": memory.content,
        "files": list(memory.files),
        "categories": list(memory.categories),
        "tags": list(memory.tags),
        "importance": memory.importance if memory.importance != _USUAL_IMPORTANCE else None,
        "confidence": round(memory.confidence, 1),
        "pinned": memory.pinned or None,
    }
    return {name: value for name, value in values.items() if value not in (None, "", [])}


def compile_document(domain: str, memories: Collection[Memory], max_lines: int) -> Compiled:
    """The lessons that fit into a file, pinned and important ones first."""
    ranked = sorted(memories, key=rank)
    lines = {str(memory.id): as_yaml([entry_of(memory)]).count("\n") for memory in ranked}
    limits: dict[str, int] = {}

    def content(kept: int) -> dict[str, Any]:
        return _content(domain, ranked[:kept], len(ranked), limits)

    def fits(kept: int) -> bool:
        return _size(content(kept), lines) <= max_lines

    for cut in _CUTS:
        if fits(len(ranked)):
            break
        limits |= dict([cut])
    kept = content(_most(fits, len(ranked)))
    return Compiled(kept, len(ranked) - sum(len(kept.get(name, ())) for name in SECTIONS))


def render(content: Mapping[str, Any], version: int) -> str:
    """The text of a file. The store keeps no order of keys, so it is given here."""
    given = {**content, "version": version}
    ordered = {name: given[name] for name in _ORDER if name in given}
    for section in ordered.keys() & SECTIONS.keys():
        ordered[section] = [
            {name: entry[name] for name in _ENTRY_ORDER if name in entry} for entry in ordered[section]
        ]
    return _TITLE + as_yaml(ordered)


def _size(content: Mapping[str, Any], lines: Mapping[str, int]) -> int:
    """Lines of the file, which is fast when those of each lesson are known."""
    around = {name: value for name, value in content.items() if name not in SECTIONS}
    inside = (1 + sum(lines[entry["id"]] for entry in content.get(name, ())) for name in SECTIONS)
    used = sum(size for size in inside if size > 1)
    return render({**around, "last_validated": "2000-01-01"}, 1).count("\n") + used


def _content(domain: str, ranked: Sequence[Memory], known: int, limits: Mapping[str, int]) -> dict[str, Any]:
    sections: dict[str, list[dict[str, Any]]] = {name: [] for name in SECTIONS}
    shown = []
    for memory in ranked:
        section = sections[_SECTION_OF[memory.kind]]
        if len(section) < limits.get(_SECTION_OF[memory.kind], known):
            section.append(entry_of(memory))
            shown.append(memory)
    counted = Counter(path for memory in shown for path in memory.files)
    core = sorted(counted, key=lambda path: (-counted[path], path))[: limits.get("core_files")]
    overview = f"{len(shown)} of {known} lessons, the most important first"
    content = {"domain": domain, "overview": overview, "core_files": core, **sections}
    return {name: value for name, value in content.items() if value}


def _most(fits: Callable[[int], bool], count: int) -> int:
    """The most lessons that fit; 0 where not even one does."""
    low, high = 0, count
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def as_yaml(value: object) -> str:
    """A value as a file shows it."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH))
