"""What a run would do, without doing any of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from yokeflow.engine.decide import Decisions
from yokeflow.engine.ledger import load_ledger
from yokeflow.engine.recorder import Recorder
from yokeflow.engine.selection import selected

if TYPE_CHECKING:
    from yokeflow.engine.project import Project
    from yokeflow.engine.selection import RunOptions
    from yokeflow.model import Plan


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
        ledger, durations = await load_ledger(store, project_id, plan, Recorder("", project.journal))
    found = Decisions(project.plugins, project.config).resolve(plan, ledger.finished, durations)
    tasks = tuple(
        PlannedTask(
            id=name,
            epic=plan.tasks[name].epic,
            title=plan.tasks[name].title,
            batch=number,
            lane=found.lanes[name],
            agent=options.agent or project.config.agent_of(plan.tasks[name].agent),
            seconds=found.durations[name],
            critical=name in found.critical_path,
            waits_for=tuple(sorted(found.hard[name])),
        )
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
