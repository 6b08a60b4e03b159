"""Landing: bring finished epics onto the target branch, exactly as their merged tree was tested.

`queue` says what is to be merged, tested and landed when; here is how.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic, time
from typing import TYPE_CHECKING
from uuid import uuid4

from yokeflow.engine.landing.copies import Copies
from yokeflow.engine.landing.message import landing_message
from yokeflow.engine.landing.queue import GONE, LOST, Built, Member
from yokeflow.engine.landing.settings import wrong_settings
from yokeflow.engine.landing.tips import find_tip
from yokeflow.engine.lanes.guard import guard_running, put_right_refused
from yokeflow.engine.lanes.guests import refuse_in_epic
from yokeflow.engine.lanes.lanes import remove_lanes
from yokeflow.engine.report import LandingResult
from yokeflow.engine.sessions.checks import Subject
from yokeflow.errors import GitError, ProjectBusyError, RepositoryError, YokeError
from yokeflow.git.advance import is_unfinished
from yokeflow.git.evidence import attach
from yokeflow.git.merge import Advance, advance, commit_merge, finish_advance, merge_trees
from yokeflow.git.squashed import keep_squashed, with_history
from yokeflow.model import LandingStatus, MergeStrategy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from yokeflow.engine.context import Context
    from yokeflow.engine.lanes.lanes import Lanes
    from yokeflow.git.evidence import Proof

#: What goes wrong with git or the checkout costs the landing, not the run.
_FAULTS = (GitError, RepositoryError, ProjectBusyError)
#: What `Yoke-Checks` says of a commit in the middle of a batch, of which only the last tree is tested.
BATCHED = "batched"


class Landings:
    """The mechanics of one run's landings; whatever goes wrong leaves branches and target as they were."""

    def __init__(
        self,
        context: Context,
        lanes: Lanes,
        commits_of: Callable[[str], Mapping[str, str]],
        rebased: Callable[[str, str], None],
        ended: Callable[[LandingResult], None],
    ) -> None:
        """`commits_of` gives the completed tasks of an epic with the commits that completed them.

        `rebased` is told of a task whose commit a person has rewritten and of what came of it, `ended` how
        each landing ends.
        """
        self._context = context
        self._lanes = lanes
        self._commits_of = commits_of
        self._rebased = rebased
        self._ended = ended
        self._slots = asyncio.PriorityQueue[int]()
        for slot in range(1, context.config.landing.max_parallel_checks + 1):
            self._slots.put_nowait(slot)
        #: When each epic was first merged, on the monotonic clock.
        self._started: dict[str, float] = {}
        #: Where the target was last, and whether somebody has taken it back since the run began.
        self._seen, self._rewound = "", False
        #: The commits by which epics landed in this run.
        self._landed: dict[str, str] = {}
        self._copies = Copies(context.repo)
        #: What proved the commits that passed, until they land.
        self._proofs: dict[str, tuple[Proof, ...]] = {}

    async def tip(self) -> str:
        """Where the target is; empty when it is gone."""
        repo, seen = self._context.repo, self._seen
        self._seen = await repo.branch(self._context.target) or await self._restored()
        if self._seen not in {seen, *self._landed.values()}:
            await guard_running(self._context)
            self._seen = await repo.branch(self._context.target) or ""
        if seen not in {"", self._seen}:
            self._rewound |= not self._seen or not await repo.is_ancestor(seen, self._seen)
        return self._seen

    async def _restored(self) -> str:
        """Where the target is once nothing of the latest landings is missing; empty when it is gone."""
        await self._copies.restore()
        return await self._context.repo.branch(self._context.target) or ""

    async def build(self, base: str, epics: Sequence[str], ahead: Sequence[Member]) -> Built:
        """Merge epics one after the other onto `base`, up to the first that does not fit."""
        members: list[Member] = []
        refusal = None
        for epic in epics:
            found = await self._merge(epic, members[-1].commit if members else base, [*ahead, *members])
            if isinstance(found, LandingResult):
                refusal = found
                break
            members.append(found)
        try:
            return Built(await self._as_batch(members), refusal)
        except _FAULTS as error:
            return Built((), _rejection(epics[0], "checkout", error.message))

    async def _as_batch(self, members: Sequence[Member]) -> tuple[Member, ...]:
        """The same merges, of which all but the last one say that they were not tested alone."""
        if len(members) < 2:
            return tuple(members)
        said: list[Member] = []
        for member in members:
            old = said[-1].commit if said else member.old
            last = member is members[-1]
            proof = self._proof(members) if last else BATCHED
            said.append(await self._commit(replace(member, old=old), proof))
        return tuple(said)

    async def _merge(self, name: str, base: str, ahead: Sequence[Member]) -> Member | LandingResult:
        self._started.setdefault(name, monotonic())
        try:
            return await self._try_merge(name, base, ahead)
        except _FAULTS as error:
            return _rejection(name, "checkout", error.message)

    async def _try_merge(self, name: str, base: str, ahead: Sequence[Member]) -> Member | LandingResult:
        context, commits = self._context, self._commits_of(name)
        if not base:
            return _rejection(name, "checkout", f"the target branch {context.target} is gone")
        await refuse_in_epic(context, name)
        if self._rewound and (gone := await self._gone(name, base)):
            reason = f"{context.target} was taken back to before {gone} landed, on which {name} is built"
            return _rejection(name, "checkout", reason)
        found = await find_tip(context, name, commits, self._rebased)
        tip = found.commit
        if found.missing:
            return _rejection(name, "conflict", _lacking(context.epic_branch(name), found.missing))
        ours = await self._with_history(base, name, ahead)
        merged = await merge_trees(context.repo, ours, tip)
        if merged.tree is None and await context.repo.is_ancestor(base, tip):
            # The epic has taken in the target already; only the history of squashes crosses.
            merged = replace(merged, tree=await context.repo.tree_of(tip))
        if merged.tree is None:
            reason = f"{name} conflicts with {context.target} in {', '.join(merged.conflicts)}"
            result = LandingResult(name, LandingStatus.CONFLICT, waits="conflict", reason=reason)
            return replace(result, files=merged.conflicts, output=merged.output, old=base, tip=tip)
        member = Member(name, tuple(commits), tip, base, merged.tree, "")
        return await self._commit(member, self._proof([member]))

    async def _with_history(self, base: str, name: str, ahead: Sequence[Member]) -> str:
        repo, below = self._context.repo, self._context.order.builds_on(name)
        coming = [(member.commit, member.tip) for member in ahead if self._squash and member.epic in below]
        return await with_history(repo, base, below, coming)

    async def _gone(self, name: str, base: str) -> str | None:
        """An epic that `name` builds on and that has landed in this run, but is not in `base` any more."""
        for epic, commit in self._landed.items():
            builds = epic in self._context.order.builds_on(name)
            if builds and not await self._context.repo.is_ancestor(commit, base):
                return epic
        return None

    async def _commit(self, member: Member, proof: str) -> Member:
        """With its commit: the target itself when somebody has brought all of the epic there already."""
        repo = self._context.repo
        unchanged = member.tree == await repo.tree_of(member.old)
        if unchanged and await repo.is_ancestor(member.tip, member.old):
            return replace(member, commit=member.old)
        message = landing_message(self._context, member, proof)
        commit = await commit_merge(
            repo, member.old, member.tip, message, squash=self._squash, tree=member.tree
        )
        return replace(member, commit=commit)

    def _proof(self, members: Sequence[Member]) -> str:
        return "passed" if self._commands(members) else "none"

    def _commands(self, members: Sequence[Member]) -> list[str]:
        """The project's landing checks and what the epics' own tasks promised."""
        plan = self._context.plan
        promised = [
            command for member in members for task in member.tasks for command in plan.tasks[task].verify
        ]
        return list(dict.fromkeys((*self._context.config.landing_checks, *promised)))

    async def _is_gone(self, commit: str) -> bool:
        """Whether git removed a commit that nothing reached yet, as an agent's `gc --prune=now` has it do."""
        return await self._context.repo.resolve(commit) is None

    async def test(self, built: Built, stop: asyncio.Event) -> Built | LandingResult:
        """Run the checks on exactly the tree of the last commit; gives what may land when all pass."""
        self._tell(built)
        try:
            found = await self._try_test(built, stop)
            if isinstance(found, Built):
                built = found
                self._copy(built.members)
        except _FAULTS as error:
            if await self._is_gone(built.members[-1].commit):
                return GONE
            return _rejection(built.members[-1].epic, "checkout", error.message)
        return found

    def _copy(self, members: Sequence[Member]) -> None:
        begun = min(self._started[member.epic] for member in members)
        self._copies.take((member.commit for member in members), time() - (monotonic() - begun))

    async def _try_test(self, built: Built, stop: asyncio.Event) -> Built | LandingResult:
        last = built.members[-1]
        if wrong := await wrong_settings(self._context, built.members[0].old, last.commit):
            return _rejection(last.epic, "red_check", wrong)
        commands = self._commands(built.members)
        if not commands:
            return built
        async with self._slot() as slot:
            refusal = await self._check(last, commands, slot, stop)
        return refusal or await self._as_proved(built)

    def _tell(self, built: Built) -> None:
        for member in built.members:
            self._context.recorder.emit("landing.testing", **self._facts(member))

    async def _as_proved(self, built: Built) -> Built:
        """The same tree, in a commit that does not call flaky checks passed."""
        *others, last = built.members
        proofs = self._proofs.get(last.commit, ())
        if all(proof.outcome != "flaky" for proof in proofs) or last.commit == last.old:
            return built
        del self._proofs[last.commit]
        last = await self._commit(last, "flaky")
        self._proofs[last.commit] = proofs
        found = Built((*others, last))
        self._tell(found)
        return found

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[int]:
        slot = await self._slots.get()
        try:
            yield slot
        finally:
            self._slots.put_nowait(slot)

    async def _check(
        self, member: Member, commands: Sequence[str], slot: int, stop: asyncio.Event
    ) -> LandingResult | None:
        context, mark = self._context, str(uuid4())
        verdict = await context.checker.run(
            commands,
            member.tree,
            await context.worktrees.scratch.open(member.commit, slot, keep=context.config.checks.keep),
            context.project.session_folder(f"landing-{mark}"),
            Subject("landing", member.epic),
            mark,
            restore=lambda: context.worktrees.scratch.open(member.commit, slot),
            stop=stop,
        )
        if verdict.passed:
            self._proofs[member.commit] = verdict.proofs
            return None
        return _rejection(member.epic, "red_check", verdict.reason, verdict.output)

    async def advance(self, new: str, old: str) -> Advance:
        """Move the target, and the checkout that has it, unless that would overwrite something."""
        if new == old:
            return Advance(moved=True)
        repo, target = self._context.repo, self._context.target
        try:
            await put_right_refused(self._context)
            async with self._context.moving_target:
                moved = await advance(repo, target, new, old)
        except _FAULTS as error:
            moved = Advance(moved=False, reason="checkout", detail=error.message)
            if is_unfinished(repo):
                # In the middle. If it cannot be finished now, the run ends, and the next one does it.
                async with self._context.moving_target:
                    moved = await finish_advance(repo) or Advance(moved=False, reason="raced")
        if moved.reason == "checkout" and await self._is_gone(new):
            moved = Advance(moved=True) if await self._restored() == new else LOST
        if moved.moved:
            # So that a person who takes it back at once is not missed.
            self._seen = new
        return moved

    async def landed(self, built: Built) -> None:
        """Record that the target has it, and clear up."""
        context, last = self._context, built.members[-1]
        for member in built.members:
            await keep_squashed(context.repo, member.epic, member.commit, member.tip)
        proofs = self._proofs.pop(last.commit, ())
        await self._copies.restore()
        try:
            await attach(context.repo, last.commit, last.tree, proofs)
        except _FAULTS as error:
            reason = f"what proved {last.commit[:12]} is in the store alone: {error.message}"
            context.recorder.emit("warning.raised", epic=last.epic, reason=reason, hint="yoke doctor")
        context.recorder.record(
            *(
                context.recorder.event(
                    "landing.landed",
                    **self._facts(member),
                    tested_tree=last.tree,
                    strategy=context.config.parallel.merge_strategy.value,
                    seconds=round(monotonic() - self._started.pop(member.epic), 3),
                    tasks=list(member.tasks),
                )
                for member in built.members
            )
        )
        for member in built.members:
            self._landed[member.epic] = member.commit
            context.known_tips.add(member.commit)
            await self._clear(member.epic)
            seconds = sum(proof.seconds for proof in proofs) if member is last else 0.0
            self._ended(LandingResult(member.epic, LandingStatus.LANDED, member.commit, seconds=seconds))

    def _facts(self, member: Member) -> dict[str, str]:
        return {
            "epic": member.epic,
            "commit": member.commit,
            "tree": member.tree,
            "old_commit": member.old,
            "epic_commit": member.tip,
            "target": self._context.target,
            **({"conflicts": taken} if (taken := self._context.taken.get(member.epic)) else {}),
        }

    async def _clear(self, epic: str) -> None:
        """Remove what landed; a leftover that cannot be removed is no reason to stop."""
        self._lanes.forget(epic)
        try:
            await remove_lanes(self._context, epic)
        except (YokeError, OSError) as error:
            self._context.recorder.emit(
                "warning.raised",
                epic=epic,
                reason=f"something of {epic} is left: {error}",
                hint="yoke worktree clean",
            )

    def refused(self, result: LandingResult) -> None:
        """Record that an epic leaves the queue, and why."""
        self._started.pop(result.epic, None)
        if result.status is LandingStatus.CONFLICT:
            self._context.recorder.emit(
                "landing.conflicted",
                epic=result.epic,
                files=list(result.files),
                with_commit=result.old,
                old_commit=result.old,
                epic_commit=result.tip,
            )
        else:
            self._context.recorder.emit(
                "landing.rejected", epic=result.epic, reason=result.reason, output=result.output
            )
        self._ended(result)

    def in_the_way(self, epic: str, moved: Advance) -> LandingResult:
        """The refusal of an epic to whose commit the target cannot be moved."""
        target = self._context.target
        if moved.reason == "raced":
            return _rejection(epic, "red_check", f"{target} moved again and again while {epic} was tested")
        if not moved.files:
            return _rejection(epic, "checkout", f"{target} cannot be brought forward: {moved.detail}")
        listed = ", ".join(moved.files)
        what = f"{target} is checked out and landing would overwrite what is not committed there: {listed}"
        return _rejection(epic, "checkout", what)

    @property
    def _squash(self) -> bool:
        return self._context.config.parallel.merge_strategy is MergeStrategy.SQUASH


def _lacking(branch: str, tasks: Sequence[str]) -> str:
    return (
        f"branch {branch} lacks the commits of {', '.join(tasks)}: "
        f"`yoke retry {tasks[0]}` has it done again; if its work is there in another form, "
        "say so with a commit there: "
        f"`git commit --allow-empty -m 'Yoke-Task: {tasks[0]}'`"
    )


def _rejection(epic: str, waits: str, reason: str, output: str = "") -> LandingResult:
    return LandingResult(epic, LandingStatus.REJECTED, waits=waits, reason=reason, output=output)
