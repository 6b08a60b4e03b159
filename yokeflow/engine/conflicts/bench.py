"""The place where a conflict is resolved: the epic's worktree, or that of a lane, on a branch of its own.

The branch that belongs there stays where it is until the result has passed; a crash leaves a private branch,
which the next run takes away.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from yokeflow.engine.conflicts.hunks import find_dropped, name_places
from yokeflow.engine.lanes.guard import take_back_target
from yokeflow.errors import GitError, RefMovedError, YokeError
from yokeflow.git.checkouts import checkouts, find
from yokeflow.git.commits import commit_tree
from yokeflow.git.restore import is_reached
from yokeflow.git.save import is_folder
from yokeflow.model import LANE_PREFIX, Strategy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence
    from pathlib import Path

    from yokeflow.engine.context import Context
    from yokeflow.engine.lanes.lanes import Lane
    from yokeflow.git.checkouts import Checkout

#: Ends the names of private branches; no id of an epic or a task has a plus in it.
_SUFFIX = "+conflict"
#: Whatever the user's settings are: the base is shown between the sides, and nothing is decided by them.
_SETTINGS = ("-c", "merge.conflictStyle=diff3", "-c", "rerere.enabled=false")
_MERGE = (
    *("merge", "-q", "--no-commit", "--no-ff", "--no-squash", "--no-stat", "--no-verify"),
    *("--no-autostash", "--no-verify-signatures", "--strategy=ort"),
)
#: How lines begin by which git marks a conflict.
_MARKERS = r"^(<{7}|\|{7}|>{7})( |$)"
#: Of files, in one command line; the longest have 4096 characters.
_MOST_NAMES = 200
_LITERAL = {"GIT_LITERAL_PATHSPECS": "1"}


class UnresolvedError(YokeError):
    """What came of a merge does not count."""


def private_branch(lane: str) -> str:
    """The branch on which conflicts are resolved in the worktree of a lane."""
    return f"{LANE_PREFIX}{lane}{_SUFFIX}"


@dataclass
class Bench:
    """A worktree with a merge of two commits in it: an epic's own, or that of a task that is to start."""

    context: Context
    epic: str
    #: The lane of the worktree, the branch that belongs there, and where that is.
    lane: str
    owner: str
    at: str
    #: What has all of that branch, and what is merged into it.
    tip: str
    theirs: str
    #: Files that git could not merge, each with a hash of what it left there.
    left: Mapping[str, str] = field(default_factory=dict)
    branches: Collection[str] = ()
    #: Where the lane's branch is now, once something has passed.
    accepted: str = ""

    @property
    def path(self) -> Path:
        return self.context.worktrees.path(self.lane)

    @property
    def branch(self) -> str:
        return private_branch(self.lane)

    async def begin(self, *options: str) -> None:
        """Merge `theirs` in the worktree, up to the commit; what conflicts is left in the files."""
        repo = self.context.repo
        flags = (*_SETTINGS, *_MERGE, *options, self.theirs)
        await self._checkout().git(*flags, ok=(0, 1), env=await repo.identity())
        self.branches = await repo.branches()
        names = await self._checkout().unmerged()
        self.left = await asyncio.to_thread(lambda: {name: _hash(self.path / name) for name in names})

    async def finish(self, message: str) -> str:
        """Make one commit of both sides and what the worktree has; moves no branch but the private one.

        Raises UnresolvedError when the merge was given up or is not whole.
        """
        repo = self.context.repo
        checkout = find(repo, self.path)
        if checkout is None or not checkout.is_whole() or not is_folder(self.path):
            raise UnresolvedError("nothing is left of the worktree")
        merging = self.theirs in _merge_heads(checkout)
        head = await self.context.worktrees.adopt(self.path, self.branch, self.tip, self.branches)
        if head is None:
            raise UnresolvedError("what is in the worktree does not build on the epic")
        if not merging and not await repo.is_ancestor(self.theirs, head):
            raise UnresolvedError("the merge was given up")
        await self._refuse_untouched()
        checkout.remove_locks()
        await checkout.git("add", "-A")
        head = await repo.commit_all(self.path, message, {}) or head
        await self._refuse_markers(head)
        return await commit_tree(repo, await repo.tree_of(head), [self.tip, self.theirs], message.encode())

    async def _refuse_untouched(self) -> None:
        names = await self._checkout().unmerged()
        now = await asyncio.to_thread(lambda: {name: _hash(self.path / name) for name in names})
        if same := [name for name in names if now[name] == self.left.get(name)]:
            raise UnresolvedError(f"nobody touched the conflict in {', '.join(same)}")

    async def _refuse_markers(self, head: str) -> None:
        marked = await self._marked(head)
        if marked:
            # Where a side has such lines, they are what the file is about.
            marked -= await self._marked(self.tip) | await self._marked(self.theirs)
        if marked:
            raise UnresolvedError(f"markers of the conflict are left in {', '.join(sorted(marked))}")

    async def _marked(self, commit: str) -> set[str]:
        # More names than a command line takes are looked for among all.
        names = ("--", *self.left) if 0 < len(self.left) <= _MOST_NAMES else ()
        out = await self.context.repo.git(
            "grep", "-l", "-z", "-I", "-E", _MARKERS, commit, *names, ok=(0, 1), env=_LITERAL
        )
        found = {part.partition(":")[2] for part in out.parts}
        return found & set(self.left) if self.left else found

    async def strays(self, commit: str, files: Collection[str]) -> Sequence[str]:
        """Files that git could merge and that `commit` has otherwise.

        Raises UnresolvedError when one of them is just as one side has it: the other's work would be gone.
        """
        repo = self.context.repo
        said = await repo.git("merge-tree", "--write-tree", "-z", self.tip, self.theirs, ok=(0, 1))
        strays = set(await repo.changed_files(said.parts[0], commit)) - set(files)
        for side in (self.tip, self.theirs):
            if lost := strays - set(await repo.changed_files(side, commit)):
                listed = ", ".join(sorted(lost))
                raise UnresolvedError(f"what one side did in {listed}, which did not conflict, is gone")
        return sorted(strays)

    async def refuse_dropped(self, commit: str, whose: str) -> None:
        """Raises UnresolvedError when `commit` lacks what one side did beside the conflict of a file.

        `whose` is the other side's work.
        """
        dropped = await find_dropped(self.context.repo, self.tip, self.theirs, commit)
        if dropped.ours:
            raise UnresolvedError(f"it drops what {self.epic} did in {name_places(dropped.ours)}")
        if dropped.theirs:
            raise UnresolvedError(f"it drops what {whose} did in {name_places(dropped.theirs)}")

    async def accept(self, commit: str) -> None:
        """Move the lane's branch to what has passed. Raises UnresolvedError when somebody else moved it."""
        repo, why = self.context.repo, f"yoke: resolve with {self.theirs[:12]}"
        try:
            await repo.update_ref(f"refs/heads/{self.owner}", commit, self.at, why)
        except RefMovedError as error:
            raise UnresolvedError(f"{self.owner} is not where it was") from error
        self.accepted = commit

    async def hold(self) -> None:
        """Take the lane's branch back to where it belongs if an agent moved it, and keep what it moved to."""
        context, name = self.context, self.owner
        wanted, now = self.accepted or self.at, await context.repo.branch(name)
        if now == wanted:
            return
        if now:
            await context.repo.keep(f"conflict/{self.epic}/{now[:12]}", now)
        why = "yoke: take back what was not tested"
        await context.repo.update_ref(f"refs/heads/{name}", wanted, now, why)

    async def put(self, commit: str) -> None:
        """The private branch and the files exactly at a commit."""
        await self.context.worktrees.reset(self.path, self.branch, commit)

    def _checkout(self) -> Checkout:
        checkout = find(self.context.repo, self.path)
        if checkout is None:
            raise UnresolvedError("nothing is left of the worktree")
        return checkout


@asynccontextmanager
async def bench(
    context: Context, epic: str, tip: str, theirs: str, lane: Lane | None = None
) -> AsyncIterator[Bench]:
    """The worktree of an epic, or of a lane of it, on its private branch at `tip` while the block runs.

    Then it is put back. Raises UnresolvedError when somebody works there.
    """
    if lane is None:
        place = Bench(context, epic, epic, context.epic_branch(epic), tip, tip, theirs)
    else:
        at = await context.repo.branch(lane.branch) or tip
        place = Bench(context, epic, lane.id, lane.branch, at, tip, theirs)
    await _refuse_guests(context, place)
    await place.put(tip)
    try:
        async with context.worktrees.in_use(place.path):
            yield place
    finally:
        await place.hold()
        await _leave(context, place.lane, place.owner)


async def _refuse_guests(context: Context, place: Bench) -> None:
    """A person may be resolving the same conflict by hand; all that lies there would be taken away."""
    name = place.owner
    for checkout in checkouts(context.repo):
        branch = await checkout.branch()
        if checkout.path != place.path:
            if branch == name:
                raise UnresolvedError(f"{name} is checked out in {checkout.path}")
        elif branch != place.branch:
            with suppress(GitError):
                if checkout.in_progress() or (await checkout.state()).changed:
                    raise UnresolvedError(f"somebody is at work in {place.path}")


async def _leave(context: Context, lane: str, owner: str) -> None:
    """The worktree as it was before, on its own branch, and no private branch; what that had is kept."""
    worktrees, repo = context.worktrees, context.repo
    tip = await repo.branch(owner)
    if context.config.parallel.strategy is Strategy.BY_EPIC and tip is not None:
        await worktrees.reset(worktrees.path(lane), owner, tip)
    else:
        await worktrees.close(lane)
    private = f"refs/heads/{private_branch(lane)}"
    if last := await repo.branch(private_branch(lane)):
        if not await is_reached(repo, last, private):
            await repo.keep(f"conflict/{lane}/{last[:12]}", last)
        await repo.delete_ref(private, last)


async def leave_all(context: Context) -> None:
    """Take away what a crash left of merges that were being resolved."""
    repo = context.repo
    for branch in sorted(name for name in await repo.branches() if name.endswith(_SUFFIX)):
        lane = branch.removeprefix(LANE_PREFIX).removesuffix(_SUFFIX)
        task = context.plan.tasks.get(lane)
        if (lane not in context.plan.epic and task is None) or branch != private_branch(lane):
            continue
        owner = f"{LANE_PREFIX}{lane}" if task else context.epic_branch(lane)
        tip = await repo.branch(owner)
        if tip and (done := await take_back_target(context, context.worktrees.path(lane), tip)):
            epic = task.epic if task else lane
            context.recorder.emit("warning.raised", epic=epic, reason=done, hint="")
        with suppress(RefMovedError):
            await _leave(context, lane, owner)


def _merge_heads(checkout: Checkout) -> list[str]:
    file = checkout.git_dir / "MERGE_HEAD"
    return file.read_text(encoding="ascii").split() if file.is_file() else []


def _hash(path: Path) -> str:
    """What a file holds; empty for none."""
    with suppress(OSError):
        content = bytes(path.readlink()) if path.is_symlink() else path.read_bytes()
        return hashlib.sha256(content).hexdigest()
    return ""
