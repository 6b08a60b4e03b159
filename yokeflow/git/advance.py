"""Bring a branch forward together with the checkout that has it, overwriting nothing of the user's.

Without a checkout it is one compare-and-swap of the ref. With one, git's own fast-forward does it there; what
it was about to do is written down first: a machine that stops in the middle leaves files of both commits.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from yokeflow.errors import GitError, RefMovedError
from yokeflow.files import write_whole
from yokeflow.git.checkouts import Checkout, checkouts
from yokeflow.git.save import snapshot

if TYPE_CHECKING:
    from yokeflow.git.repo import Repo

#: Every way in which a user's settings could make it more than a fast-forward that refuses.
_FAST_FORWARD = (
    "merge", "-q", "--ff-only", "--commit", "--no-squash", "--no-stat", "--no-autostash",
    "--no-verify-signatures", "--no-overwrite-ignore",
)  # fmt: skip
_REFUSED = (
    "would be overwritten",
    "would be lost",
    "would lose untracked files",
    "index.lock",
    "not uptodate",
    "needs merge",
    "you need to resolve",
)


@dataclass(frozen=True, slots=True)
class Advance:
    """Whether a branch was brought forward."""

    moved: bool
    #: Empty when moved; `raced`: the branch was not at the old commit; `checkout`: the checkout of that
    #: branch has something that would be overwritten, or is in the middle of an operation; `gone`: the new
    #: commit is not there any more.
    reason: str = ""
    #: The paths that were in the way.
    files: tuple[str, ...] = ()
    #: For a person: what was in the way.
    detail: str = ""


async def advance(repo: Repo, branch: str, new: str, old: str) -> Advance:
    """Bring `branch` from `old` forward to `new`, and the checkout that has it, or change nothing."""
    await finish_advance(repo)
    if await repo.branch(branch) != old:
        return Advance(moved=False, reason="raced")
    found = await holders(repo, branch)
    if not found:
        return await _swap(repo, branch, new, old)
    checkout = found[0]
    if len(found) > 1:
        paths = " and ".join(str(holder.path) for holder in found)
        detail = f"{branch} is checked out at {paths}"
        return Advance(moved=False, reason="checkout", detail=detail)
    if what := checkout.in_progress():
        detail = f"{what} is in progress in {checkout.path}"
        return Advance(moved=False, reason="checkout", detail=detail)
    return await _fast_forward(checkout, branch, new, old)


async def _swap(repo: Repo, branch: str, new: str, old: str) -> Advance:
    try:
        await repo.update_ref(f"refs/heads/{branch}", new, old, "yoke: land")
    except RefMovedError:
        return Advance(moved=False, reason="raced")
    return Advance(moved=True)


async def holders(repo: Repo, branch: str) -> list[Checkout]:
    """Checkouts that are on the branch, or in a rebase or bisection that will come back to it."""
    return [
        checkout
        for checkout in checkouts(repo)
        if _comes_back(checkout.git_dir, branch) or await checkout.branch() == branch
    ]


def _comes_back(git_dir: Path, branch: str) -> bool:
    for name in ("rebase-merge/head-name", "rebase-apply/head-name", "BISECT_START"):
        file = git_dir / name
        if file.is_file() and file.read_text(encoding="utf-8", errors="surrogateescape").strip() in {
            branch,
            f"refs/heads/{branch}",
        }:
            return True
    return False


async def _fast_forward(checkout: Checkout, branch: str, new: str, old: str) -> Advance:
    repo = checkout.repo
    clean, in_the_way = await _sort_paths(checkout, new, old)
    journal = _journal(repo)
    _write(
        journal,
        {
            "branch": branch,
            "old": old,
            "new": new,
            "path": str(checkout.path),
            "git_dir": str(checkout.git_dir),
            "clean": clean,
        },
    )
    if await checkout.branch() != branch:
        # The user has switched meanwhile; git would bring forward whatever is there now.
        journal.unlink()
        return Advance(moved=False, reason="raced")
    out = await checkout.git(*_FAST_FORWARD, new, ok=tuple(range(256)))
    tip = await repo.branch(branch)
    if tip == new:
        journal.unlink()
        return Advance(moved=True)
    if out.returncode == 0:
        if await _was_at(repo, branch, new):
            # Somebody moved it on at once; that does not make it undone.
            journal.unlink()
            return Advance(moved=True)
        await _give_back(checkout, new)
        journal.unlink()
        return Advance(moved=False, reason="raced")
    if tip != old or "Not possible to fast-forward" in out.stderr:
        journal.unlink()
        return Advance(moved=False, reason="raced")
    if any(words in out.stderr for words in _REFUSED):
        journal.unlink()
        return Advance(moved=False, reason="checkout", files=tuple(in_the_way), detail=out.stderr.strip())
    # It may have stopped in the middle: the journal stays for `finish_advance`.
    raise GitError((*_FAST_FORWARD, new), out.returncode, out.stderr)


async def _was_at(repo: Repo, branch: str, commit: str) -> bool:
    """Whether a branch was at a commit a moment ago, as far as git took notes."""
    flags = ("log", "-g", "-n", "9", "--format=%H", f"refs/heads/{branch}", "--")
    return commit in (await repo.git(*flags, ok=(0, 128))).text.split()


async def _give_back(checkout: Checkout, new: str) -> None:
    """Undo a fast-forward that met another branch: the user switched just before it."""
    before = await checkout.git("rev-parse", "ORIG_HEAD")
    if await checkout.head() == new:
        await go_back(checkout, new, before.text)


async def go_back(checkout: Checkout, now: str, back: str) -> None:
    """Bring the branch at HEAD from `now` back to `back`; what is staged or changed elsewhere stays so.

    Raises GitError when something there would be overwritten or HEAD has moved.
    """
    await checkout.git("read-tree", "-m", "-u", now, back)
    try:
        await checkout.git("update-ref", "-m", "yoke: go back", "HEAD", back, now)
    except GitError:
        await checkout.git("read-tree", "-m", "-u", back, now)
        raise


async def _sort_paths(checkout: Checkout, new: str, old: str) -> tuple[list[str], list[str]]:
    """The paths between two commits: those that are as in `old`, and those where the user has something."""
    out = await checkout.git("diff-tree", "-r", "-z", "--name-status", "--no-renames", old, new)
    changed = dict(zip(out.parts[1::2], out.parts[::2], strict=True))
    status = await checkout.git("status", "--porcelain", "-z", "--untracked-files=no", "--no-renames")
    dirty = {part[3:] for part in status.parts}
    in_the_way = [
        path
        for path, kind in changed.items()
        if path in dirty or (kind == "A" and _occupied(checkout.path, path))
    ]
    return [path for path in changed if path not in set(in_the_way)], in_the_way


def _occupied(root: Path, path: str) -> bool:
    if os.path.lexists(root / path):
        return True
    parents = [root / parent for parent in Path(path).parents if parent != Path()]
    return any(os.path.lexists(parent) and (parent.is_symlink() or not parent.is_dir()) for parent in parents)


def _journal(repo: Repo) -> Path:
    return repo.state_dir / "advance.json"


def _write(journal: Path, content: dict[str, Any]) -> None:
    journal.parent.mkdir(exist_ok=True)
    write_whole(journal, json.dumps(content), durable=True)


def is_unfinished(repo: Repo) -> bool:
    """Whether an `advance` was begun of which nobody knows the end."""
    return _journal(repo).is_file()


async def finish_advance(repo: Repo) -> Advance | None:
    """Finish what a killed `advance` had begun; None when there is nothing to finish.

    What is in the checkout by then is kept under `refs/yoke/keep/` before anything is written.
    """
    journal = _journal(repo)
    if not journal.is_file():
        return None
    begun = json.loads(journal.read_text(encoding="utf-8"))
    checkout = Checkout(repo, Path(begun["path"]), Path(begun["git_dir"]))
    result = await _finish(checkout, begun["branch"], begun["new"], begun["old"], begun["clean"])
    journal.unlink()
    return result


async def _finish(checkout: Checkout, branch: str, new: str, old: str, clean: list[str]) -> Advance:
    repo = checkout.repo
    await _end_of_git(checkout)
    tip = await repo.branch(branch)
    if tip == new:
        return Advance(moved=True)
    if tip != old:
        return Advance(moved=False, reason="raced")
    if await checkout.branch() != branch or checkout.in_progress() or not checkout.path.is_dir():
        return Advance(moved=False, reason="checkout", detail=f"{checkout.path} is not on {branch} any more")
    what = "What the checkout held when an interrupted landing was finished"
    if found := await snapshot(checkout, what, users=True):
        await repo.keep(f"advance/{new[:12]}", found)
    await _take_back(checkout, old, clean)
    # Unlike a reset, which would unstage what the user has staged elsewhere.
    out = await checkout.git(*_FAST_FORWARD, new, ok=tuple(range(256)))
    if out.returncode:
        # Half of it may be there again.
        await _take_back(checkout, old, clean)
        return Advance(moved=False, reason="checkout", detail=out.stderr.strip())
    return Advance(moved=True)


async def _take_back(checkout: Checkout, old: str, paths: list[str]) -> None:
    """Put paths that were clean back to `old`, whatever half of `new` is in them."""
    if not paths:
        return
    listed = {os.fsencode(path): path for path in paths}
    # Arguments are limited, a tree is not: ask for all of it.
    existing = set((await checkout.git("ls-tree", "-r", "-z", "--name-only", "--full-tree", old)).parts)
    added = [path for path in listed.values() if path not in existing]
    await checkout.git("update-index", "--force-remove", "-z", "--stdin", stdin=_nul(added))
    for path in added:
        target = checkout.path / path
        if target.is_symlink() or target.is_file():
            target.unlink()
    kept = [path for path in paths if path in existing]
    if kept:
        flags = (f"--source={old}", "--staged", "--worktree", "--pathspec-from-file=-", "--pathspec-file-nul")
        await checkout.git("--literal-pathspecs", "restore", "-q", *flags, stdin=_nul(kept))


def _nul(paths: list[str]) -> bytes:
    return b"".join(os.fsencode(path) + b"\0" for path in paths)


async def _end_of_git(checkout: Checkout) -> None:
    """Wait for a git that outlived us in this checkout; remove the lock of one that did not."""
    lock = checkout.git_dir / "index.lock"
    for _ in range(100):
        # It may not have taken its lock yet, or have given it back before it moves the branch.
        if not await asyncio.to_thread(_git_runs_in, checkout.path):
            lock.unlink(missing_ok=True)
            return
        await asyncio.sleep(0.05)


def _git_runs_in(path: Path) -> bool:
    processes = psutil.process_iter(["name", "cwd"])
    return any(
        process.info["name"] == "git" and process.info["cwd"] in {str(path), str(path / ".git")}
        for process in processes
    )
