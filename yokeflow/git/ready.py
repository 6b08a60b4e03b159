"""Make worktrees that wait: new ones, and ones of the files of a lane that is over."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from yokeflow.errors import RepositoryError
from yokeflow.git import restore
from yokeflow.git.checkouts import Checkout, find, set_aside
from yokeflow.git.locks import anybody_in, is_ours
from yokeflow.git.runner import idle
from yokeflow.git.save import is_folder
from yokeflow.git.sift import entries, sift

if TYPE_CHECKING:
    from collections.abc import Callable

    from yokeflow.git.worktrees import Worktrees

#: Attributes that make a file in a worktree differ from what was committed.
_CONVERTING = ("eol", "filter", "ident", "working-tree-encoding")
#: Settings that change what a new worktree looks like.
_SHAPING = (
    r"^(core\.(autocrlf|eol|safecrlf|symlinks|filemode|attributesfile|sharedrepository|sparse.*)"
    r"|filter\..*|extensions\.worktreeconfig)$"
)
#: Files that change what git makes of others, in any folder.
_RULES = {".gitattributes", ".gitmodules"}


@dataclass(frozen=True, slots=True)
class Ready:
    """A worktree that waits, detached at a commit."""

    checkout: Checkout
    commit: str
    #: What shaped its files, as `Maker.settings` gave it.
    settings: str


class Maker:
    """Makes worktrees in the folder of a pool, each with a git folder that nobody has used before."""

    def __init__(self, trees: Worktrees, folder: Path) -> None:
        self._trees = trees
        self._repo = trees.repo
        self._folder = folder
        self._known: tuple[object, str] = (None, "")

    async def pays(self, start: str, least: int) -> bool:
        """Whether worktrees at the branch `start` can wait: all are alike and have `least` files or more."""
        commit = await self._repo.branch(start)
        if commit is None or await self._repo.object(f"{commit}:.gitmodules"):
            return False
        # Each worktree gets a copy of those as they are when it is made.
        if "sparse" in await self.settings() or (self._repo.common_dir / "config.worktree").exists():
            return False
        return len(await self._repo.tracked_files(commit)) >= least

    async def settings(self) -> str:
        """What shapes the files of a new worktree, beside the commit."""
        home, common = Path.home(), self._repo.common_dir
        attributes, own = common / "info" / "attributes", common / "config.worktree"
        files = (common / "config", own, attributes, home / ".gitconfig", home / ".config" / "git" / "config")
        stamp = [_stamp(file) for file in files]
        if stamp != self._known[0]:
            said = await self._repo.git("config", "--get-regexp", _SHAPING, ok=(0, 1))
            texts = (file.read_text(errors="replace") for file in (attributes, own) if file.is_file())
            self._known = (stamp, "\n".join((said.text, *texts)))
        return self._known[1]

    def is_intact(self, one: Ready, settings: str) -> bool:
        """Neither settings nor a person have made it something else."""
        here = is_folder(one.checkout.path) and one.checkout.is_whole() and one.checkout.is_linked()
        return here and one.settings == settings and not self.is_held(one.checkout)

    def is_held(self, checkout: Checkout) -> bool:
        """Whether a person has locked it or is in there."""
        reason = self._trees.locked(checkout)
        return (reason is not None and not is_ours(reason)) or anybody_in(checkout.path)

    async def leads_to(self, one: Ready, commit: str) -> bool:
        """Whether git, going from there to the commit, writes every file that it would write differently."""
        if one.commit == commit:
            return True
        changed = await self._repo.changed_files(one.commit, commit)
        return not any(path.rpartition("/")[2] in _RULES for path in changed)

    async def make(self, commit: str) -> Ready:
        """A new worktree."""
        settings = await self.settings()
        checkout = await self._add(commit)
        await self._write_files(checkout)
        return Ready(checkout, commit, settings)

    async def bring_forward(self, one: Ready, commit: str) -> Ready | None:
        """The same worktree at another commit; None when that cannot be, and it is removed or held."""
        settings = await self.settings()
        if self.is_intact(one, settings) and await self.leads_to(one, commit):
            await self._write_files(one.checkout, commit)
            return Ready(one.checkout, commit, settings)
        if not self.is_held(one.checkout):
            await self._trees.remove(find(self._repo, one.checkout.path), one.checkout.path)
        return None

    async def can_reuse(self, checkout: Checkout, commit: str) -> bool:
        """Whether the files of a closed lane may be used again."""
        if (checkout.git_dir / "modules").exists() or (checkout.path / ".gitmodules").exists():
            return False
        return not (await self._repo.object(f"{commit}:.gitmodules") or self.is_held(checkout))

    async def reuse(self, checkout: Checkout, commit: str) -> Ready:
        """A worktree of the files of a closed lane, in which nothing is left that is not somewhere else."""
        settings, used = await self.settings(), self._folder / f"{checkout.path.name}.used"
        async with self._trees.exclusive():
            self._folder.mkdir(exist_ok=True)
            checkout.path.rename(used)
            set_aside(checkout.git_dir, self._repo.state_dir / "trash")
        fresh = await self._add(commit)
        try:
            await self._sift(used, fresh, commit)
        except OSError:
            # Something in it belongs to somebody else.
            set_aside(used, self._trees.trash)
        with idle():
            # Looks into every file, since nothing is known of any.
            await fresh.git("update-index", "-q", "--refresh", ok=(0, 1))
        await self._write_files(fresh)
        return Ready(fresh, commit, settings)

    async def _write_files(self, checkout: Checkout, *commit: str) -> None:
        with idle():
            await checkout.git(*restore.WORKERS, "reset", "-q", "--hard", *commit)

    async def _sift(self, used: Path, fresh: Checkout, commit: str) -> None:
        """Put those used files that are as in the commit into a new worktree."""
        listing = await self._repo.git("ls-tree", "-r", "-l", "-z", "--full-tree", commit)
        wanted = entries(listing.parts)
        await fresh.git("read-tree", commit)
        names = b"".join(os.fsencode(name) + b"\0" for name in wanted)
        said = await fresh.git("check-attr", "--cached", "--stdin", "-z", *_CONVERTING, stdin=names)
        values = zip(said.parts[::3], said.parts[2::3], strict=True)
        converted = {path for path, value in values if value not in {"unspecified", "unset"}}
        set_aside(used / ".git", self._trees.trash)
        await _to_the_end(partial(sift, used, wanted, converted, self._trees.trash))
        _put_into(fresh.path, used)

    async def _add(self, commit: str) -> Checkout:
        """A worktree in the pool, detached, without files."""
        path = self._folder / os.urandom(6).hex()
        async with self._trees.exclusive():
            self._folder.mkdir(parents=True, exist_ok=True)
            add = ("worktree", "add", "-q", "--no-checkout", "--detach")
            await self._repo.git(*add, "--", str(path), commit)
        checkout = find(self._repo, path)
        if checkout is None:
            raise RepositoryError(
                f"{path} vanished while it was made", hint="see what cleans up there, and try again"
            )
        return checkout


def _put_into(fresh: Path, used: Path) -> None:
    """Let a new worktree have the used files."""
    (fresh / ".git").rename(used / ".git")
    fresh.rmdir()
    used.rename(fresh)


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


async def _to_the_end(work: Callable[[], None]) -> None:
    """Run blocking work in a thread, also to its end when the caller is cancelled meanwhile."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
