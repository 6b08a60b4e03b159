"""Names of agents in the settings and the plan that belong to no agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.document import load_document
from yokeflow.errors import DocumentError, Problem, UsageError
from yokeflow.settings import problem_at
from yokeflow.validation import suggest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from yokeflow.config import Config
    from yokeflow.document import Key
    from yokeflow.model import Plan, Profile, Task
    from yokeflow.settings import Settings


def check_settings(settings: Settings, kinds: Collection[str]) -> None:
    """Raises DocumentError with every name of an agent in the settings that is none."""
    found = [problem_at(settings, *each) for each in _in_settings(settings.config, kinds)]
    default, names = settings.config.agents.default, agent_names(settings.config, kinds)
    if default not in names and settings.origins.get("agents.default") != "default":
        message = f"there is no agent `{default}`"
        found.append(problem_at(settings, ("agents", "default"), message, suggest(default, names)))
    if found:
        raise DocumentError(found)


def _in_settings(config: Config, kinds: Collection[str]) -> Iterator[tuple[Key, str, str]]:
    names = agent_names(config, kinds)
    for name, options in config.agents.options.items():
        if options.kind is not None and options.kind not in kinds:
            key = ("agents", "options", name, "kind")
            yield key, f"there is no kind of agent `{options.kind}`", suggest(options.kind, kinds)
    for name, profile in config.agents.profiles.items():
        if profile.agent is not None and profile.agent not in names:
            key = ("agents", "profiles", name, "agent")
            yield key, f"there is no agent `{profile.agent}`", suggest(profile.agent, names)
    resolver = config.landing.conflict_agent
    if resolver and resolver not in names:
        yield ("landing", "conflict_agent"), f"there is no agent `{resolver}`", suggest(resolver, names)
    for name in config.models.tiers:
        if name not in names:
            message = f"`{name}` is neither an agent nor a kind of agent"
            yield ("models", "tiers", name), message, suggest(name, names)


def agent_names(config: Config, kinds: Collection[str]) -> set[str]:
    """Everybody who may be named: kinds, which are agents themselves, and those that the settings make."""
    made = {name for name, options in config.agents.options.items() if (options.kind or name) in kinds}
    return {*kinds, *made}


def check_plan(
    plan: Plan,
    choose: Callable[[Task, int], Profile | None],
    config: Config,
    kinds: Collection[str],
    only: Collection[str] | None = None,
) -> None:
    """Raises DocumentError with the place of every task whose agent, or whose profile's agent, is none.

    `choose` gives the profile of an attempt; with `only`, other tasks are passed over.
    """
    names = agent_names(config, kinds)
    found = []
    for epic in plan.epics:
        for place, task in enumerate(epic.tasks):
            key = ("epics", epic.position, "tasks", place)
            if only is not None and task.id not in only:
                continue
            if task.agent:
                if task.agent not in names:
                    message = f"task {task.id}: there is no agent `{task.agent}`"
                    found.append(((*key, "agent"), message, suggest(task.agent, names)))
            elif profile := _stranded(task, choose, config, names):
                message = f"task {task.id}: its profile {profile.name} names the agent `{profile.agent}`"
                hint = suggest(profile.agent, names)
                inner = ("profile",) if task.profile else ("needs",) if task.needs else ()
                found.append(((*key, *inner), f"{message}, and there is none of that name", hint))
    if found:
        raise DocumentError([_placed(plan, *each) for each in found])


def _stranded(
    task: Task, choose: Callable[[Task, int], Profile | None], config: Config, names: Collection[str]
) -> Profile | None:
    """The first profile in which the task may be done that names no agent there is."""
    for number in range(1, config.agents.max_attempts + 1):
        try:
            profile = choose(task, number)
        except UsageError:
            # What is wrong with its profile is told by whoever asks for all of them.
            return None
        if profile and profile.agent and profile.agent not in names:
            return profile
    return None


def _placed(plan: Plan, key: Key, message: str, hint: str) -> Problem:
    try:
        return load_document(plan.path).problem(key, message, hint)
    except DocumentError:
        return Problem(plan.path, 0, "", message, hint)
