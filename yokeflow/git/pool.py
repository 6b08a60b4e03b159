"""Worktrees that wait, ready, for the next lane; and lanes that are over, until their files are used again.

A worktree that git makes costs a tenth of a second and more; one from the pool, a rename and one command.
What an agent may have left in a lane must not reach the next one. So only the files of a lane are used again,
after a look at each of them, and never its git folder: that of a ready worktree is always new, and with it
configuration, refs, logs, index, hooks and operations in progress.

On disk: `.closed/` has lanes that are over and whose uncommitted work may not have been kept yet. Everything
in `.pool/` is worth nothing. So whatever a crash leaves is put right by keeping the one and removing both.
"""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from yokeflow.errors import YokeError
from yokeflow.files import write_whole
from yokeflow.git import restore
from yokeflow.git.checkouts import Checkout, find, linked
from yokeflow.git.locks import end_idle_git, in_use_reason, is_ours
from yokeflow.git.ready import Maker
from yokeflow.git.save import is_anything, is_folder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from yokeflow.git.ready import Ready
    from yokeflow.git.worktrees import Worktrees

#: Below that, git makes a worktree about as fast.
WORTH_IT = 1000
#: Between two pieces of work, so that whoever waits for the disk or for a lock comes first.
_PAUSE = 0.05
#: A name that git would give a worktree's git folder just so.
_SIMPLE = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_+=-]|\.(?!\.|lock$|$))*")


class Pool:
    """The pool of one folder of worktrees. Works in the background while `working`; else it is empty."""

    def __init__(self, trees: Worktrees) -> None:
        self._trees = trees
        self._repo = trees.repo
        self.folder = trees.folder / ".pool"
        self.closed = trees.folder / ".closed"
        self._maker = Maker(trees, self.folder)
        self._ready: list[Ready] = []
        self._size = 0
        self._coming = 0
        self._start = ""
        self._wake = asyncio.Event()

    @property
    def ready(self) -> int:
        """How many worktrees wait."""
        return len(self._ready)

    @asynccontextmanager
    async def working(self, size: int, start: str, *, least: int = WORTH_IT) -> AsyncIterator[None]:
        """While the block runs, keep up to `size` worktrees ready at the tip of branch `start`.

        Does nothing in a repository of less than `least` files, or where worktrees are not all alike.
        """
        worker = None
        if size and await self._maker.pays(start, least):
            self._size, self._start = size, start
            worker = asyncio.create_task(self._work(), name="worktree pool")
        try:
            yield
        finally:
            self._size = 0
            if worker is not None:
                worker.cancel()
                # It may take long to get the time for something that nobody needs any more.
                await asyncio.to_thread(end_idle_git, self.folder)
                await asyncio.wait({worker})

    def closed_lanes(self) -> list[Path]:
        """Folders of lanes that are over and not gone yet."""
        return _inside(self.closed)

    def expect(self, count: int) -> None:
        """How many lanes are still to be opened; no more worktrees than that wait."""
        self._coming = count
        self.wake()

    def wake(self) -> None:
        """Look again at what there is to do."""
        self._wake.set()

    async def take(self, path: Path, lane: str, branch: str, commit: str) -> bool:
        """Make a waiting worktree that of a lane, on a new branch at `commit`; False when there is none."""
        if not self._ready or is_anything(path) or await self._repo.branch(branch):
            return False
        one = await self._pick(commit)
        if one is None:
            return False
        try:
            await self._hand_over(one, path, lane, branch, commit)
        except (YokeError, OSError):
            await self._trees.remove(one.checkout, one.checkout.path)
            await self._trees.remove(find(self._repo, path), path)
            return False
        self.wake()
        return True

    async def _pick(self, commit: str) -> Ready | None:
        """The worktree that is nearest to the commit and still as it was made."""
        settings = await self._maker.settings()
        for one in sorted(self._ready, key=lambda each: each.commit != commit):
            # Another lane may have taken it while this one waited.
            fits = one in self._ready and await self._maker.leads_to(one, commit)
            if fits and one in self._ready:
                self._ready.remove(one)
                if self._maker.is_intact(one, settings):
                    return one
        return None

    async def _hand_over(self, one: Ready, path: Path, lane: str, branch: str, commit: str) -> None:
        async with self._trees.exclusive():
            checkout = self._move(one.checkout, path)
        if one.commit != commit:
            await checkout.git(*restore.WORKERS, "reset", "-q", "--hard", commit)
        (checkout.git_dir / "ORIG_HEAD").unlink(missing_ok=True)
        await checkout.git("switch", "-q", "-c", branch)
        _begin_log(checkout.git_dir / "logs" / "HEAD")
        self._trees.mark_ready(checkout, lane)
        (checkout.git_dir / "locked").unlink()

    def _move(self, checkout: Checkout, path: Path) -> Checkout:
        """Give a worktree another place, and its git folder the name that git would have given it there.

        The folder goes last: before that, what a crash leaves lies in the pool and is removed.
        """
        git_dir = checkout.git_dir
        _write(git_dir / "gitdir", f"{path / '.git'}\n")
        better = git_dir.with_name(path.name)
        if _SIMPLE.fullmatch(path.name) and not is_anything(better):
            git_dir = git_dir.rename(better)
            _write(checkout.path / ".git", f"gitdir: {git_dir}\n")
        checkout.path.rename(path)
        return Checkout(self._repo, path, git_dir)

    async def retire(self, lane: str) -> bool:
        """Take the worktree of a lane that is over out of the way, and leave the rest to the background.

        False when that is not possible, and the lane is still there.
        """
        trees, path = self._trees, self._trees.path(lane)
        checkout = find(self._repo, path)
        if not self._size or checkout is None or not is_folder(path):
            return False
        reason = trees.locked(checkout)
        if not (trees.is_ready(checkout) and checkout.is_whole()) or (reason and not is_ours(reason)):
            return False
        head = await checkout.head()
        # What comes back to a branch later holds it as well.
        if head is None or checkout.in_progress():
            return False
        try:
            checkout.remove_locks()
            # Its branch is about to go.
            await checkout.git("update-ref", "--no-deref", "-m", "yoke: close", "HEAD", head)
            async with trees.exclusive():
                self.closed.mkdir(exist_ok=True)
                folder = path.rename(self.closed / os.urandom(6).hex())
                write_whole(checkout.git_dir / "gitdir", f"{folder / '.git'}\n")
        except (YokeError, OSError):
            return False
        self.wake()
        return True

    async def empty(self) -> None:
        """Keep what closed lanes have that is nowhere else, then remove them and everything that waits.

        What a person has locked, or is in, stays. Not while `working`. Raises RepositoryError for what cannot
        be moved.
        """
        self._ready.clear()
        if is_folder(self.folder):
            # Git outlives a run that is killed.
            await asyncio.to_thread(end_idle_git, self.folder)
        for folder in self.closed_lanes():
            await self._bury(folder)
        for folder in _inside(self.folder):
            checkout = find(self._repo, folder)
            if not self._maker.is_held(checkout or Checkout(self._repo, folder, folder)):
                await self._trees.remove(checkout, folder)
        for checkout in linked(self._repo):
            gone = not is_anything(checkout.path)
            if gone and checkout.path.parent in {self.folder, self.closed}:
                await self._trees.remove(checkout, checkout.path)
        for folder in (self.folder, self.closed):
            with suppress(OSError):
                folder.rmdir()

    async def _bury(self, folder: Path) -> None:
        """Keep what a closed lane has, and remove it."""
        await self._trees.discard(folder, self._lane_of(self._found(folder), folder))

    def _found(self, folder: Path) -> Checkout | None:
        """The checkout of a closed lane, also when a crash came before its git folder knew its place."""
        checkout = find(self._repo, folder)
        if checkout is not None and not checkout.is_whole():
            # Whatever an agent has put in its place.
            write_whole(checkout.git_dir / "gitdir", f"{folder / '.git'}\n")
        return checkout

    def _lane_of(self, checkout: Checkout | None, folder: Path) -> str:
        return (self._trees.lane_of(checkout) if checkout else "") or folder.name

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            # Whoever waits for a worktree comes first; the end of that wakes us.
            if self._trees.adding:
                continue
            try:
                if await self._do_something():
                    self.wake()
            except (YokeError, OSError):
                # Without a pool everything works, only slower; what is closed waits for `empty`.
                self._size = 0
                return
            await asyncio.sleep(_PAUSE)

    async def _do_something(self) -> bool:
        """One piece of work; False when there is none."""
        commit = await self._repo.branch(self._start)
        if commit is None:
            return False
        wanted = min(self._size, self._coming)
        if closed := self.closed_lanes():
            await self._use_again(closed[0], commit, needed=len(self._ready) < wanted)
            return True
        old = next((one for one in self._ready[:wanted] if one.commit != commit), None)
        if old is not None:
            self._ready.remove(old)
            self._put(await self._maker.bring_forward(old, commit))
        elif len(self._ready) < wanted:
            self._put(await self._maker.make(commit))
        else:
            return False
        return True

    async def _use_again(self, folder: Path, commit: str, *, needed: bool) -> None:
        """Make a worktree of a closed lane, or remove it."""
        checkout = self._found(folder)
        fit = needed and checkout is not None and await self._maker.can_reuse(checkout, commit)
        if fit and checkout and await self._trees.rescued(checkout, self._lane_of(checkout, folder)):
            self._put(await self._maker.reuse(checkout, commit))
        else:
            await self._bury(folder)

    def _put(self, one: Ready | None) -> None:
        if one is None:
            return
        # Else git would prune it in the moment in which it names no folder; and making files takes time then.
        (one.checkout.git_dir / "locked").write_text(in_use_reason(), encoding="utf-8")
        self._trees.mark_ready(one.checkout, "")
        self._ready.append(one)


def _begin_log(log: Path) -> None:
    """Let the log of HEAD start where the lane does, so that `git switch -` leads nowhere."""
    with suppress(FileNotFoundError):
        *_, last = log.read_bytes().splitlines()
        _, new, rest = last.split(b" ", 2)
        log.write_bytes(b"%s %s %s\n" % (b"0" * len(new), new, rest.partition(b"\t")[0]))


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if is_folder(folder) else []


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", errors="surrogateescape")
