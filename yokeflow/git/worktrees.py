"""Lanes' worktrees: made, reused, repaired, put back and removed, without losing what is in them."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from yokeflow.errors import GitError, ProjectBusyError, RepositoryError
from yokeflow.files import remove_left, write_whole
from yokeflow.git import restore, submodules, trash, upkeep
from yokeflow.git.checkouts import Checkout, find, linked, set_aside
from yokeflow.git.locks import file_lock, in_use_reason, is_ours, user_of
from yokeflow.git.pool import Pool
from yokeflow.git.save import is_anything, is_folder, names_in, snapshot
from yokeflow.git.scratch import Scratch
from yokeflow.git.upkeep import Cleaned, Worktree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence
    from pathlib import Path

    from yokeflow.git.repo import Repo

__all__ = ["Cleaned", "Worktree", "Worktrees"]

_TRASH = ".trash"
#: In a worktree's git folder, once its files were all written: the lane it belongs to.
_READY = "yoke-lane"


class Worktrees:
    """The worktrees of one repository below one folder. One per process; safe for many lanes at once."""

    def __init__(self, repo: Repo, folder: Path) -> None:
        self.repo = repo
        self.folder = folder.resolve()
        self.trash = self.folder / _TRASH
        self.pool = Pool(self)
        #: For checks of what is about to land.
        self.scratch = Scratch(self)
        #: How many worktrees are being made right now.
        self.adding = 0
        self._one = asyncio.Lock()
        # More at once only makes each of them slower.
        self._few = asyncio.Semaphore(2 * (os.cpu_count() or 2))

    def path(self, lane: str) -> Path:
        """Where the lane's worktree is or will be."""
        name = quote(lane, safe=" ()+,=@~")
        return self.folder / (f"%2E{name[1:]}" if name.startswith(".") else name)

    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        """Nobody else adds or removes a worktree meanwhile: git fails when two do."""
        async with self._one, file_lock(self.repo.state_dir / "worktrees.lock"):
            yield

    async def open(self, lane: str, branch: str, base: str) -> Path:
        """The lane's worktree on `branch`, which starts at `base` if there is none.

        Created, repaired, or left as it is when it is whole; uncommitted work in a whole one stays. Raises
        ProjectBusyError while another process uses it, RepositoryError when the branch is in use elsewhere.
        """
        path = self.path(lane)
        checkout = await self._existing(path, lane, branch)
        if checkout is None:
            await self._create(path, lane, branch, base)
            return path
        whole = checkout.has_index() and not checkout.in_progress() and await checkout.head()
        if not whole or await checkout.branch() != branch:
            await self.reset(path, branch, await self._start(branch, base))
        return path

    @asynccontextmanager
    async def in_use(self, path: Path) -> AsyncIterator[None]:
        """While the block runs, a worktree is locked: neither git nor another YokeFlow removes it.

        The lock names this process, and counts for nothing once that has ended.
        """
        reason = in_use_reason()
        # A person's own lock stays, and does as well.
        if (checkout := find(self.repo, path)) and is_ours(self.locked(checkout) or reason):
            (checkout.git_dir / "locked").write_text(reason, encoding="utf-8")
        try:
            yield
        finally:
            # It may have vanished meanwhile, or have been made anew.
            checkout = find(self.repo, path)
            if checkout and self.locked(checkout) == reason:
                with suppress(OSError):
                    (checkout.git_dir / "locked").unlink()

    async def reset(self, path: Path, branch: str, commit: str) -> None:
        """Branch, HEAD, index and files exactly at `commit`; ignored files stay.

        Works also when the worktree is broken or gone. What would be lost is kept under `refs/yoke/keep/`.
        """
        lane = unquote(path.name)
        checkout = await self._existing(path, lane, branch)
        if checkout is None or not await self._put_back(checkout, lane, branch, commit):
            await restore.keep_lost(self.repo, lane, {await self.repo.branch(branch)}, branch, commit)
            if not await self.pool.take(path, lane, branch, commit):
                await self.add(path, lane, ("--no-track", "-B", branch), commit)

    async def _put_back(self, checkout: Checkout, lane: str, branch: str, commit: str) -> bool:
        """`reset` of a checkout that is there; False when that cannot be done, and nothing is left of it."""
        try:
            if await restore.is_back(checkout, branch, commit):
                return True
            await restore.rescue(checkout, lane, branch, instead=commit)
            async with self._few:
                await restore.put_back(checkout, branch, commit)
        except (GitError, OSError):
            # Whatever it is, such as a file that nobody may delete: a new one does not have it.
            await self.discard(checkout.path, lane)
            await self._release(lane, branch)
            return False
        await submodules.fill(checkout)
        return True

    async def adopt(self, path: Path, branch: str, base: str, before: Collection[str]) -> str | None:
        """Take over what the agent committed elsewhere; gives the commit at HEAD.

        When HEAD is detached or on another branch, `branch` moves to it and is checked out again, and that
        other branch is deleted unless it is in `before`: the names of all branches when the session started.
        None when HEAD does not descend from `base`, or nothing is left of the worktree.
        """
        checkout = find(self.repo, path)
        if checkout is None or not checkout.is_whole():
            return None
        return await restore.adopt(checkout, branch, base, before)

    async def close(self, lane: str) -> None:
        """Remove the worktree, not its branch. What was not committed is kept first."""
        await self.discard(self.path(lane), lane)

    async def retire(self, lane: str) -> None:
        """`close`, but what takes long is done later where a pool works. HEAD no longer holds the branch."""
        if not await self.pool.retire(lane):
            await self.close(lane)

    async def discard(self, path: Path, lane: str) -> None:
        """`close` by path, whatever state it is in. The files go to the trash in one rename."""
        checkout = find(self.repo, path)
        if checkout and not await self.rescued(checkout, lane):
            # Git works on nothing that is damaged: from here on it is a folder like any other.
            await self._forget(checkout, lane)
            checkout = None
        if checkout is None and is_folder(path):
            await self._keep_files(path, lane)
        try:
            await self.remove(checkout, path)
        except OSError as error:
            raise RepositoryError(
                f"{path} cannot be moved away: {error.strerror}", hint="remove that folder yourself"
            ) from error

    async def rescued(self, checkout: Checkout, lane: str) -> bool:
        """Keep what only this checkout has; False when it is too damaged to tell."""
        if not checkout.is_whole():
            return False
        try:
            checkout.remove_locks()
            files = is_folder(checkout.path) and self.is_ready(checkout)
            await restore.rescue(checkout, lane, "", files=files)
        except (GitError, OSError):
            return False
        return True

    async def _forget(self, checkout: Checkout, lane: str) -> None:
        """Take a damaged git folder away, with what its log says was at HEAD kept."""
        last = checkout.last_seen()
        async with self.exclusive():
            set_aside(checkout.git_dir, self.repo.state_dir / "trash")
        if last and await self.repo.resolve(last):
            await restore.keep_lost(self.repo, lane, {last}, "", None)

    async def remove(self, checkout: Checkout | None, path: Path) -> None:
        """Move a worktree away in two renames, whatever is in it."""
        async with self.exclusive():
            set_aside(path, self.trash)
            if checkout:
                set_aside(checkout.git_dir, self.repo.state_dir / "trash")

    async def ignore(self) -> None:
        """Make git ignore our folder, without touching the user's files."""
        if not self.folder.is_relative_to(self.repo.root) or self.folder.is_relative_to(self.repo.common_dir):
            return
        line = f"/{_escape(self.folder.relative_to(self.repo.root).as_posix())}/"
        exclude = self.repo.common_dir / "info" / "exclude"
        async with self.exclusive():
            remove_left(exclude.parent, {exclude.name})
            text = exclude.read_bytes() if exclude.is_file() else b""
            if os.fsencode(line) in text.splitlines():
                return
            exclude.parent.mkdir(exist_ok=True)
            ended = text if not text or text.endswith(b"\n") else text + b"\n"
            write_whole(exclude, ended + os.fsencode(line) + b"\n")

    async def empty_trash(self, within: float | None = None) -> int:
        """Delete for good what was removed; the number of things deleted. What nobody may delete stays.

        So does what is left after `within` seconds, until the next time.
        """
        until = None if within is None else monotonic() + within
        count = 0
        for path in self.removed():
            if until is None or monotonic() < until:
                count += await trash.delete(path, until)
        async with self.exclusive():
            for folder in (self.trash, self.repo.state_dir / "trash", self.folder):
                _remove_empty(folder)
        return count

    def removed(self) -> Sequence[Path]:
        """What was removed and is not deleted yet."""
        return trash.lying_in((self.repo.state_dir / "trash", self.trash))

    async def repair(self) -> Sequence[str]:
        """Put right what a crash or an agent left; a line for each thing done. Not while a run uses them."""
        return await upkeep.repair(self)

    async def clean(self, target: str, prefixes: Sequence[str], *, dry_run: bool = False) -> Cleaned:
        """Remove idle worktrees, and branches below `prefixes`, whose commits are in `target` or kept."""
        return await upkeep.clean(self, target, prefixes, dry_run=dry_run)

    def is_ready(self, checkout: Checkout) -> bool:
        """Whether all files were written once; else the making of it was interrupted."""
        # Git writes the index last; an agent may remove it.
        return any((checkout.git_dir / name).is_file() for name in (_READY, "index"))

    def mark_ready(self, checkout: Checkout, lane: str) -> None:
        """All files of the lane's worktree are written."""
        (checkout.git_dir / _READY).write_text(lane, encoding="utf-8")

    def lane_of(self, checkout: Checkout) -> str:
        """The lane that a worktree was made for; empty for none."""
        marker = checkout.git_dir / _READY
        return marker.read_text(encoding="utf-8", errors="replace") if marker.is_file() else ""

    def locked(self, checkout: Checkout) -> str | None:
        """Why it is locked; None when it is not."""
        try:
            return (checkout.git_dir / "locked").read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None

    async def _existing(self, path: Path, lane: str, branch: str) -> Checkout | None:
        """The lane's checkout, linked again if need be; None, the way clear, when it must be made anew."""
        checkout = find(self.repo, path)
        if checkout and (pid := user_of(self.locked(checkout) or "")):
            raise ProjectBusyError(f"process {pid} uses {path}", hint="wait for that run to end, or stop it")
        if checkout and is_folder(path) and self.is_ready(checkout) and checkout.is_whole():
            with suppress(OSError):
                checkout.relink()
                checkout.remove_locks()
                return checkout
        if checkout or is_anything(path):
            await self.discard(path, lane)
        await self._release(lane, branch)
        return None

    async def _release(self, lane: str, branch: str) -> None:
        """Let go of the branch where the agent took the lane's worktree elsewhere, or its folder is gone."""
        for checkout in linked(self.repo):
            reason = self.locked(checkout)
            others = reason is not None and (not is_ours(reason) or user_of(reason))
            if others or not await self._holds(checkout, lane, branch):
                continue
            await self.rescued(checkout, lane)
            await self._forget(checkout, lane)

    async def _holds(self, checkout: Checkout, lane: str, branch: str) -> bool:
        if owner := self.lane_of(checkout):
            return owner == lane
        return not is_anything(checkout.path / ".git") and await checkout.branch() == branch

    async def _keep_files(self, path: Path, lane: str) -> None:
        """Keep what is in a folder that is no worktree any more."""
        if names_in(path) <= {".git"}:
            return
        # Only its files count: compared with nothing, on top of whatever the main checkout has.
        folder = Checkout(self.repo, path, self.repo.common_dir)
        # What cannot be kept is in the trash at least, until the run ends.
        with suppress(GitError):
            if commit := await snapshot(folder, f"What was left of lane {lane}"):
                await self.repo.keep(f"lane/{lane}/{commit[:12]}", commit)

    async def _start(self, branch: str, base: str) -> str:
        commit = await self.repo.branch(branch) or await self.repo.resolve(base)
        if commit is None:
            raise RepositoryError(
                f"there is no commit {base} to start {branch} from", hint="fetch it from where it was made"
            )
        return commit

    async def _create(self, path: Path, lane: str, branch: str, base: str) -> None:
        """Add a worktree on a new branch, which is the common case, else on the branch that is there."""
        commit = await self.repo.resolve(base)
        if commit and await self.pool.take(path, lane, branch, commit):
            return
        try:
            await self.add(path, lane, ("--no-track", "-b", branch), base)
        except GitError:
            await self.add(path, lane, ("--no-track", "-B", branch), await self._start(branch, base))

    async def add(self, path: Path, lane: str, head: Sequence[str], commit: str) -> None:
        """Make a worktree at `path` with the files of `commit`; `head` are git's options for its HEAD."""
        self.adding += 1
        try:
            await self._add_cold(path, lane, head, commit)
        finally:
            self.adding -= 1
            self.pool.wake()

    async def _add_cold(self, path: Path, lane: str, head: Sequence[str], commit: str) -> None:
        await self.ignore()
        async with self.exclusive():
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                await self.repo.git("worktree", "add", "-q", "--no-checkout", *head, "--", str(path), commit)
            except GitError as error:
                if (
                    "already checked out at" not in error.stderr
                    and "already used by worktree" not in error.stderr
                ):
                    raise
                raise RepositoryError(
                    f"branch {head[-1]} is in use elsewhere: {error.stderr}",
                    hint="switch that checkout to another branch, or remove it: git worktree remove",
                ) from error
        checkout = find(self.repo, path)
        if checkout is None:
            raise RepositoryError(
                f"{path} vanished while it was made", hint="see what cleans up there, and try again"
            )
        async with self._few:
            await checkout.git(*restore.WORKERS, "reset", "-q", "--hard")
        await submodules.fill(checkout)
        self.mark_ready(checkout, lane)

    async def list(self) -> list[Worktree]:
        """Every worktree below our folder, also the broken ones; not the scratch worktree."""
        return await upkeep.listing(self)


def _escape(name: str) -> str:
    """A path as a pattern of an exclude file."""
    return "".join(f"\\{char}" if char in "\\*?[]!# " else char for char in name)


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
