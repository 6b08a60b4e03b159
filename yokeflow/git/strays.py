"""Branches that an agent made for itself in a lane's worktree: what is on them is kept, and they go."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from yokeflow.git.checkouts import checkouts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from pathlib import Path

    from yokeflow.git.checkouts import Checkout
    from yokeflow.git.repo import Repo

#: In a session's folder.
_BEFORE = "branches"
#: A line of the log of HEAD: when, and between which branches.
_MOVED = re.compile(r" (\d+) [-+]\d{4}\tcheckout: moving from (\S+) to (\S+)$")
#: The first line of the log of a branch: when it was made.
_MADE = re.compile(r"0+ [0-9a-f]+ .* (\d+) [-+]\d{4}(?:\t|$)")


def note_branches(folder: Path, branches: Iterable[str]) -> None:
    """Keep the names of branches that were there before a session: clocks go wrong between two runs."""
    # Without it, recovery goes by the time.
    with suppress(OSError):
        (folder / _BEFORE).write_text("\n".join(sorted(branches)), encoding="utf-8", errors="surrogateescape")


def noted_branches(folder: Path) -> Collection[str] | None:
    """The names that were kept; None where none were."""
    return set(_lines(folder / _BEFORE)) or None


async def put_away_unknown(checkout: Checkout, branch: str, known: Iterable[str]) -> None:
    """Remove branches that the worktree of the lane's `branch` was on and that are not in `known`."""
    names = {branch, *known}
    await _put_away(checkout, lambda name: name not in names)


async def put_away_since(checkout: Checkout, branch: str, since: float) -> None:
    """Remove branches that the worktree of the lane's `branch` was on and that were made after `since`.

    Those of which git noted no beginning stay: somebody may have had them before.
    """
    repo = checkout.repo
    await _put_away(checkout, lambda name: name != branch and (_made(repo, name) or 0) >= int(since), since)


async def _put_away(checkout: Checkout, is_stray: Callable[[str], bool], since: float = 0) -> None:
    repo = checkout.repo
    # Git takes no note of a switch to an orphan branch.
    now = await checkout.branch()
    strays = sorted(filter(is_stray, {*_visited(checkout, since), *([now] if now else [])}))
    if not strays:
        return
    others = [each for each in checkouts(repo) if each.git_dir != checkout.git_dir]
    elsewhere = {await each.branch() for each in others}
    for name in strays:
        tip = await repo.branch(name)
        if name in elsewhere:
            continue
        if tip is None:
            # A collection of garbage took where it led, and git refuses all that looks at every ref.
            if oid := await repo.held(f"refs/heads/{name}"):
                await repo.delete_ref(f"refs/heads/{name}", oid)
            continue
        checkout.remove_locks()
        await repo.keep(f"branch/{name}/{tip[:12]}", tip)
        # HEAD last: where a crash comes between, it still tells of the branch.
        await repo.delete_ref(f"refs/heads/{name}", tip)
        if await checkout.branch() == name:
            await checkout.git("update-ref", "--no-deref", "-m", "yoke: put away", "HEAD", tip)


def _visited(checkout: Checkout, since: float) -> set[str]:
    """Names between which HEAD moved; commits among them are no branches."""
    entries = (_MOVED.search(line) for line in _lines(checkout.git_dir / "logs" / "HEAD"))
    return {name for entry in entries if entry and int(entry[1]) >= int(since) for name in entry.groups()[1:]}


def _made(repo: Repo, name: str) -> int | None:
    first = next(iter(_lines(repo.common_dir / "logs" / "refs" / "heads" / name)), "")
    found = _MADE.match(first)
    return int(found[1]) if found else None


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
