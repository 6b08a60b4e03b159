"""What must be right before a run starts, so that nobody finds out halfway."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from yokeflow.engine.known_agents import check_plan, check_settings
from yokeflow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from yokeflow.config import AgentOptions
    from yokeflow.engine.context import Context
    from yokeflow.hookspecs import Agent
    from yokeflow.model import Task


def check_agents(context: Context, tasks: Iterable[Task]) -> None:
    """Raises UsageError when an agent that a task needs is unknown, not installed, or has nothing to run.

    One that was asked for by name must be known also where no task is left for it. Names that stand in a
    file and belong to nobody come as DocumentError, with their places.
    """
    tasks = list(tasks)
    check_settings(context.project.settings, context.agents)
    if context.only_agent:
        _named(context, context.only_agent)
    else:
        ids = {task.id for task in tasks}
        check_plan(context.plan, context.decide.profile, context.config, context.agents, ids)
    by_agent: dict[str, list[Task]] = {}
    for task in tasks:
        for number in range(1, context.config.agents.max_attempts + 1):
            by_agent.setdefault(context.role_of(task, number)[0], []).append(task)
    for name, its_tasks in by_agent.items():
        agent, options = _named(context, name, f", and task {its_tasks[0].id} asks for it")
        if remedy := agent.missing(options):
            raise UsageError(
                f"agent {name} is not installed, and task {its_tasks[0].id} needs it", hint=remedy
            )
        idle = next((task for task in its_tasks if agent.name == "shell" and not task.run), None)
        if idle is not None:
            raise UsageError(
                f"task {idle.id} is for the shell agent and has no `run`",
                hint="give it a `run:` command, or another agent",
            )


async def check_places(context: Context) -> None:
    """Raises UsageError when worktrees or branches cannot be made where they belong."""
    folder = context.worktrees.folder
    if folder.exists() and not folder.is_dir():
        raise UsageError(
            f"{folder} is a file, and worktrees are to go there",
            hint="set parallel.worktree_dir to another name",
        )
    present = await context.repo.branches()
    for epic in context.plan.epic:
        branch = context.epic_branch(epic)
        below = next((name for name in present if name.startswith(f"{branch}/")), None)
        above = next((name for name in present if branch.startswith(f"{name}/")), None)
        if other := below or above:
            raise UsageError(
                f"git cannot have the branches {other} and {branch} side by side",
                hint=f"rename yours (git branch -m {other} …), or set project.branch_prefix",
            )


def _named(context: Context, name: str, why: str = "") -> tuple[Agent, AgentOptions]:
    """The agent of a name; raises UsageError where there is none, with `why` it matters."""
    try:
        return context.agent(name)
    except KeyError:
        known = sorted({*context.agents, *context.config.agents.options})
        near = get_close_matches(name, known, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        hint = f"{meant}known: {', '.join(known)}"
        raise UsageError(f"there is no agent {name}{why}", hint=hint) from None
