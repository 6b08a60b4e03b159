"""Merge commits without a checkout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from yokeflow.errors import GitError, RepositoryError
from yokeflow.git.advance import Advance, advance, finish_advance
from yokeflow.git.commits import commit_tree

if TYPE_CHECKING:
    from yokeflow.git.repo import Repo

__all__ = ["Advance", "Merged", "advance", "commit_merge", "finish_advance", "merge_trees"]


@dataclass(frozen=True, slots=True)
class Merged:
    """The outcome of a merge of two commits."""

    #: None when they conflict.
    tree: str | None
    #: Paths that conflict.
    conflicts: tuple[str, ...]
    #: What git says about them.
    output: str


async def merge_trees(repo: Repo, ours: str, theirs: str) -> Merged:
    """Merge two commits into a tree. Touches no checkout, no index, no ref.

    Raises RepositoryError when they share no history, as in a clone that is too shallow.
    """
    try:
        out = await repo.git("merge-tree", "--write-tree", "--name-only", "-z", ours, theirs, ok=(0, 1))
    except GitError as error:
        if "unrelated histories" not in error.stderr:
            raise
        raise await _unrelated(repo, ours, theirs) from error
    if not out.stdout:
        # Git says 1 here too when a commit does not exist.
        raise GitError(("merge-tree", ours, theirs), out.returncode, out.stderr)
    # The tree and the paths in conflict, an empty piece, then the messages.
    tree, *rest = out.parts
    end = rest.index("") if "" in rest else len(rest)
    paths = tuple(dict.fromkeys(rest[:end]))
    return Merged(None if out.returncode else tree, paths, _messages(rest[end + 1 :]))


def _messages(parts: list[str]) -> str:
    """The texts of `<number of paths> <path>… <type> <text>` pieces."""
    texts = []
    at = 0
    while at < len(parts) and parts[at].isdigit():
        at += int(parts[at]) + 2
        texts.append(parts[at].rstrip("\n"))
        at += 1
    return "\n".join(texts)


async def _unrelated(repo: Repo, ours: str, theirs: str) -> RepositoryError:
    shallow = await repo.git("rev-parse", "--is-shallow-repository")
    hint = "get the rest of the history: git fetch --unshallow" if shallow.text == "true" else ""
    return RepositoryError(f"{ours[:12]} and {theirs[:12]} have no common history here", hint=hint)


async def commit_merge(
    repo: Repo, ours: str, theirs: str, message: str, *, tree: str, squash: bool = False
) -> str:
    """Commit `tree`, the merge of two commits, onto `ours`; `squash` leaves `theirs` out of the parents.

    Moves no ref.
    """
    parents = [ours] if squash else [ours, theirs]
    return await commit_tree(repo, tree, parents, message.encode())
