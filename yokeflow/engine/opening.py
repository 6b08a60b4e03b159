"""Put together what the parts of one run, or of one undo, share."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from yokeflow.engine.context import Context
from yokeflow.engine.decisions.decide import Decisions
from yokeflow.engine.decisions.hosting import Lender
from yokeflow.engine.lanes.shared import Shared
from yokeflow.engine.sessions.checks import Checker
from yokeflow.engine.sessions.interview import interview
from yokeflow.git.hooks import guard_refs, session_hooks
from yokeflow.model import LANE_PREFIX
from yokeflow.store import evidence

if TYPE_CHECKING:
    from uuid import UUID

    from yokeflow.engine.project import Project
    from yokeflow.engine.recorder import Recorder
    from yokeflow.model import Plan
    from yokeflow.store.connection import Store


async def open_context(
    project: Project, plan: Plan, recorder: Recorder, store: Store, project_id: UUID, *, only_agent: str = ""
) -> Context:
    """The tools and facts of a run; raises RepositoryError without a target branch."""
    async with store.begin() as connection:
        known = await evidence.known_checks(connection, project_id)
    target = await project.repo.target_branch(project.config.project.target)
    lender = Lender(store, project_id, project.repo, target, recorder)
    context = Context(
        project=project,
        plan=plan,
        target=target,
        recorder=recorder,
        decide=Decisions(project.plugins, project.config, lender),
        checker=Checker(project.config, recorder, known),
        worktrees=project.worktrees,
        agents=project.plugins.agents(),
        only_agent=only_agent,
        session_git=await session_hooks(project.repo),
        shared=Shared(project.repo, (project.config.project.branch_prefix, LANE_PREFIX)),
    )
    prefix = project.config.project.branch_prefix
    guard_refs(project.repo, target, prefix, map(context.epic_branch, plan.epic))
    lender.interview = partial(interview, context)
    return context
