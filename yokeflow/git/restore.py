"""Bring a lane back to a known commit, whatever an agent made of it, after keeping what would be lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from yokeflow.errors import GitError
from yokeflow.git.save import flatten, make_writable, snapshot
from yokeflow.git.strays import put_away_unknown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from yokeflow.git.checkouts import Checkout
    from yokeflow.git.repo import Repo

#: Faster from some thousand files on; git itself stays with one worker below that.
WORKERS = ("-c", "checkout.workers=4")


async def rescue(
    checkout: Checkout, lane: str, branch: str, *, files: bool = True, instead: str | None = None
) -> None:
    """Keep what only this checkout has: uncommitted files, and commits that no other ref reaches.

    `branch` is about to move to the commit `instead`, so being on it is not enough; files that are the same
    there are not lost.
    """
    repo = checkout.repo
    if not checkout.has_index():
        (checkout.git_dir / "index").unlink(missing_ok=True)
    tips = {await repo.branch(branch) if branch else None, await checkout.head(), *_autostash(checkout)}
    if (current := await checkout.branch()) and current != branch:
        # That branch stays, and its tip with it; no need to ask all refs.
        tips.discard(await repo.branch(current))
    if files and not await _is_clean(checkout):
        await flatten(checkout)
        tips.add(await snapshot(checkout, f"What was left uncommitted in lane {lane}"))
    await keep_lost(repo, lane, tips, branch, instead)


async def keep_lost(
    repo: Repo, lane: str, tips: Collection[str | None], branch: str, instead: str | None
) -> None:
    """Keep those of `tips` that only `branch` reaches and whose files differ from those of `instead`."""
    same = await repo.tree_of(instead) if instead else ""
    for tip in sorted(filter(None, tips)):
        if await repo.tree_of(tip) != same and not await is_reached(repo, tip, f"refs/heads/{branch}"):
            await repo.keep(f"lane/{lane}/{tip[:12]}", tip)


async def _is_clean(checkout: Checkout) -> bool:
    return checkout.has_index() and not (await checkout.state()).changed and not await _hidden(checkout)


def _autostash(checkout: Checkout) -> Iterable[str]:
    """Edits that a rebase or merge put away for its own time."""
    for name in ("rebase-merge/autostash", "rebase-apply/autostash", "MERGE_AUTOSTASH"):
        file = checkout.git_dir / name
        if file.is_file():
            yield file.read_text(encoding="ascii").strip()


async def is_reached(repo: Repo, commit: str, without: str) -> bool:
    """Whether a ref other than `without` leads to a commit."""
    out = await repo.git("for-each-ref", f"--contains={commit}", "--format=%(refname)", "--count=2")
    return bool(set(out.text.splitlines()) - {without})


async def is_back(checkout: Checkout, branch: str, commit: str) -> bool:
    """Whether branch, HEAD, index and files are at `commit`; from one of the same tree it moves there."""
    if checkout.in_progress() or not checkout.has_index():
        return False
    repo = checkout.repo
    state = await checkout.state()
    if state.changed or state.head is None or state.branch != branch or await _hidden(checkout):
        return False
    if state.head == commit:
        return True
    if await repo.tree_of(state.head) != await repo.tree_of(commit):
        return False
    await repo.update_ref(f"refs/heads/{branch}", commit, state.head, "yoke: reset")
    return True


async def put_back(checkout: Checkout, branch: str, commit: str) -> None:
    """Branch, HEAD, index and files exactly at `commit`; ignored files stay."""
    repo = checkout.repo
    checkout.remove_locks()
    checkout.forget_operations()
    if branch:
        (repo.common_dir / f"refs/heads/{branch}.lock").unlink(missing_ok=True)
        await checkout.git("symbolic-ref", "HEAD", f"refs/heads/{branch}")
        await repo.git("update-ref", "-m", "yoke: reset", "--create-reflog", f"refs/heads/{branch}", commit)
    else:
        await checkout.git("update-ref", "--no-deref", "-m", "yoke: reset", "HEAD", commit)
    await _unhide(checkout)
    await _files(checkout, commit)


async def forget_ignored(checkout: Checkout, keep: Sequence[str]) -> None:
    """Remove what git ignores, but for what the patterns of `keep` match."""
    kept = [part for pattern in keep for part in ("-e", pattern)]
    await checkout.git("-c", "clean.requireForce=false", "clean", "-q", "-ffdx", *kept)


async def _files(checkout: Checkout, commit: str) -> None:
    try:
        await _files_once(checkout, commit)
    except GitError as error:
        if "ermission denied" not in error.stderr:
            raise
        await asyncio.to_thread(make_writable, checkout.path)
        await _files_once(checkout, commit)


async def _files_once(checkout: Checkout, commit: str) -> None:
    await checkout.git(*WORKERS, "reset", "-q", "--hard", commit)
    # Twice -f: also what has become a repository of its own.
    await checkout.git("-c", "clean.requireForce=false", "clean", "-q", "-ffd")


async def _unhide(checkout: Checkout) -> None:
    """Undo `update-index --assume-unchanged`, behind which changes would survive a reset."""
    if hidden := await _hidden(checkout):
        names = b"".join(name.encode(errors="surrogateescape") + b"\0" for name in hidden)
        await checkout.git("update-index", "--no-assume-unchanged", "-z", "--stdin", stdin=names)


async def _hidden(checkout: Checkout) -> list[str]:
    out = await checkout.git("ls-files", "-v", "-z", ok=(0, 128))
    return [line[2:] for line in out.parts if line[0].islower()]


async def adopt(checkout: Checkout, branch: str, base: str, before: Collection[str]) -> str | None:
    """See `Worktrees.adopt`."""
    repo = checkout.repo
    head, current = await checkout.head(), await checkout.branch()
    if head is None or not await repo.is_ancestor(base, head):
        await put_away_unknown(checkout, branch, before)
        return None
    if current == branch:
        await put_away_unknown(checkout, branch, before)
        return head
    tip = await repo.branch(branch)
    if tip and not await repo.is_ancestor(tip, head):
        await repo.keep(f"branch/{branch}/{tip[:12]}", tip)
    checkout.remove_locks()
    checkout.forget_operations()
    await repo.git("update-ref", "-m", "yoke: adopt", "--create-reflog", f"refs/heads/{branch}", head)
    await checkout.git("symbolic-ref", "HEAD", f"refs/heads/{branch}")
    if current and current not in before:
        await repo.delete_ref(f"refs/heads/{current}", head)
    await put_away_unknown(checkout, branch, before)
    return head
