"""Do what a commit did on top of another one, without a checkout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.git.commits import commit_tree
from yokeflow.git.merge import Merged, merge_trees

if TYPE_CHECKING:
    from yokeflow.git.repo import Repo

_AUTHOR = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_AUTHOR_DATE")


async def pick(repo: Repo, onto: str, commit: str) -> tuple[str | None, Merged]:
    """The commit that does on top of `onto` what `commit`, with one parent, did; None where that conflicts.

    Author and message stay. Moves no ref. A base of a merge can be named to newer versions of git alone, so
    both sides get the files of the parent as their only history.
    """
    base = await commit_tree(repo, await repo.tree_of(f"{commit}^"), [], b"base")
    sides = [await commit_tree(repo, await repo.tree_of(one), [base], b"side") for one in (onto, commit)]
    merged = await merge_trees(repo, *sides)
    if merged.tree is None:
        return None, merged
    said = await repo.git(
        "log", "-1", "--encoding=UTF-8", "--format=%an%x00%ae%x00%ad%x00%B", "--date=raw", commit
    )
    *author, message = said.stdout.decode(errors="replace").split("\0")
    env = {**await repo.identity(), **dict(zip(_AUTHOR, author, strict=True))}
    picked = await commit_tree(repo, merged.tree, [onto], message.rstrip("\n").encode() + b"\n", env=env)
    return picked, merged
