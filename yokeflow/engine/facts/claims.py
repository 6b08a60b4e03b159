"""Tasks that are completed by a person's commit which names them, where `hooks.close_tasks` says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from yokeflow.engine.facts.commits import LONGEST_SUBJECT, event_id
from yokeflow.engine.facts.git_facts import Closed
from yokeflow.engine.ledger.loading import load_ledger
from yokeflow.engine.lock import when_idle
from yokeflow.engine.recorder import Recorder
from yokeflow.engine.secrets.redact import redact
from yokeflow.events import Event
from yokeflow.git.advance import advance
from yokeflow.git.hooks import Hooks
from yokeflow.git.merge import commit_merge, merge_trees
from yokeflow.store import commits
from yokeflow.store.drain import drain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from uuid import UUID

    from yokeflow.engine.ledger.ledger import Ledger
    from yokeflow.engine.project import Project
    from yokeflow.git.history import Claim as FoundClaim
    from yokeflow.git.history import History
    from yokeflow.model import Plan
    from yokeflow.store.commits import Claim
    from yokeflow.store.connection import Store


async def close_tasks_if_idle(project: Project, store: Store, project_id: UUID) -> None:
    """What `close_tasks` does, and for commits that others stand for now, what `follow_rewritten` does.

    Where a run is going on or the plan cannot be read, that is for later.
    """

    async def close(plan: Plan) -> None:
        recorder = Recorder("", project.journal)
        closed = await close_tasks(project, plan, store, project_id, recorder)
        if await follow_rewritten(project, plan, store, project_id, recorder, lost=False) or closed:
            await drain(store, project_id, project.journal)

    if await _open_claims(project, store, project_id) or await _any_rewritten(project, store, project_id):
        await when_idle(project, close)


async def close_tasks(
    project: Project, plan: Plan, store: Store, project_id: UUID, recorder: Recorder
) -> bool:
    """Complete tasks that commits of people name, each commit once; whether there was one.

    Only what is on the epic's branch or on the target counts: else a landing would leave it out. What is on
    the target alone is merged into the epic's branch, so that the epic's next tasks have it; where that
    conflicts, the task stays open. The caller holds the project, so no task runs.
    """
    claims = [claim for claim in await _open_claims(project, store, project_id) if claim.task in plan.tasks]
    there = [claim async for claim in _usable(project, plan, claims)]
    if not there:
        return False
    ledger, _ = await load_ledger(store, project_id, plan, recorder)
    for claim in there:
        if not ledger.is_done(claim.task):
            _complete(project, plan, ledger, recorder, claim)
    return True


async def follow_rewritten(
    project: Project,
    plan: Plan,
    store: Store,
    project_id: UUID,
    recorder: Recorder,
    *,
    lost: bool = True,
) -> bool:
    """Let go of commits that completed a task and are no longer there; whether there was one.

    After an amend or a rebase another commit that names the task is there, which completes it instead; after
    a reset none is, and the task is open again, unless `lost` says otherwise: the commit may come back as
    long as nobody builds on the task. What has landed stays. The caller holds the project.
    """
    if not project.config.hooks.close_tasks:
        return False
    async with store.begin() as connection:
        closed = await commits.closed(connection, project_id)
    known = [one for one in closed if one.task in plan.tasks]
    gone = [one for one in known if not await _is_there(project, plan.tasks[one.task].epic, one)]
    turned = False
    for claim in gone:
        async with store.begin() as connection:
            others = await commits.naming(connection, project_id, claim.task)
        there = (one for one in others if one.commit != claim.commit)
        instead = [one async for one in _usable(project, plan, there)]
        if instead or lost:
            _turn(plan, recorder, claim, instead[0] if instead else None)
            turned = True
    return turned


async def closed_by_people(project: Project, plan: Plan | None, history: History) -> list[Closed]:
    """What `close_tasks` has done as far as git tells it, for a store that lost it; oldest first.

    Whether hooks are installed is not asked: a clone has none of ours yet, and to do again what a person did
    would be worse than to take a commit at its word.
    """
    if plan is None or not project.config.hooks.close_tasks:
        return []
    claims = [claim for claim in history.claims if claim.task in plan.tasks]
    return [
        _closed(project, plan.tasks[claim.task].epic, claim)
        for claim in claims
        if claim.landed or await _is_there(project, plan.tasks[claim.task].epic, claim)
    ]


def _closed(project: Project, epic: str, claim: FoundClaim) -> Closed:
    """The same events, with the same ids, as told when the commit was made."""
    where: dict[str, Any] = {"epic": epic, "task": claim.task, "at": claim.at}
    recorded = {
        "commit": claim.commit,
        "parents": list(claim.parents),
        "subject": redact(claim.subject)[:LONGEST_SUBJECT],
        "author": claim.author,
        "writer": "person",
        "branch": "",
        "named": True,
    }
    told = event_id(project.repo, "commit.recorded", claim.task, claim.commit, "")
    data = {"commit": claim.commit, "seconds": 0.0, "by": f"human:{claim.author}"}
    events = (
        Event("commit.recorded", data=recorded, id=told, **where),
        Event("task.completed", data=data, id=_id(project, claim), **where),
    )
    return Closed(claim.task, claim.commit, claim.at, events)


async def _open_claims(project: Project, store: Store, project_id: UUID) -> Sequence[Claim]:
    """Commits that name an open task and did not complete it before: who reopened it knew of them."""
    if not project.config.hooks.close_tasks or not Hooks(project.repo).installed:
        return ()
    async with store.begin() as connection:
        claims = await commits.claims(connection, project_id)
        if not claims:
            return ()
        ids = {_id(project, claim): claim for claim in claims}
        applied = await commits.applied(connection, list(ids))
    return [claim for id_, claim in ids.items() if id_ not in applied]


def _id(project: Project, claim: Claim | FoundClaim) -> str:
    return event_id(project.repo, "claim", claim.task, claim.commit)


async def _any_rewritten(project: Project, store: Store, project_id: UUID) -> bool:
    """Whether a commit that completed a task is gone, and another one that names the task is recorded."""
    if not project.config.hooks.close_tasks:
        return False
    async with store.begin() as connection:
        doubtful = await commits.doubtful(connection, project_id)
    # Who only reads waits for this: one git after another, up to the first that is gone.
    for claim, epic in doubtful:
        if not await _is_there(project, epic, claim):
            return True
    return False


async def _is_there(project: Project, epic: str, claim: Claim | FoundClaim) -> bool:
    repo = project.repo
    target = await repo.target_branch(project.config.project.target)
    branches = (target, _epic_branch(project, epic))
    tips = [tip for branch in branches if (tip := await repo.branch(branch))]
    return bool(await repo.resolve(claim.commit)) and any(
        [await repo.is_ancestor(claim.commit, tip) for tip in tips]
    )


async def _usable(project: Project, plan: Plan, claims: Iterable[Claim]) -> AsyncIterator[Claim]:
    """Those that the epic's landing will have."""
    for claim in claims:
        epic = plan.tasks[claim.task].epic
        if await _is_there(project, epic, claim) and await _bring_home(project, epic, claim):
            yield claim


async def _bring_home(project: Project, epic: str, claim: Claim) -> bool:
    """Whether the epic's branch has the commit, or there is no such branch: it would start at the target."""
    repo = project.repo
    branch = _epic_branch(project, epic)
    tip = await repo.branch(branch)
    if tip is None or await repo.is_ancestor(claim.commit, tip):
        return True
    new = claim.commit
    if not await repo.is_ancestor(tip, claim.commit):
        merged = await merge_trees(repo, tip, claim.commit)
        if merged.tree is None:
            return False
        message = f"Take in {claim.commit[:12]} for {claim.task}\n\nYoke-Taken: {claim.task}\n"
        new = await commit_merge(repo, tip, claim.commit, message, tree=merged.tree)
    return (await advance(repo, branch, new, tip)).moved


def _epic_branch(project: Project, epic: str) -> str:
    return f"{project.config.project.branch_prefix}{epic}"


def _complete(project: Project, plan: Plan, ledger: Ledger, recorder: Recorder, claim: Claim) -> None:
    task, by = plan.tasks[claim.task], f"human:{claim.author}"
    done = Event(
        "task.completed",
        run=recorder.run,
        epic=task.epic,
        task=task.id,
        data={"commit": claim.commit, "seconds": 0.0, "by": by},
        id=_id(project, claim),
    )
    recorder.record(*ledger.interventions.settle_all(task.id, "done", by), done)
    ledger.failed.pop(task.id, None)
    ledger.complete(task, claim.commit)


def _turn(plan: Plan, recorder: Recorder, gone: Claim, instead: Claim | None) -> None:
    """Open a task again whose commit is gone, and complete it by another where there is one."""
    where = {"epic": plan.tasks[gone.task].epic, "task": gone.task}
    reason = f"commit {gone.commit[:12]}, which completed it, is on neither the target nor the epic's branch"
    events = [recorder.event("task.reopened", **where, by="system", reason=reason)]
    if instead:
        by = f"human:{instead.author}"
        # The commit may have completed it before, so this is no event of that time.
        done = recorder.event("task.completed", **where, commit=instead.commit, seconds=0.0, by=by)
        events.append(done)
    recorder.record(*events)
