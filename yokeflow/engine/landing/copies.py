"""Copies of what landings wrote, since a garbage collection that began before may still delete it.

`git gc --prune=now`, as an agent may run it, looks up what refs lead to and then deletes everything else. A
target that is moved in between would lead to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from yokeflow.engine.landing.queue import Member
    from yokeflow.git.repo import Repo

#: A collection deletes soon after it has looked; what was written long before it spares.
_MOST: Final = 16


class Copies:
    """What the latest landings of a run wrote, each as a pack in memory."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._packs: dict[tuple[str, ...], bytes] = {}

    async def take(self, members: Sequence[Member]) -> None:
        """Copy what is in a merge and in none of its sides. Raises GitError where some of it is gone."""
        last = members[-1].commit
        if last == members[0].old:
            return
        revisions = [last, f"^{members[0].old}", *(f"^{member.tip}" for member in members)]
        flags = ("-q", "--revs", "--stdout")
        out = await self._repo.git("pack-objects", *flags, stdin="\n".join([*revisions, ""]).encode())
        self._packs[tuple(member.commit for member in members)] = out.stdout
        while len(self._packs) > _MOST:
            del self._packs[next(iter(self._packs))]

    async def restore(self) -> None:
        """Write again what is gone."""
        # The next epic may pass its checks meanwhile.
        for commits, pack in tuple(self._packs.items()):
            if [each for each in commits if await self._repo.object(f"{each}^{{tree}}") is None]:
                await self._repo.git("unpack-objects", "-q", stdin=pack)
