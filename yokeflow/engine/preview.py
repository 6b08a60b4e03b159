"""What a run would do, without doing any of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from yokeflow.engine.decisions.decide import Decisions
from yokeflow.engine.decisions.hosting import Lender
from yokeflow.engine.ledger.loading import load_ledger
from yokeflow.engine.recorder import Recorder
from yokeflow.engine.selection import selected
from yokeflow.plan.roles import roles

if TYPE_CHECKING:
    from yokeflow.config import Config
    from yokeflow.engine.project import Project
    from yokeflow.engine.selection import RunOptions
    from yokeflow.model import Plan, Profile, Resolution, Task


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """A task that a run would do."""

    id: str
    epic: str
    title: str
    #: From 0; tasks of one batch do not wait for each other.
    batch: int
    lane: str
    agent: str
    #: The role in which the agent would do it first, and why; empty for none.
    profile: str
    profile_reason: str
    #: Seconds it is expected to take.
    seconds: float
    #: It is on the longest chain.
    critical: bool
    waits_for: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """A run as it would be."""

    target: str
    strategy: str
    concurrency: int
    tasks: tuple[PlannedTask, ...]
    #: Seconds of the longest chain: no run can be faster.
    shortest: float
    #: Seconds of all tasks added up.
    work: float
    #: Tasks of the plan that are done already.
    finished: int


async def preview(project: Project, plan: Plan, options: RunOptions) -> Preview:
    """Find out what a run with these options would do now, and do nothing.

    Raises what the start of a run raises.
    """
    chosen = selected(plan, options)
    target = await project.repo.target_branch(project.config.project.target)
    async with project.store() as (store, project_id):
        recorder = Recorder("", project.journal)
        ledger, durations = await load_ledger(store, project_id, plan, recorder)
        lender = Lender(store, project_id, project.repo, target, recorder)
        decide = Decisions(project.plugins, project.config, lender)
        await decide.preview(plan)
    found = decide.resolve(plan, ledger.finished, durations)
    role = roles(plan, lambda task: decide.profile(task, ledger.failed_attempts(task.id) + 1))
    tasks = tuple(
        _planned(plan.tasks[name], number, found, role[name], options.agent, project.config)
        for number, batch in enumerate(found.batches)
        for name in batch
        if name in chosen
    )
    return Preview(
        target=target,
        strategy=project.config.parallel.strategy.value,
        concurrency=project.config.concurrency,
        tasks=tasks,
        shortest=max((found.remaining[task.id] for task in tasks), default=0.0),
        work=sum(task.seconds for task in tasks),
        finished=len(ledger.finished),
    )


def _planned(
    task: Task, batch: int, found: Resolution, role: Profile | None, only_agent: str, config: Config
) -> PlannedTask:
    return PlannedTask(
        id=task.id,
        epic=task.epic,
        title=task.title,
        batch=batch,
        lane=found.lanes[task.id],
        agent=only_agent or config.agent_of(task.agent or (role.agent if role else "")),
        profile=role.name if role else "",
        profile_reason=role.reason if role else "",
        seconds=found.durations[task.id],
        critical=task.id in found.critical_path,
        waits_for=tuple(sorted(found.hard[task.id])),
    )
