"""Worktrees for checks of what is about to land: kept from one to the next, and of no value."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from yokeflow.errors import GitError
from yokeflow.git import restore, submodules
from yokeflow.git.checkouts import Checkout, find, linked
from yokeflow.git.save import is_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from yokeflow.git.worktrees import Worktrees

_NAME = ".landing"


class Scratch:
    """The scratch worktrees of one folder."""

    def __init__(self, trees: Worktrees) -> None:
        self._trees = trees

    async def open(self, commit: str, slot: int = 1, *, keep: Sequence[str] | None = None) -> Path:
        """A detached worktree with exactly `commit` in it, one for each `slot`, from 1.

        Ignored files stay; given `keep`, only those that its patterns match.
        """
        name = _NAME if slot == 1 else f"{_NAME}-{slot}"
        path = self._trees.folder / name
        checkout = find(self._trees.repo, path)
        if checkout is None or not await self._moved(checkout, commit, keep):
            await self._remove(path)
            await self._trees.add(path, name, ("--detach",), commit)
        else:
            await submodules.fill(checkout)
        return path

    async def close(self) -> None:
        """Remove them all."""
        folder = self._trees.folder
        known = {checkout.path for checkout in linked(self._trees.repo) if checkout.path.parent == folder}
        for path in {*folder.glob(f"{_NAME}*"), *(path for path in known if path.name.startswith(_NAME))}:
            await self._remove(path)

    async def _moved(self, checkout: Checkout, commit: str, keep: Sequence[str] | None) -> bool:
        """Bring a worktree to `commit`; False when it is not fit for that."""
        if not (is_folder(checkout.path) and self._trees.is_ready(checkout) and checkout.is_whole()):
            return False
        try:
            checkout.relink()
            await restore.put_back(checkout, "", commit)
            if keep is not None:
                await restore.forget_ignored(checkout, keep)
        except (GitError, OSError):
            return False
        return True

    async def _remove(self, path: Path) -> None:
        # A folder that nobody may move is in nobody's way until the next landing says so.
        with suppress(OSError):
            await self._trees.remove(find(self._trees.repo, path), path)
