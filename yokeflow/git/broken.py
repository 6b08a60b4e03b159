"""Refs of ours that lead to nothing.

Somebody's `git gc --prune=now` may take what is new in the moment in which it is kept. With such a ref, git
neither shows `git log --all` nor collects garbage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yokeflow.git.repo import Repo

_OURS = "refs/yoke/"


async def drop_broken_refs(repo: Repo) -> Sequence[str]:
    """Remove those below `refs/yoke/` whose objects are gone; a line for each."""
    refs = await repo.refs(_OURS)
    if not refs:
        return ()
    asked = "".join(f"{oid}\n" for oid in refs.values()).encode()
    said = (await repo.git("cat-file", "--batch-check=%(objectname)", stdin=asked)).text.splitlines()
    missing = {line.removesuffix(" missing") for line in said if line.endswith(" missing")}
    gone = {ref: oid for ref, oid in refs.items() if oid in missing}
    for ref, oid in gone.items():
        await repo.delete_ref(ref, oid)
    return [f"{ref} led to {oid[:12]}, which a git gc has taken: removed" for ref, oid in gone.items()]
