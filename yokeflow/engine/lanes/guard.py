"""Only tested work reaches the target: commits that an agent brings there by itself do not count.

A git hook of sessions refuses to move it (`git.hooks.GUARD`); what comes past the hook is taken back here.
"""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from yokeflow.errors import GitError, RefMovedError
from yokeflow.git.advance import go_back
from yokeflow.git.checkouts import checkouts, find, linked
from yokeflow.git.hooks import REFUSED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from yokeflow.engine.context import Context
    from yokeflow.git.checkouts import Checkout
    from yokeflow.git.repo import Repo

#: What git notes where HEAD goes to a commit that was there before; all else makes one: a commit, a merge, a
#: pick of a rebase, a patch.
_MOVED = re.compile(
    r"checkout: |reset: |clone: |branch: |rebase.*\((start|finish|abort)\)|rebase finished|.*: Fast-forward|$"
)
_OID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_TAKEN_BACK = "yoke: take back what was not tested"


async def guard_target(context: Context, path: Path, before: str | None, base: str | None = None) -> str:
    """Why the work in the worktree `path` does not count, when it was brought onto the target; else empty.

    `before` is what `known_target` told when the agent started, `base` where its lane was: what is in there,
    a person may have brought to the target. The target goes back to where it was last, unless something else
    came on top of the agent's commits: then the landing tests what is there.
    """
    repo, target = context.repo, context.target
    await put_right_refused(context)
    if path in context.trespassed:
        context.trespassed.remove(path)
        return _why(target)
    now = await repo.branch(target)
    if now is None or before is None or now == before:
        return ""
    made = await _made_in(repo, path, base, now)
    if not made or not made & {commit.oid for commit in await repo.commits(before, now)}:
        return ""
    if now in made:
        back = await _place_before(context, made - ({before} & context.known_tips))
        await _go_back(context, now, back or before)
    return _why(target)


def _why(target: str) -> str:
    return f"the agent moved {target}, where only tested work may land"


@contextmanager
def at_work(context: Context, path: Path, base: str) -> Iterator[None]:
    """While the block runs, an agent works in `path`, which was at `base`: landings look at what it does."""
    context.trespassed.discard(path)
    context.at_work[path] = base
    try:
        yield
    finally:
        del context.at_work[path]


async def guard_running(context: Context) -> None:
    """Take back what agents at work brought onto the target, before anything is built on it."""
    await put_right_refused(context)
    now = await context.repo.branch(context.target)
    if now is None or now in context.known_tips:
        return
    for path, base in list(context.at_work.items()):
        if await take_back_target(context, path, base):
            context.trespassed.add(path)
    if now == await context.repo.branch(context.target):
        context.known_tips.add(now)


async def known_target(context: Context) -> str | None:
    """Where the target is, once what agents at work brought there is taken back: for an agent that starts."""
    await guard_running(context)
    return await context.repo.branch(context.target)


async def put_right_refused(context: Context) -> None:
    """Give checkouts of the target back the files that git changed before our hook refused to move it there.

    A reset does so, and others that go to a commit which a branch has. What was to become a commit stays: it
    may be a person's.
    """
    file = context.repo.state_dir / REFUSED
    told = file.with_name(f"{REFUSED}.read")
    if not file.is_file() and not told.is_file():
        return
    async with context.moving_target:
        # What is told goes last: of a run that was killed before, it is there still.
        while told.is_file() or file.is_file():
            if not told.is_file():
                file.replace(told)
            for new in _refused(told, f"refs/heads/{context.target}"):
                with suppress(GitError):
                    await _put_right(context, new)
            told.unlink()


def _refused(told: Path, ref: str) -> set[str]:
    """Where `ref` was to go, by a file that agents can write to."""
    lines = told.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    moves = [line.split(" ")[1:] for line in lines]
    return {move[0] for move in moves if move[1:] == [ref] and _OID.fullmatch(move[0])}


async def _put_right(context: Context, new: str) -> None:
    repo, back = context.repo, await context.repo.branch(context.target)
    if back is None or not await repo.resolve(new) or not await repo.is_kept(new, below="refs/heads/"):
        return
    for checkout in checkouts(repo):
        if await checkout.branch() == context.target and await _came_along(checkout, new, back):
            # Refuses to overwrite what the user has changed.
            with suppress(GitError):
                await checkout.git("read-tree", "-m", "-u", new, back)


async def take_back_target(context: Context, path: Path, base: str) -> str:
    """Undo what an agent did to the target in a run that was killed; what was done, empty for nothing."""
    repo, target = context.repo, context.target
    now = await repo.branch(target)
    if now is None or now in context.known_tips:
        return ""
    made = await _made_in(repo, path, base, now)
    if now not in made:
        return ""
    back = await _place_before(context, made - context.known_tips)
    if back is None or not await _go_back(context, now, back):
        return ""
    return f"an agent had moved {target} to its own {now[:12]}, which was not tested: back at {back[:12]}"


async def _made_in(repo: Repo, path: Path, base: str | None, now: str) -> set[str]:
    """Commits that were made in a lane's worktree, by what git noted of its HEAD: in `now`, not in `base`."""
    # Without its `.git` file, git would tell of the checkout around it.
    checkout = find(repo, path)
    if checkout is None:
        return set()
    noted = await checkout.git("log", "-g", "--format=%H %gs", "HEAD", ok=(0, 128))
    entries = (line.partition(" ") for line in noted.text.splitlines())
    made = {oid for oid, _, what in entries if not _MOVED.match(what)}
    return made & {commit.oid for commit in await repo.commits(base, now)} if made and base else made


async def _place_before(context: Context, made: set[str]) -> str | None:
    """Where the target was before `made`, or what other agents made, came there; None without git's notes."""
    repo, folder = context.repo, context.worktrees.folder
    for checkout in linked(repo):
        if checkout.path.parent == folder:
            made = made | await _made_in(repo, checkout.path, None, "") - context.known_tips
    noted = await repo.git("log", "-g", "--format=%H", f"refs/heads/{context.target}", "--", ok=(0, 128))
    return next((oid for oid in noted.text.split() if oid not in made), None)


async def _go_back(context: Context, now: str, back: str) -> bool:
    """Move the target, with the checkout that an agent brought along; False when it moved meanwhile."""
    async with context.moving_target:
        return await _move_back(context.repo, context.target, now, back)


async def _move_back(repo: Repo, target: str, now: str, back: str) -> bool:
    for checkout in checkouts(repo):
        if await checkout.branch() != target:
            continue
        if await _came_along(checkout, now, back):
            # Refuses to overwrite what the user has changed; then only the branch goes back.
            with suppress(GitError):
                await go_back(checkout, now, back)
                return True
    with suppress(RefMovedError):
        await repo.update_ref(f"refs/heads/{target}", back, now, _TAKEN_BACK)
        return True
    return False


async def _came_along(checkout: Checkout, now: str, back: str) -> bool:
    """Whether what is staged is as in `now`, wherever that differs from `back`."""
    paths = await checkout.repo.changed_files(back, now)
    flags = ("diff-index", "--cached", "--quiet", now, "--", *paths)
    out = await checkout.git("--literal-pathspecs", *flags, ok=(0, 1, 128))
    return bool(paths) and out.returncode == 0
