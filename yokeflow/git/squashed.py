"""The history of epics that landed as one commit each.

A squash drops the commits of the epic that landed. Merged with work that was built on those, git would take
both for independent changes of the same lines. So those commits are kept, and where a merge needs it, a
commit that has the landing and them as parents, and the files of the landing, becomes a parent of what is
merged.

Kept are commits that were there before: one that is new when it is kept may be taken by somebody's
`git gc --prune=now` at the same moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.git.commits import commit_tree
from yokeflow.git.repo import KEPT_SQUASHED

if TYPE_CHECKING:
    from collections.abc import Collection

    from yokeflow.git.repo import Repo

_MESSAGE = b"History of squashed landings"


async def keep_squashed(repo: Repo, epic: str, landing: str, tip: str) -> None:
    """Keep an epic's own commits, up to `tip`, where its `landing` has their work but not them.

    Only once it has landed: what is kept there counts as being on the target.
    """
    if not await repo.is_ancestor(tip, landing):
        await repo.keep(f"squashed/{epic}/{landing}", tip)


async def squash_history(repo: Repo, landing: str, tip: str) -> str:
    """The commit that joins a squash with what was squashed; always the same one for the same two."""
    at = f"@{(await repo.git('log', '-1', '--format=%ct', '--end-of-options', landing)).text} +0000"
    ours = {"NAME": "YokeFlow", "EMAIL": "yoke@localhost", "DATE": at}
    env = {f"GIT_{who}_{key}": value for who in ("AUTHOR", "COMMITTER") for key, value in ours.items()}
    return await commit_tree(repo, await repo.tree_of(landing), [landing, tip], _MESSAGE, env=env)


async def with_history(
    repo: Repo, commit: str, epics: Collection[str], ahead: Collection[tuple[str, str]] = ()
) -> str:
    """A commit with the same files as `commit`, from which git finds what squashed landings in it contain.

    `epics` are those that matter, and `ahead` landings that are still to come, each with what it squashes.
    Gives `commit` itself where nothing was squashed. A landing that is not in `commit` is left out: git would
    take what is not there for removed.
    """
    missing: list[str] = []
    for landing, tip in (*await squashed(repo, epics), *ahead):
        if await repo.is_ancestor(landing, commit) and not await repo.is_ancestor(tip, commit):
            missing.append(await squash_history(repo, landing, tip))
    if not missing:
        return commit
    return await commit_tree(repo, await repo.tree_of(commit), [commit, *missing], _MESSAGE)


async def squashed(repo: Repo, epics: Collection[str]) -> list[tuple[str, str]]:
    """The landings of some epics that were squashed and are there, each with the last commit of what was."""
    kept = await repo.refs(KEPT_SQUASHED) if epics else {}
    found = sorted((*_named(ref), tip) for ref, tip in kept.items())
    # Who takes a landing off the target may have it collected as garbage.
    return [(name, tip) for epic, name, tip in found if epic in epics and await repo.resolve(name)]


def landing_of(ref: str) -> str:
    """The landing whose history a ref keeps; empty for any other ref."""
    return _named(ref)[1] if ref.startswith(KEPT_SQUASHED) else ""


def _named(ref: str) -> tuple[str, str]:
    epic, _, landing = ref.removeprefix(KEPT_SQUASHED).partition("/")
    return epic, landing
