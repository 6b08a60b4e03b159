"""Look at all worktrees at once: list them, put them right, remove what is not needed any more."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from yokeflow.errors import RepositoryError
from yokeflow.git.branches import landed, remove_branch
from yokeflow.git.checkouts import Checkout, checkouts, linked, remove, set_aside
from yokeflow.git.locks import in_use_reason, is_ours, user_of
from yokeflow.git.repo import KEPT_SQUASHED
from yokeflow.git.save import SNAPSHOT, is_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from yokeflow.git.repo import Repo
    from yokeflow.git.worktrees import Worktrees


#: Seconds that git may need from the first file of a worktree's git folder to the one that names its place.
_GIT_TAKES = 0.5


@dataclass(frozen=True, slots=True)
class Worktree:
    """A worktree below our folder."""

    lane: str
    path: Path
    #: Short name of the branch; empty when detached.
    branch: str
    #: None when there is no commit at HEAD.
    commit: str | None
    #: Why it is locked; None when it is not.
    locked: str | None
    #: What `repair` would put right; empty when it is whole.
    broken: str = ""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What `clean` did, or would do."""

    #: Branches, and lanes without a branch, that are gone.
    removed: tuple[str, ...]
    #: What stayed -> why.
    kept: dict[str, str]


async def listing(trees: Worktrees) -> list[Worktree]:
    """See `Worktrees.list`."""
    found = [
        Worktree(
            lane=unquote(checkout.path.name),
            path=checkout.path,
            branch=await checkout.branch(),
            commit=await checkout.head(),
            locked=trees.locked(checkout),
            broken=_broken(trees, checkout),
        )
        for checkout in _ours(trees)
    ]
    return sorted(found, key=lambda one: one.lane)


def _ours(trees: Worktrees) -> list[Checkout]:
    return [
        checkout
        for checkout in linked(trees.repo)
        if checkout.path.parent == trees.folder and not checkout.path.name.startswith(".")
    ]


def _broken(trees: Worktrees, checkout: Checkout) -> str:
    reason = trees.locked(checkout) or ""
    if _in_use(reason):
        return ""
    if not is_folder(checkout.path):
        return "its folder is gone"
    if not trees.is_ready(checkout):
        return "it was never finished"
    if not checkout.is_whole():
        return "its git folder is damaged"
    if not checkout.is_linked():
        return "its .git file is wrong"
    if is_ours(reason):
        return "its lock is of a process that ended"
    if (checkout.git_dir / "index.lock").exists():
        return "a git process died in it"
    return ""


def _in_use(reason: str) -> bool:
    return reason == in_use_reason() or user_of(reason) is not None


async def repair(trees: Worktrees) -> list[str]:
    """See `Worktrees.repair`."""
    # What a run had closed comes first: a crash may have left its git folder without a place.
    await trees.pool.empty()
    done = await _forget_unfinished(trees)
    for checkout in linked(trees.repo):
        if checkout.path.parent != trees.folder or not (broken := _broken(trees, checkout)):
            continue
        done.append(f"{checkout.path.name}: {broken}: {await _repair_one(trees, checkout)}")
    for path in trees.repo.state_dir.glob(f"{SNAPSHOT}*"):
        # A snapshot was interrupted; the index it worked on is of no use to anybody.
        remove(path)
    for path in _strays(trees):
        what = await _discard(trees, path)
        done.append(f"{path.name}: it is no worktree any more: {what}, its files are kept")
    return done


async def _forget_unfinished(trees: Worktrees) -> list[str]:
    """Remove git folders of which a killed git never said whose they are; git itself leaves them for ever."""
    found = _unfinished(trees)
    if not found:
        return []
    # Somebody else's git may be about to say it.
    await asyncio.sleep(_GIT_TAKES)
    async with trees.exclusive():
        left = [git_dir for git_dir in _unfinished(trees) if git_dir in found]
        for git_dir in left:
            set_aside(git_dir, trees.repo.state_dir / "trash")
        with suppress(OSError):
            (trees.repo.common_dir / "worktrees").rmdir()
    return [f"{git_dir.name}: git died when it began to make it: removed" for git_dir in left]


def _unfinished(trees: Worktrees) -> list[Path]:
    return [
        checkout.git_dir
        for checkout in linked(trees.repo)
        if checkout.path == checkout.git_dir and trees.locked(checkout) == "initializing"
    ]


async def _repair_one(trees: Worktrees, checkout: Checkout) -> str:
    if not (is_folder(checkout.path) and trees.is_ready(checkout) and checkout.is_whole()):
        return await _discard(trees, checkout.path)
    try:
        checkout.relink()
        checkout.remove_locks()
        if is_ours(trees.locked(checkout) or ""):
            (checkout.git_dir / "locked").unlink(missing_ok=True)
    except OSError:
        return await _discard(trees, checkout.path)
    return "put right"


async def _discard(trees: Worktrees, path: Path) -> str:
    try:
        await trees.discard(path, unquote(path.name))
    except RepositoryError as error:
        # Nobody needs it but a task of that lane, which will say the same.
        return error.message
    return "removed"


def _strays(trees: Worktrees) -> list[Path]:
    """Folders that were worktrees of this repository; others that somebody put there are left alone."""
    if not trees.folder.is_dir():
        return []
    known = {checkout.path for checkout in linked(trees.repo)}
    home = f"gitdir: {trees.repo.common_dir / 'worktrees'}/"
    return [
        path
        for path in sorted(trees.folder.iterdir())
        if path not in known and is_folder(path) and _text(path / ".git").startswith(home)
    ]


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="surrogateescape") if file.is_file() else ""


async def clean(trees: Worktrees, target: str, prefixes: Sequence[str], *, dry_run: bool) -> Cleaned:
    """See `Worktrees.clean`."""
    if not dry_run:
        await trees.scratch.close()
        await trees.pool.empty()
    removed: list[str] = []
    kept: dict[str, str] = {}
    for one in await listing(trees):
        name = one.branch or one.lane
        if why := await _needed(trees.repo, one, target):
            kept[name] = why
            continue
        if not dry_run:
            await trees.close(one.lane)
            await _drop(trees.repo, one.branch, target)
        removed.append(name)
    for name, why in (await _loose(trees.repo, target, prefixes, {*removed, *kept})).items():
        if why:
            kept[name] = why
            continue
        if not dry_run:
            await _drop(trees.repo, name, target)
        removed.append(name)
    return Cleaned(tuple(removed), kept)


async def _drop(repo: Repo, branch: str, target: str) -> None:
    if branch and branch != target:
        await remove_branch(repo, branch, target)


async def _needed(repo: Repo, one: Worktree, target: str) -> str:
    """Why the worktree must stay; empty when it need not."""
    if one.locked:
        return f"it is locked: {one.locked}"
    if one.broken:
        return f"{one.broken}: run `yoke worktree repair` first"
    checkout = next(each for each in linked(repo) if each.path == one.path)
    if what := checkout.in_progress():
        return f"{what} is in progress in it"
    if (await checkout.git("status", "--porcelain", "-z")).stdout:
        return "it has uncommitted changes"
    return await _unproved(repo, one.commit, target)


async def _unproved(repo: Repo, commit: str | None, target: str) -> str:
    if (
        commit is None
        or await landed(repo, commit, target)
        or await repo.is_kept(commit, below=KEPT_SQUASHED)
    ):
        return ""
    count = (await repo.git("rev-list", "--count", commit, "--not", f"refs/heads/{target}")).text
    return f"{count} of its commits are not in {target}"


async def _loose(repo: Repo, target: str, prefixes: Sequence[str], done: set[str]) -> dict[str, str]:
    """Branches of ours that no worktree of ours is on -> why each must stay."""
    held = {await checkout.branch(): checkout.path for checkout in checkouts(repo)}
    found: dict[str, str] = {}
    for prefix in prefixes:
        for ref, tip in (await repo.refs(f"refs/heads/{prefix}")).items():
            name = ref.removeprefix("refs/heads/")
            if name in done or name == target:
                continue
            where = f"it is checked out at {held[name]}" if name in held else ""
            found[name] = where or await _unproved(repo, tip, target)
    return found
