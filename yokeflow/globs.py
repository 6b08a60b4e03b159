"""Whether globs can mean the same file, decided without looking at any file.

`*` and `?` stay inside one folder, `**` as a whole name crosses folders, `[..]` is a set of characters. A
pattern that can name a folder owns everything below it: `src/`, `src` and `src/*` all own `src/a/b.py`, but
`src/*.py`, with a suffix and no slash at its end, only files. The answer may be yes by mistake for odd
patterns (braces, backslashes, negated sets), never no: the price of a wrong yes is waiting.
"""

from __future__ import annotations

import re
from collections import defaultdict
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Segments: TypeAlias = tuple[str, ...]

_MAGIC: Final = re.compile(r"[*?\[]")
#: Forms that other tools give a meaning of their own; the pattern owns the whole folder they are in.
_ODD: Final = re.compile(r"[{}\\]|.\*\*|\*\*.")
#: A name that means a file unless a slash follows: it ends in a suffix.
_FILE: Final = re.compile(r"[^/]\.[A-Za-z]\w*$")
_ABSOLUTE: Final = re.compile(r"[/\\~]|[A-Za-z]:")
#: Widest range of characters that is spelt out; anything wider matches every character.
_WIDEST: Final = 512


def overlaps(first: Iterable[str], second: Iterable[str]) -> bool:
    """Whether some path can belong to a pattern of both sides."""
    others = tuple(second)
    return any(_overlap(pattern, other) for pattern in first for other in others)


def owns(patterns: Iterable[str], path: str) -> bool:
    """Whether a file, named from the top of the repository, belongs to a pattern."""
    names = tuple(path.split("/"))
    return any(_owned(_segments(pattern), names) for pattern in patterns)


def within(inner: Iterable[str], outer: Iterable[str]) -> bool:
    """Whether every file that a pattern of `inner` can mean belongs to one pattern of `outer`.

    Two patterns of `outer` that only together own what one of `inner` means do not count.
    """
    others = tuple(outer)
    return all(any(covers(other, pattern) for other in others) for pattern in inner)


@lru_cache(maxsize=65_536)
def covers(outer: str, inner: str) -> bool:
    """Whether everything that one pattern can mean belongs to the other; no where it is hard to say."""
    return is_plain(outer) and _contains(_segments(outer), _segments(inner))


def fault(pattern: str) -> str:
    """Why a pattern cannot name files of the repository; empty when it can."""
    parts = re.split(r"[/\\]", pattern)
    if not pattern.strip():
        return "is no glob"
    if _ABSOLUTE.match(pattern):
        return "is absolute"
    if ".." in parts:
        return "leaves the repository"
    return "is git's own folder" if next((p for p in parts if p not in {"", "."}), "") == ".git" else ""


def is_plain(pattern: str) -> bool:
    """Whether a pattern has none of the forms whose meaning is guessed: braces, backslashes, `a**`."""
    return not any(_ODD.search(part) for part in pattern.split("/"))


def entangled(owned: Mapping[str, Iterable[str]]) -> set[str]:
    """The keys whose patterns overlap a pattern of another key."""
    by_head: dict[Segments, list[tuple[str, str]]] = defaultdict(list)
    for owner, patterns in owned.items():
        for pattern in patterns:
            by_head[_head(pattern)].append((owner, pattern))
    found: set[str] = set()
    for head, here in by_head.items():
        # Only patterns whose fixed beginnings contain one another can meet.
        above = [pair for size in range(len(head)) for pair in by_head.get(head[:size], ())]
        for index, (owner, pattern) in enumerate(here):
            for other, candidate in (*above, *here[:index]):
                known = owner in found and other in found
                if owner != other and not known and _overlap(pattern, candidate):
                    found |= {owner, other}
    return found


@lru_cache(maxsize=65_536)
def _overlap(first: str, second: str) -> bool:
    mine, theirs = _segments(first), _segments(second)
    if _MAGIC.search(first) or _MAGIC.search(second):
        return _meet(mine, theirs)
    return mine == theirs or _below(mine, theirs) or _below(theirs, mine)


def _below(folder: Segments, other: Segments) -> bool:
    return folder[-1] == "**" and other[: len(folder) - 1] == folder[:-1]


def _meet(mine: Segments, theirs: Segments) -> bool:
    """Whether some path matches both."""
    seen: set[tuple[int, int]] = set()
    todo = [(0, 0)]
    while todo:
        i, j = todo.pop()
        if (i, j) in seen:
            continue
        seen.add((i, j))
        a, b = mine[i : i + 1], theirs[j : j + 1]
        if not a and not b:
            return True
        if "**" in a + b:
            todo += [(i + 1, j)] if a == ("**",) or (a and b) else []
            todo += [(i, j + 1)] if b == ("**",) or (a and b) else []
        elif a and b and _names_meet(a[0], b[0]):
            todo.append((i + 1, j + 1))
    return False


def _owned(mine: Segments, names: Segments) -> bool:
    """Whether a path, whose names are no patterns, matches."""
    if not mine:
        return not names
    if mine[0] == "**":
        return any(_owned(mine[1:], names[skip:]) for skip in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], mine[0]) and _owned(mine[1:], names[1:])


def _contains(outer: Segments, inner: Segments) -> bool:
    """Whether every path that matches the second matches the first."""
    if outer[:1] == ("**",):
        return _contains(outer[1:], inner) or (bool(inner) and _contains(outer, inner[1:]))
    if not outer or not inner:
        return outer == inner
    return _name_contains(outer[0], inner[0]) and _contains(outer[1:], inner[1:])


@lru_cache(maxsize=65_536)
def _name_contains(outer: str, inner: str) -> bool:
    """Whether every name that matches the second pattern matches the first."""
    if inner == "**":
        return False
    if outer in {inner, "*"}:
        return True
    return "[" not in outer and _tokens_contain(tuple(_tokens(outer)), tuple(_tokens(inner)))


def _tokens_contain(outer: tuple[str | frozenset[str], ...], inner: tuple[str | frozenset[str], ...]) -> bool:
    if outer[:1] == ("*",):
        return _tokens_contain(outer[1:], inner) or (bool(inner) and _tokens_contain(outer, inner[1:]))
    if not outer or not inner:
        return outer == inner
    a, b = outer[0], inner[0]
    one = b != "*" and (a == "?" or (b != "?" and set(b) <= set(a)))
    return one and _tokens_contain(outer[1:], inner[1:])


@lru_cache(maxsize=65_536)
def _segments(pattern: str) -> Segments:
    parts: list[str] = []
    for part in pattern.split("/"):
        if _ODD.search(part):
            return (*parts, "**")
        if part not in {"", "."}:
            parts.append(part)
    return tuple(parts) if _FILE.search(pattern) else (*parts, "**")


def _head(pattern: str) -> Segments:
    """The folders and names before the first that is not literal."""
    segments = _segments(pattern)
    return segments[: next((i for i, part in enumerate(segments) if _MAGIC.search(part)), len(segments))]


def _names_meet(first: str, second: str) -> bool:
    """Whether one name can match both patterns, neither of which crosses folders."""
    if first == second:
        return True
    mine, theirs = tuple(_tokens(first)), tuple(_tokens(second))
    seen: set[tuple[int, int]] = set()
    todo = [(0, 0)]
    while todo:
        i, j = todo.pop()
        if (i, j) in seen:
            continue
        seen.add((i, j))
        a = mine[i] if i < len(mine) else None
        b = theirs[j] if j < len(theirs) else None
        if a is None and b is None:
            return True
        if a == "*":
            todo.append((i + 1, j))
            todo += [(i, j + 1)] if b is not None else []
        elif b == "*":
            todo.append((i, j + 1))
            todo += [(i + 1, j)] if a is not None else []
        elif a is not None and b is not None and (a == "?" or b == "?" or set(a) & set(b)):
            todo.append((i + 1, j + 1))
    return False


def _tokens(name: str) -> Iterator[str | frozenset[str]]:
    """`*` for any run, `?` for any character, else the set of characters allowed at that place."""
    at = 0
    while at < len(name):
        char = name[at]
        # A bracket right after the opening one (or after its negation) is a member, as in fnmatch.
        end = name.find("]", at + 2 + (name[at + 1 : at + 2] in {"!", "^"})) if char == "[" else -1
        if end > 0:
            yield _members(name[at + 1 : end])
            at = end + 1
        else:
            yield char if char in "*?" else frozenset(char)
            at += 1


def _members(inside: str) -> str | frozenset[str]:
    if inside[0] in "!^" or "[" in inside:
        return "?"
    members: set[str] = set()
    at = 0
    while at < len(inside):
        if inside[at + 1 : at + 2] == "-" and at + 2 < len(inside):
            low, high = ord(inside[at]), ord(inside[at + 2])
            if high - low > _WIDEST:
                return "?"
            members |= {chr(code) for code in range(low, high + 1)}
            at += 3
        else:
            members.add(inside[at])
            at += 1
    # A backwards range matches nothing in one tool and its ends in another.
    return frozenset(members) or "?"
