"""How long a plan would take, by the scheduler that also runs it, with estimates in the place of agents."""

from __future__ import annotations

from dataclasses import dataclass, replace
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from yokeflow.engine.scheduling.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from yokeflow.model import Plan, Resolution, Task

    #: The `order_ready` hook.
    Hook = Callable[[Sequence[Task], Resolution], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Planned:
    """When a task would run, in seconds from the start."""

    task: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Simulation:
    """A whole run on paper."""

    #: In order of start.
    timeline: tuple[Planned, ...]

    @property
    def makespan(self) -> float:
        """Seconds until the last task is done."""
        return max((planned.end for planned in self.timeline), default=0.0)

    @property
    def work(self) -> float:
        """Seconds that one worker alone would take."""
        return sum(planned.end - planned.start for planned in self.timeline)


def simulate(
    plan: Plan,
    resolution: Resolution,
    order: Hook,
    *,
    concurrency: int,
    agent_limit: Mapping[str, int] | None = None,
    agent_of: Callable[[Task], str] = lambda task: task.agent,
) -> Simulation:
    """Play a run through: every task succeeds at its first attempt and takes as long as expected."""
    scheduler = Scheduler(
        plan,
        resolution,
        lambda ready: order(ready, resolution),
        concurrency=concurrency,
        agent_limit=agent_limit,
        agent_of=agent_of,
    )
    timeline: list[Planned] = []
    running: list[tuple[float, int, str]] = []
    now = 0.0
    while True:
        for task in scheduler.startable():
            scheduler.started(task.id)
            end = now + resolution.durations[task.id]
            timeline.append(Planned(task.id, now, end))
            heappush(running, (end, task.position, task.id))
        if not running:
            return Simulation(tuple(timeline))
        # One at a time, also where several end at once: the engine dispatches after each as well.
        now, _, over = heappop(running)
        scheduler.completed(over)


def simulate_barriers(plan: Plan, resolution: Resolution, order: Hook, *, concurrency: int) -> Simulation:
    """The same with a barrier after each batch, as a comparison; inside a batch the longest task is first."""
    timeline: list[Planned] = []
    now = 0.0
    for batch in resolution.batches:
        alone = replace(
            resolution,
            hard=dict.fromkeys(batch, frozenset[str]()),
            remaining={task: resolution.durations[task] for task in batch},
        )
        level = simulate(plan, alone, order, concurrency=concurrency)
        timeline += [Planned(item.task, now + item.start, now + item.end) for item in level.timeline]
        now += level.makespan
    return Simulation(tuple(timeline))
