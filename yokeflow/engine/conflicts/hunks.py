"""What one side did in a file in conflict where nothing conflicts, and whether it is still there."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from yokeflow.git.repo import Repo

#: As a merge compares, and whatever the user's settings are.
_DIFF = (
    *("diff-tree", "-p", "-U0", "--inter-hunk-context=0", "--no-renames", "--no-color", "--no-ext-diff"),
    *("--no-textconv", "--diff-algorithm=histogram", "--no-indent-heuristic"),
    *("--src-prefix=a/", "--dst-prefix=b/"),
)
_FILE = re.compile(rb"diff --git a/(\d+) b/\d+")
_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
#: A line that says something; empty lines and brackets are everywhere.
_TELLS = re.compile(rb"[\w\x80-\xff]")
#: Modes of files that have lines.
_REGULAR = frozenset({"100644", "100755"})
#: Stages of a file in conflict.
_BASE, _OURS, _THEIRS = "1", "2", "3"
#: So many lines, and files, are named.
_MOST = 5


@dataclass(frozen=True, slots=True)
class Hunk:
    """Where two versions of a file differ: half-open ranges of lines, counted from 0."""

    start: int
    end: int
    new_start: int
    new_end: int
    #: The lines of the new version, without whitespace.
    added: tuple[bytes, ...] = ()


Hunks: TypeAlias = "Sequence[Hunk]"


@dataclass(frozen=True, slots=True)
class Dropped:
    """What is missing of each side, by file: lines of that side's version, counted from 1."""

    ours: Mapping[str, Sequence[int]]
    theirs: Mapping[str, Sequence[int]]


async def find_dropped(repo: Repo, ours: str, theirs: str, commit: str) -> Dropped:
    """What each side did outside the conflicts of files in conflict, and `commit` has as it was before.

    Passed over are files that a side added, removed or replaced by something else than a file, and those that
    git does not merge by lines.
    """
    said = await repo.git("merge-tree", "--write-tree", "-z", ours, theirs, ok=(0, 1))
    now = await _changed(repo, said.parts[0], commit)
    stages = {path: found for path, found in _stages(said.parts[1:]).items() if len(found) == 3}
    # Of what git may not merge by lines, it leaves ours.
    paths = [path for path, found in stages.items() if path in now and now[path][0] != found[_OURS]]
    if not paths:
        return Dropped({}, {})
    base = await _tree(repo, [stages[path][_BASE] for path in paths])
    result = await _tree(repo, [now[path][1] for path in paths])
    sides = [await _tree(repo, [stages[path][stage] for path in paths]) for stage in (_OURS, _THEIRS)]
    made, came = [await _compare(repo, base, side) for side in sides], await _compare(repo, base, result)
    undone = [await _compare(repo, side, result) for side in sides]
    dropped: list[dict[str, Sequence[int]]] = [{}, {}]
    for at, path in enumerate(paths):
        for side, of in enumerate(dropped):
            if gone := missing(made[side][at], made[1 - side][at], came[at], undone[side][at]):
                of[path] = gone
    return Dropped(*dropped)


def missing(mine: Hunks, others: Hunks, came: Hunks, undone: Hunks) -> list[int]:
    """The lines, from 1, where a side's version has what is gone without a trace.

    `mine` and `others` lead from the base to both sides, `came` from there to the result, and `undone` from
    the side to the result. Changes that meet one of the other side's are in conflict or the same, and are
    passed over. What the result changed itself, or has elsewhere, is a resolver's freedom.
    """
    alone = [hunk for hunk in mine if not _meets(others, hunk.start, hunk.end)]
    suspects = [hunk for hunk in alone if not _meets(came, hunk.start, hunk.end) and _undone(hunk, undone)]
    if not suspects:
        return []
    more = _added(came)
    more.subtract(_added(mine))
    more.subtract(_added(others))
    return [hunk.new_start + 1 for hunk in suspects if not _moved(hunk, more)]


def _moved(hunk: Hunk, more: Mapping[bytes, int]) -> bool:
    """Whether a result has a line of it elsewhere; `more` is how many of each it adds beyond both sides."""
    own = Counter(hunk.added)
    return any(more.get(line, 0) + own[line] > 0 for line in _telling(hunk))


def _meets(hunks: Hunks, start: int, end: int) -> bool:
    """Whether one of them overlaps these lines of the old version, or is next to them."""
    at = bisect_left(hunks, start, key=lambda hunk: hunk.end)
    return at < len(hunks) and hunks[at].start <= end


def _undone(hunk: Hunk, undone: Hunks) -> bool:
    """Whether nothing is left of a hunk that says something.

    The same lines may be found a little further up or down, depending on what is around them.
    """
    telling = _telling(hunk)
    lines = [hunk.new_start + at for at, line in enumerate(hunk.added) if line in telling]
    if not lines:
        return _meets(undone, hunk.new_start, hunk.new_end)
    return all(_covers(undone, line) for line in lines)


def _covers(hunks: Hunks, line: int) -> bool:
    at = bisect_right(hunks, line, key=lambda hunk: hunk.end)
    return at < len(hunks) and hunks[at].start <= line


def _telling(hunk: Hunk) -> set[bytes]:
    """The lines of a hunk that say something; all where none does."""
    return {line for line in hunk.added if _TELLS.search(line)} or set(hunk.added)


def _added(hunks: Hunks) -> Counter[bytes]:
    return Counter(line for hunk in hunks for line in hunk.added)


def parse(patch: bytes) -> dict[int, list[Hunk]]:
    """The hunks of a patch without context, by file; the files' names are numbers."""
    found = defaultdict[int, list[Hunk]](list)
    name, place, added = 0, (0, 0, 0, 0), list[bytes]()
    for line in (*patch.split(b"\n"), b"diff"):
        if line.startswith(b"+") and any(place):
            added.append(b"".join(line[1:].split()))
        elif line.startswith((b"@@ ", b"diff")):
            if any(place):
                found[name].append(Hunk(*place, tuple(added)))
            place, added = (0, 0, 0, 0), []
            if begins := _HUNK.match(line):
                place = (*_range(begins[1], begins[2]), *_range(begins[3], begins[4]))
            elif file := _FILE.match(line):
                name = int(file[1])
    return found


def _range(at: bytes, length: bytes | None) -> tuple[int, int]:
    """Of no lines at all, git names the one before."""
    count = 1 if length is None else int(length)
    start = int(at) - 1 if count else int(at)
    return start, start + count


def name_places(dropped: Mapping[str, Sequence[int]]) -> str:
    """For a person: files, and where in them."""
    places = [f"{path} ({_lines(lines)})" for path, lines in sorted(dropped.items())]
    return _few(places, " files")


def _lines(lines: Sequence[int]) -> str:
    return f"{'line' if len(lines) == 1 else 'lines'} {_few([str(line) for line in lines])}"


def _few(names: Sequence[str], kind: str = "") -> str:
    left = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f" and {left} more{kind}" if left > 0 else "")


def _stages(parts: Iterable[str]) -> dict[str, dict[str, str]]:
    """The objects of files in conflict by path and stage, of what git says up to an empty piece."""
    found = defaultdict[str, dict[str, str]](dict)
    for part in parts:
        if not part:
            break
        about, _, path = part.partition("\t")
        mode, oid, stage = about.split()
        if mode in _REGULAR:
            found[path][stage] = oid
    return found


async def _changed(repo: Repo, tree: str, commit: str) -> dict[str, tuple[str, str]]:
    """The files that a commit has otherwise than a tree, as they are in both."""
    out = await repo.git("diff-tree", "-r", "-z", "--raw", "--no-renames", tree, commit)
    parts = iter(out.parts)
    found = {}
    for about, path in zip(parts, parts, strict=True):
        _, mode, old, new, _ = about.split()
        if mode in _REGULAR:
            found[path] = old, new
    return found


async def _tree(repo: Repo, blobs: Iterable[str]) -> str:
    """One tree of many files, so that git is asked about all at once; their names are numbers."""
    entries = "".join(f"100644 blob {oid}\t{at}\n" for at, oid in enumerate(blobs))
    return (await repo.git("mktree", stdin=entries.encode())).text


async def _compare(repo: Repo, old: str, new: str) -> dict[int, list[Hunk]]:
    return parse((await repo.git(*_DIFF, old, new)).stdout)
