"""What a lesson gains when it is met again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from yoke_expertise.memories import Draft, Memory

#: A lesson met again and again comes near certainty but never reaches it.
_SURE = 0.99
#: Sessions that a lesson names as its evidence, the latest ones.
_SESSIONS = 200
_FILES = 50


def strengthened(old: Memory, draft: Draft) -> dict[str, Any]:
    """What a lesson gains when it is met again."""
    known = set(old.evidence.get("sessions", ()))
    fresh = draft.evidence.get("sessions", ())
    said = draft.source == "explicit"
    if fresh and known.issuperset(fresh) and not said:
        return {}
    surer = old.confidence + (1 - old.confidence) * draft.confidence / 2
    gained: dict[str, Any] = {
        "evidence": merged(old.evidence, draft.evidence),
        "confidence": max(old.confidence, min(_SURE, surer)),
        "importance": max(old.importance, draft.importance),
        "files": _joined(old.files, draft.files)[:_FILES],
        "categories": _joined(old.categories, draft.categories),
        "tags": tuple(sorted({*old.tags, *draft.tags})),
        "pinned": old.pinned or draft.pinned,
    }
    if said and old.status != "active":
        gained |= {"status": "active", "tier": "warm", "superseded_by": None}
    return {name: value for name, value in gained.items() if getattr(old, name) != value}


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Evidence of both: numbers add up, lists are joined, anything else is the newer one."""
    both = dict(old)
    for name, value in new.items():
        before = both.get(name)
        if isinstance(value, list | tuple):
            both[name] = list(_joined(before if isinstance(before, list) else (), value)[-_SESSIONS:])
        elif _is_number(value) and _is_number(before):
            both[name] = before + value
        else:
            both[name] = value
    return both


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _joined(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))
