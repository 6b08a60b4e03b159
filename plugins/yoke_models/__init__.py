"""Which model does a task: the cheapest that lands such work, by what is named, learned and left to spend."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from yoke_models.choose import Case, choose
from yoke_models.history import load
from yoke_models.memory import Memory, of_plan
from yokeflow.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence

    import click

    from yokeflow.config import Config
    from yokeflow.events import Event
    from yokeflow.hookspecs import Host
    from yokeflow.model import Attempt, BudgetLeft, ModelChoice, Plan

#: By run, while it goes on.
_memories: dict[str, Memory] = {}


@hookimpl
def register_commands() -> Sequence[click.Command]:
    """`yoke models`, imported when it is asked for."""
    return [import_module("yoke_models.command").command]


@hookimpl
async def begin_run(plan: Plan, config: Config, host: Host) -> None:
    """Load what earlier sessions have shown."""
    memory = of_plan(config, plan)
    async with host.begin() as connection:
        await load(connection, host.project_id, memory)
    _memories[host.run] = memory


@hookimpl
async def begin_preview(plan: Plan, config: Config, host: Host) -> None:
    """The same, to show what would be chosen."""
    await begin_run(plan, config, host)


@hookimpl
def select_model(
    attempt: Attempt, agent: str, config: Config, budget: BudgetLeft | None
) -> ModelChoice | None:
    """Choose from memory alone: the database may be away."""
    memory = _memories.get(attempt.run) or Memory(config)
    failed = memory.failed.get(attempt.task.id, ())
    return choose(Case(attempt, agent, config, budget, memory.evidence, failed))


@hookimpl
def on_event(event: Event) -> None:
    """Learn while the run goes on."""
    if memory := _memories.get(event.run):
        memory.see(event)
        if event.type == "run.finished":
            del _memories[event.run]
