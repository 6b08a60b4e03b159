"""What a crash left behind, put right at the start of the next run. Reads the store and git, trusts git."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING

from yokeflow.engine.conflicts.bench import leave_all
from yokeflow.engine.landing.landings import BATCHED
from yokeflow.engine.lanes.guard import take_back_target
from yokeflow.engine.lanes.lanes import remove_lanes
from yokeflow.engine.ledger.interventions import SYSTEM
from yokeflow.engine.processes.process import sweep
from yokeflow.engine.recovery.rebased import follow_rebased
from yokeflow.engine.recovery.taken_back import any_new, offer_again
from yokeflow.engine.sessions.accounting import close_question
from yokeflow.engine.sessions.checks import proof_of
from yokeflow.errors import GitError, RepositoryError, YokeError
from yokeflow.events import Event
from yokeflow.git.broken import drop_broken_refs
from yokeflow.git.checkouts import find
from yokeflow.git.evidence import attach, outcome
from yokeflow.git.merge import finish_advance
from yokeflow.git.orphans import end_orphans
from yokeflow.git.reverts import Reverts, find_reverts, find_reverts_after, positions
from yokeflow.git.shared_locks import free_shared_locks
from yokeflow.git.squashed import keep_squashed
from yokeflow.git.strays import noted_branches, put_away_since, put_away_unknown
from yokeflow.model import LANE_PREFIX, LandingStatus
from yokeflow.store import evidence, unfinished

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yokeflow.engine.context import Context
    from yokeflow.engine.ledger.ledger import Ledger
    from yokeflow.git.evidence import Proof
    from yokeflow.store.connection import Store
    from yokeflow.store.unfinished import EpicLanding, OpenRun, OpenSession

#: States of a landing that is not over.
OPEN = {LandingStatus.QUEUED, LandingStatus.TESTING}
_KILLED = "the run was killed"
#: Seconds that the end of a run spends on deleting what was removed in it.
_LONGEST_DELETION = 5.0


@dataclass(frozen=True, slots=True)
class Remains:
    """What the store says was going on when the last run ended."""

    runs: Sequence[OpenRun]
    sessions: Sequence[OpenSession]
    landings: Sequence[EpicLanding]
    #: Branch by lane of the worktrees that were open.
    branches: Mapping[str, str]
    #: What each of the landings passed on its tree, by id.
    proofs: Mapping[str, Sequence[Proof]] = field(default_factory=dict)
    #: How it was recorded that an agent is asked something, where no answer was.
    questions: Sequence[Event] = ()


async def find_remains(store: Store, project_id: UUID) -> Remains:
    """Ask the store for everything of which no end is known."""
    async with store.begin() as connection:
        landings = await unfinished.latest_landings(connection, project_id)
        worktrees = await unfinished.open_worktrees(connection, project_id)
        open_landings = [landing for landing in landings.values() if landing.status in OPEN]
        proofs = {landing.id: await _proofs(connection, project_id, landing) for landing in open_landings}
        runs = await unfinished.unfinished_runs(connection, project_id)
        return Remains(
            runs=runs,
            sessions=await unfinished.unfinished_sessions(connection, project_id),
            landings=open_landings,
            branches={worktree.lane: worktree.branch for worktree in worktrees},
            proofs=proofs,
            questions=await unfinished.unanswered(connection, project_id, runs),
        )


async def _proofs(connection: AsyncConnection, project_id: UUID, landing: EpicLanding) -> list[Proof]:
    if not landing.tree:
        return []
    passed = await evidence.passed_by_landing(connection, project_id, landing.id, landing.tree)
    return [
        proof_of(each.command, each.environment, flaky=each.flaky, seconds=each.seconds) for each in passed
    ]


async def recover(context: Context, remains: Remains) -> None:
    """Close what has no live process, finish or take back what was half done.

    The caller holds the project, so nothing that is found here is alive.
    """
    await _stop_processes(remains)
    repo = context.repo
    await end_orphans((repo.common_dir, repo.root, context.worktrees.folder))
    for freed in (*await free_shared_locks(repo), *await drop_broken_refs(repo)):
        context.recorder.emit("warning.raised", reason=freed, hint="")
    await finish_advance(repo)
    await _guard_target(context, remains)
    for repaired in await context.worktrees.repair():
        context.recorder.emit("warning.raised", reason=repaired, hint="")
    await leave_all(context)
    for session in remains.sessions:
        await _close_session(context, session, remains.branches.get(session.lane, ""))
    for question in remains.questions:
        close_question(context.recorder, question)
    for landing in remains.landings:
        await _close_landing(context, landing, remains.proofs.get(landing.id, ()))
    for run in remains.runs:
        killed = {"state": "interrupted", "exit_code": None, "reason": _KILLED}
        context.recorder.record(Event("run.finished", run=run.id, data=killed))


async def _stop_processes(remains: Remains) -> None:
    """Agents die with the run that started them; this is for machines where they cannot."""
    sessions = [session.id for session in remains.sessions]
    for session in (*sessions, *(question.session for question in remains.questions)):
        await asyncio.to_thread(sweep, "YOKE_SESSION", session)


async def _guard_target(context: Context, remains: Remains) -> None:
    """Take back what agents brought onto the target before the run could look at it."""
    began = {run.target_commit for run in remains.runs if run.target == context.target and run.target_commit}
    context.known_tips.update(began)
    for session in remains.sessions:
        path = context.worktrees.path(session.lane)
        if session.base_commit and (done := await take_back_target(context, path, session.base_commit)):
            context.recorder.emit("warning.raised", reason=done, hint=f"git reflog {context.target}")


async def _close_session(context: Context, session: OpenSession, branch: str) -> None:
    """Count a session whose work reached its epic as completed, and take back any other."""
    task = context.plan.tasks.get(session.task)
    epic = task.epic if task else ""
    joined = await _joined(context, session, branch, context.epic_branch(epic)) if epic else None
    kept = "" if joined else await _take_back(context, session, branch)
    seconds = _seconds(context, session)
    finished = context.recorder.event(
        "session.finished",
        epic=epic,
        task=session.task,
        session=session.id,
        state="completed" if joined else "interrupted",
        reason="" if joined else _KILLED,
        seconds=seconds,
        cost_usd=None,
        cost_source="unknown",
        usage=[],
        kept_ref=kept,
        answer="",
        recovered=True,
    )
    if joined is None:
        context.recorder.record(finished)
        return
    done = context.recorder.event(
        "task.completed", epic=epic, task=session.task, commit=joined, seconds=seconds
    )
    context.recorder.record(finished, done)


async def _joined(context: Context, session: OpenSession, branch: str, epic_branch: str) -> str | None:
    """The epic's tip when a lane had joined the session's checked commits into it before the crash."""
    tip = await context.repo.branch(epic_branch)
    if tip is None or not session.base_commit or branch in {"", epic_branch}:
        return None
    commits = await context.repo.commits(session.base_commit, tip)
    ours = any(session.id in commit.trailers.get("Yoke-Session", ()) for commit in commits)
    return tip if ours else None


def _seconds(context: Context, session: OpenSession) -> float:
    """How long it lived, by the last that it said; not less than nothing where a clock went back."""
    ended = datetime.now(UTC).timestamp()
    with suppress(OSError):
        ended = (context.project.session_folder(session.id) / "output.log").stat().st_mtime
    return max(ended - session.started.timestamp(), 0.0)


async def _take_back(context: Context, session: OpenSession, branch: str) -> str:
    """Put the lane back to where the session started; gives the ref that keeps what it had done."""
    repo, base = context.repo, session.base_commit
    tip = await repo.branch(branch) if branch else None
    if tip is None or base is None:
        return ""
    kept = await repo.keep(f"{session.task}/{session.id}", tip) if tip != base else ""
    path = context.worktrees.path(session.lane)
    if checkout := find(repo, path):
        known = noted_branches(context.project.session_folder(session.id))
        if known is None:
            await put_away_since(checkout, branch, session.started.timestamp())
        else:
            await put_away_unknown(checkout, branch, known)
    await context.worktrees.reset(path, branch, base)
    made = await repo.commits(base, tip)
    if not all(session.id in commit.trailers.get("Yoke-Session", ()) for commit in made):
        # Whether the agent or a person made them since, nobody can tell.
        reason = f"{branch} is back where {session.task} began; it had commits that do not name its session"
        context.recorder.emit("warning.raised", reason=reason, hint=f"they are kept: git log {base}..{kept}")
    return kept


async def _close_landing(context: Context, landing: EpicLanding, proofs: Sequence[Proof]) -> None:
    """A landing whose commit is on the target has landed; any other is queued again by the run."""
    if not landing.commit or not landing.target or landing.commit == landing.old_commit:
        return
    tip = await context.repo.branch(landing.target)
    # No ref leads to a commit that is being tested: somebody's garbage collection may have taken it.
    if tip is None or await context.repo.resolve(landing.commit) is None:
        return
    if not await context.repo.is_ancestor(landing.commit, tip):
        return
    if landing.epic_commit:
        await keep_squashed(context.repo, landing.epic, landing.commit, landing.epic_commit)
    # In the middle of a batch, what its tree passed before counts for nothing.
    if landing.tree and await outcome(context.repo, landing.commit) != BATCHED:
        await attach(context.repo, landing.commit, landing.tree, proofs)
    context.recorder.emit(
        "landing.landed",
        epic=landing.epic,
        commit=landing.commit,
        tree=landing.tree,
        old_commit=landing.old_commit,
        epic_commit=landing.epic_commit,
        target=landing.target,
        strategy=context.config.parallel.merge_strategy.value,
        seconds=0.0,
        tasks=[],
        recovered=True,
    )


async def compare_with_git(
    context: Context, ledger: Ledger, store: Store, project_id: UUID, asked: Collection[str] = ()
) -> Mapping[str, EpicLanding]:
    """Where the store and git differ, git is right; gives the landings as the store has them.

    A completed task whose commit was rebased has what came of it; one whose commit is not in the repository
    is to be done again. An epic whose landing is no longer on the target, or reverted there, was taken back
    by a person, who is asked. A landing that waits for a person is tried again once what was in its way has
    changed, unless a person `asked` for some alone.
    """
    async with store.begin() as connection:
        landings = await unfinished.latest_landings(connection, project_id)
    _warn_of_another_target(context, landings)
    repo = context.repo
    places = await positions(repo, f"refs/heads/{context.target}")
    await follow_rebased(context, ledger, places)
    for task, commit in list(ledger.commits.items()):
        # What has landed is in the landing, whatever became of the commits that it was made of.
        epic = context.plan.tasks[task].epic
        landing = ledger.landing_commits.get(epic) if epic in ledger.landed else None
        if not await repo.resolve(commit) and not (landing and await repo.resolve(landing)):
            ledger.lose(task, f"its commit {commit[:12]} is not in this repository")
    new = await any_new(context, store, project_id)
    reverts = Reverts(())
    if new and landings:
        before = [landing.old_commit for landing in landings.values()]
        reverts = await find_reverts_after(repo, f"refs/heads/{context.target}", before, places)
    for epic, commit in ledger.landing_commits.items():
        if epic not in ledger.landed or not commit or landings[epic].target != context.target:
            continue
        await _ask_if_taken_back(context, ledger, epic, commit, reverts, there=commit in places)
    for epic in () if asked else sorted(ledger.held & set(landings)):
        if await _changed(context, ledger, landings[epic]):
            ledger.requeue(epic, by=SYSTEM)
    return landings


async def look_again(context: Context, ledger: Ledger, since: str | None) -> None:
    """See at the end of a run whether what it landed is on the target; if not, ask as the next run would.

    `since` is where the target was when the run began. What git does not answer is left to the next run.
    """
    repo, landed = context.repo, list(ledger.landed_now)
    if not landed:
        return
    with suppress(GitError, RepositoryError):
        tip = await repo.branch(context.target)
        known = tip and since and await repo.is_ancestor(since, tip)
        reverts = await find_reverts(repo, tip, since or "" if known else "") if tip else Reverts(())
        for entry in landed:
            there = tip is not None and await repo.is_ancestor(entry.commit, tip)
            await _ask_if_taken_back(context, ledger, entry.epic, entry.commit, reverts, there=there)


async def _ask_if_taken_back(
    context: Context, ledger: Ledger, epic: str, commit: str, reverts: Reverts, *, there: bool
) -> None:
    """Ask a person about an epic whose landing is not `there` on the target, or reverted by a person.

    Of an undo that was made elsewhere the next run tells.
    """
    if not there:
        ledger.take_back(epic, f"its landing {commit[:12]} is no longer on {context.target}")
    elif (revert := reverts.of(commit)) and not revert.ours:
        await offer_again(context, epic, revert.commit)
        by = f"by {revert.commit[:12]} on {context.target}"
        ledger.take_back(epic, f"its landing {commit[:12]} was reverted {by}")


def _warn_of_another_target(context: Context, landings: Mapping[str, EpicLanding]) -> None:
    """Say so when epics landed on another branch until now, and nobody has set that it be this one."""
    before = {landing.target for landing in landings.values() if landing.status is LandingStatus.LANDED}
    if context.config.project.target or not before or context.target in before:
        return
    names = " and ".join(sorted(before))
    context.recorder.emit(
        "warning.raised",
        reason=f"epics land on {context.target}, which is checked out; until now they landed on {names}",
        hint=f"git switch {min(before)}, or set project.target",
    )


async def _changed(context: Context, ledger: Ledger, landing: EpicLanding) -> bool:
    """Whether what was in the way of a landing may be gone."""
    kinds = {entry.kind for entry in ledger.waiting.values() if entry.item == landing.epic}
    if "taken_back" in kinds:
        return False
    now = (
        await context.repo.branch(context.target),
        await context.repo.branch(context.epic_branch(landing.epic)),
    )
    return "checkout" in kinds or now != (landing.old_commit, landing.epic_commit)


async def tidy(context: Context, landed: Iterable[str]) -> None:
    """Remove worktrees and branches that epics left behind when they landed, and what was removed before."""
    branches = await context.repo.branches()
    for epic in landed:
        lanes = [epic, *(task.id for task in context.plan.epic[epic].tasks)]
        names = {context.epic_branch(epic), *(f"{LANE_PREFIX}{lane}" for lane in lanes)}
        if names & branches or any(context.worktrees.path(lane).exists() for lane in lanes):
            await remove_lanes(context, epic)
    await context.worktrees.scratch.close()
    await context.worktrees.pool.empty()
    began = monotonic()
    await context.worktrees.empty_trash(_LONGEST_DELETION)
    left = len(context.worktrees.removed())
    if left and monotonic() - began > _LONGEST_DELETION:
        reason = f"{left} things that were removed are still to be deleted: the next run goes on with that"
        context.recorder.emit("warning.raised", reason=reason, hint="yoke worktree clean")


async def tidy_up(context: Context, landed: Iterable[str]) -> None:
    """The same at the end of something that has succeeded: what cannot be removed is no reason to fail."""
    try:
        await tidy(context, landed)
    except (YokeError, OSError) as error:
        context.recorder.emit(
            "warning.raised", reason=f"something is left: {error}", hint="yoke worktree clean"
        )
