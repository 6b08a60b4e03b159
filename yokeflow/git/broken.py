"""Refs of ours that lead to nothing.

Somebody's `git gc --prune=now` may take what is new in the moment in which it is kept. With such a ref, git
neither shows `git log --all` nor collects garbage.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from yokeflow.git.repo import Repo

_OURS = "refs/yoke/"
#: Git follows folders that borrow from others no further.
_DEEPEST = 6


async def drop_broken_refs(repo: Repo) -> Sequence[str]:
    """Remove those below `refs/yoke/` whose objects are gone; a line for each.

    None where objects are borrowed from a folder that is not there now: it may be of a disk that comes back.
    """
    refs = await repo.refs(_OURS)
    if not refs or any(not folder.is_dir() for folder in _borrowed(repo.common_dir / "objects")):
        return ()
    asked = "".join(f"{oid}\n" for oid in refs.values()).encode()
    said = (await repo.git("cat-file", "--batch-check=%(objectname)", stdin=asked)).text.splitlines()
    missing = {line.removesuffix(" missing") for line in said if line.endswith(" missing")}
    gone = {ref: oid for ref, oid in refs.items() if oid in missing}
    for ref, oid in gone.items():
        await repo.delete_ref(ref, oid)
    return [f"{ref} led to {oid}, which a git gc has taken: removed" for ref, oid in gone.items()]


def _borrowed(objects: Path, depth: int = _DEEPEST) -> Iterator[Path]:
    """The folders from which git takes objects that are not in this one.

    A name in quotes is given as it stands, so it counts as one that is not there.
    """
    try:
        lines = (objects / "info" / "alternates").read_bytes().splitlines() if depth else []
    except OSError:
        return
    for line in lines:
        if line and not line.startswith(b"#"):
            yield (folder := objects / os.fsdecode(line))
            yield from _borrowed(folder, depth - 1)
