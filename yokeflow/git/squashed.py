"""The history of epics that landed as one commit each.

A squash drops the commits of the epic that landed. Merged with work that was built on those, git would take
both for independent changes of the same lines. So every squash has a commit beside the target that has the
landing and the epic's own commits as parents, and the files of the landing. It is kept, and becomes a parent
of what is merged on the side that has the landing in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from yokeflow.git.commits import commit_tree
from yokeflow.git.repo import KEPT_LANDED

if TYPE_CHECKING:
    from collections.abc import Collection

    from yokeflow.git.repo import Repo

_MESSAGE = b"History of squashed landings"


async def keep_squashed(repo: Repo, epic: str, landing: str, tip: str) -> None:
    """Keep an epic's own commits, up to `tip`, where its `landing` has their work but not them.

    Only once it has landed: what is kept there counts as being on the target.
    """
    if not await repo.is_ancestor(tip, landing):
        await repo.keep(f"landed/{epic}", await squash_history(repo, landing, tip))


async def squash_history(repo: Repo, landing: str, tip: str) -> str:
    """The commit that joins a squash with what was squashed; always the same one for the same two."""
    at = f"@{(await repo.git('log', '-1', '--format=%ct', '--end-of-options', landing)).text} +0000"
    ours = {"NAME": "YokeFlow", "EMAIL": "yoke@localhost", "DATE": at}
    env = {f"GIT_{who}_{key}": value for who in ("AUTHOR", "COMMITTER") for key, value in ours.items()}
    return await commit_tree(repo, await repo.tree_of(landing), [landing, tip], _MESSAGE, env=env)


async def with_history(repo: Repo, commit: str, epics: Collection[str], ahead: Collection[str] = ()) -> str:
    """A commit with the same files as `commit`, from which git finds what squashed landings in it contain.

    `epics` are those that matter, and `ahead` the `squash_history` of some that have not landed yet. Gives
    `commit` itself where nothing was squashed: a landing that is not in it is left out, since git would take
    what is not in `commit` for removed.
    """
    missing = [
        history
        for history in (*await squash_histories(repo, epics), *ahead)
        if await _landing_in(repo, history, commit) and not await repo.is_ancestor(history, commit)
    ]
    if not missing:
        return commit
    return await commit_tree(repo, await repo.tree_of(commit), [commit, *missing], _MESSAGE)


async def _landing_in(repo: Repo, history: str, commit: str) -> bool:
    landing = await repo.resolve(f"{history}^1")
    return landing is not None and await repo.is_ancestor(landing, commit)


async def squash_histories(repo: Repo, epics: Collection[str]) -> list[str]:
    """What `keep_squashed` has kept of some epics."""
    kept = await repo.refs(KEPT_LANDED) if epics else {}
    return sorted({oid for ref, oid in kept.items() if epic_of(ref) in epics})


def epic_of(ref: str) -> str:
    """The epic whose history a ref keeps; a second history of the same epic has its commit in the name."""
    return re.sub(r"-[0-9a-f]{12,}$", "", ref.removeprefix(KEPT_LANDED))
