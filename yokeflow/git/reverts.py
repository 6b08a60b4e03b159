"""Take commits back by new ones, and find out which were taken back, by us or by a person.

A commit is taken back by merging the commit that turns it around: one with the files of its parent, as its
child. What was built on it meanwhile is the other side of an ordinary merge, with the commit itself as their
base; so nothing is checked out, and every git that merges trees can do it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from yokeflow.git.commits import commit_tree
from yokeflow.git.merge import merge_trees

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from yokeflow.git.repo import Repo

#: Commits that say that they take others back.
_TELLING = ("--grep=^Yoke-Undoes: ", "--grep=^This reverts commit ")
_FIELDS = "%x00".join(
    (
        "%H",
        *(
            f"%(trailers:key={name},valueonly,separator=%x20)"
            for name in ("Yoke-Undoes", "Yoke-Run", "Yoke-Task")
        ),
        "%b",
    )
)
_REVERTS = re.compile(r"^This reverts commit ([0-9a-f]{40}(?:[0-9a-f]{24})?)\b", re.MULTILINE)
_OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True, slots=True)
class Revert:
    """A commit that takes others back."""

    commit: str
    #: What it takes back: any commits, also earlier reverts.
    of: tuple[str, ...]
    #: `yoke undo` made it.
    ours: bool
    #: The id of that undo.
    operation: str


@dataclass(frozen=True, slots=True)
class TakenBack:
    """The outcome of taking commits back."""

    #: The files without them; None when later changes are in the way.
    tree: str | None
    #: The commit that could not be taken back, and the paths in which it conflicts.
    commit: str = ""
    conflicts: tuple[str, ...] = ()


class Reverts:
    """What was taken back on a branch."""

    def __init__(self, reverts: Sequence[Revert]) -> None:
        self._reverts = reverts
        self._by: dict[str, list[Revert]] = {}
        for revert in reverts:
            for commit in revert.of:
                self._by.setdefault(commit, []).append(revert)

    def __iter__(self) -> Iterator[Revert]:
        return iter(self._reverts)

    def of(self, commit: str) -> Revert | None:
        """What takes a commit back now; None when it stands, also because its revert was taken back."""
        return next(
            (revert for revert in reversed(self._by.get(commit, ())) if not self.of(revert.commit)), None
        )


def undo_id(named: str, commit: str) -> str:
    """The id of an undo: as its commit names it, else made from the commit, so that it is always the same."""
    return named or str(uuid5(NAMESPACE_URL, commit))


async def find_reverts(repo: Repo, tip: str, since: str = "") -> Reverts:
    """The commits in `tip`, but not in `since`, that take others back.

    What agents take back is their work, and not counted.
    """
    flags = (
        "-z",
        "-E",
        "--topo-order",
        "--reverse",
        "--encoding=UTF-8",
        *_TELLING,
        f"--format=tformat:{_FIELDS}",
    )
    out = await repo.git("log", *flags, tip, *([f"^{since}"] if since else []))
    found = []
    for at in range(0, len(out.parts) - 4, 5):
        commit, undoes, operation, task, body = out.parts[at : at + 5]
        of = _OID.findall(undoes) or _REVERTS.findall(body)
        if of and not task.strip():
            ours = bool(undoes.strip())
            name = undo_id(operation.strip() if ours else "", commit)
            found.append(Revert(commit, tuple(dict.fromkeys(of)), ours, name))
    return Reverts(found)


async def find_reverts_after(
    repo: Repo, tip: str, commits: Iterable[str | None], places: Mapping[str, int]
) -> Reverts:
    """The same since the oldest of `commits`; since ever where none is in `tip`, as its `positions` tell."""
    there = [commit for commit in commits if commit and commit in places]
    return await find_reverts(repo, tip, max(there, key=lambda commit: places[commit], default=""))


async def inverse(repo: Repo, commit: str, message: str = "") -> str:
    """A child of `commit` with the files of its first parent. No ref leads to it."""
    tree = await repo.tree_of(f"{commit}^1")
    return await commit_tree(repo, tree, [commit], (message or f"Turn {commit[:12]} around").encode())


async def take_back(repo: Repo, tip: str, commits: Sequence[str]) -> TakenBack:
    """The files of `tip` without what `commits`, all in it and the newest first, brought. Moves no ref."""
    tree = await repo.tree_of(tip)
    for commit in commits:
        merged = await merge_trees(repo, tip, await inverse(repo, commit))
        if merged.tree is None:
            return TakenBack(None, commit, merged.conflicts)
        tree = merged.tree
        tip = await commit_tree(repo, tree, [tip], f"Without {commit[:12]}".encode())
    return TakenBack(tree)


async def positions(repo: Repo, tip: str) -> Mapping[str, int]:
    """Every commit in `tip` with its place: 0 for the newest."""
    out = await repo.git("rev-list", "--topo-order", tip)
    return {commit: place for place, commit in enumerate(out.text.split())}
