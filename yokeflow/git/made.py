"""Which commits came to a repository's branches, whoever made them, and which went."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from yokeflow.git.repo import Repo

_FIELDS = "%H%x00%P%x00%an%x00%cI%x00%B"
_SIZE = 5
_TASK = re.compile(r"^yoke-task:[ \t]*(\S+)[ \t]*$", re.MULTILINE | re.IGNORECASE)
_SESSION = re.compile(r"^yoke-session:[ \t]*(\S+)[ \t]*$", re.MULTILINE | re.IGNORECASE)
_OURS = re.compile(
    r"^yoke-(?:run|taken|conflicts):|\AJoin \S+ into \S+\n*\Z|\ATake up \S+\n+Yoke-Task: \S+\n*\Z",
    re.MULTILINE | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Made:
    """A commit as its maker left it."""

    oid: str
    parents: tuple[str, ...]
    author: str
    at: datetime
    message: str
    #: Short name of the branch on which it was found; empty for none.
    branch: str
    #: Only a hook saw it: no branch that moved has it.
    loose: bool = False

    @property
    def subject(self) -> str:
        """The first line of the message."""
        return self.message.partition("\n")[0]


def named_tasks(message: str) -> list[str]:
    """The tasks that the message of a commit names, however its trailer is spelt."""
    return _TASK.findall(message)


def sessions_of(message: str) -> list[str]:
    """The sessions of agents that the message of a commit names."""
    return _SESSION.findall(message)


def writer_of(message: str) -> str:
    """Who made a commit, by its message: `yoke`, `agent` or `person`."""
    return "yoke" if _OURS.search(message) else "agent" if _SESSION.search(message) else "person"


async def came(
    repo: Repo, old: Mapping[str, str], new: Mapping[str, str], seen: Mapping[str, str], first: Sequence[str]
) -> list[Made]:
    """Commits that branches have at `new` and had not at `old`, oldest first, each once.

    `seen` are commits that may be on no branch any more, with the branch on which they were made. A commit on
    several branches counts for one whose name begins with one of `first`, if there is one.
    """
    known = set(old.values())
    moved = [ref for ref, oid in new.items() if old.get(ref) != oid and oid not in known]
    moved.sort(key=lambda ref: not ref.startswith(tuple(first)))
    found: dict[str, Made] = {}
    for ref in moved:
        found |= {made.oid: made for made in await _log(repo, [new[ref]], known, ref)}
        known.add(new[ref])
    lost = {oid: ref for oid, ref in seen.items() if oid not in found}
    if lost:
        # One that is not in this repository is passed over.
        for made in await _log(repo, lost, known, ""):
            found[made.oid] = replace(_on(made, lost.get(made.oid, "")), loose=True)
    return list(found.values())


async def went(repo: Repo, old: Mapping[str, str], new: Mapping[str, str]) -> set[str]:
    """Commits that branches had at `old` and that nothing in the repository has any more."""
    moved = {oid for ref, oid in old.items() if new.get(ref) != oid} - set(new.values())
    if not moved:
        return set()
    revisions = "".join(f"{oid}\n" for oid in sorted(moved))
    flags = ("--ignore-missing", "--stdin", "--not", "--all")
    return set((await repo.git("rev-list", *flags, stdin=revisions.encode())).text.split())


def _on(made: Made, ref: str) -> Made:
    return replace(made, branch=ref.removeprefix("refs/heads/"))


async def _log(repo: Repo, tips: Iterable[str], known: Iterable[str], ref: str) -> list[Made]:
    revisions = "".join([*(f"{oid}\n" for oid in tips), *(f"^{oid}\n" for oid in sorted(known))])
    flags = ("-z", "--topo-order", "--reverse", "--ignore-missing", f"--format=tformat:{_FIELDS}")
    out = await repo.git("log", *flags, "--encoding=UTF-8", "--stdin", stdin=revisions.encode())
    return [_on(made, ref) for made in _parsed(out.parts)]


def _parsed(parts: Sequence[str]) -> Iterator[Made]:
    for at in range(0, len(parts), _SIZE):
        oid, parents, author, when, message = parts[at : at + _SIZE]
        yield Made(oid, tuple(parents.split()), author, datetime.fromisoformat(when), message, "")
