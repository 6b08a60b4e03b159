"""`yoke plan`: look at the plan before it runs."""

from __future__ import annotations

import asyncio
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from yokeflow.cli import options, output
from yokeflow.cli.forecast_view import CONFLICT, hot_file_lines
from yokeflow.cli.words import count, few, span
from yokeflow.engine.conflicts.foreseen import touching
from yokeflow.engine.decisions.decide import Decisions
from yokeflow.engine.known_agents import check_plan, check_settings
from yokeflow.engine.scheduling.simulate import simulate
from yokeflow.errors import DocumentError, ExitCode
from yokeflow.places import find_root
from yokeflow.plan import graph, outline
from yokeflow.plan.load import load_plan
from yokeflow.plan.roles import roles
from yokeflow.plugin_manager import load_settings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from yokeflow.config import Config
    from yokeflow.engine.decisions.outlook import Outlook
    from yokeflow.model import Plan, Profile, Resolution, Task
    from yokeflow.plugin_manager import PluginManager
    from yokeflow.settings import Settings

_DRAWINGS = {"tree": graph.tree, "mermaid": graph.mermaid, "dot": graph.dot, "json": graph.as_json}


class _Loaded(NamedTuple):
    plan: Plan
    plugins: PluginManager
    settings: Settings

    @property
    def config(self) -> Config:
        return self.settings.config

    def agent_of(self, task: Task, role: Profile | None) -> str:
        """Who does the first attempt at a task."""
        return self.config.agent_of(task.agent or (role.agent if role else ""))


@click.group(
    epilog=options.examples("yoke plan validate", "yoke plan show", "yoke plan graph --format mermaid")
)
def command() -> None:
    """Check, show or draw the plan. Nothing is started and nothing is changed."""


@command.command(epilog=options.examples("yoke plan validate", "yoke plan validate --plan other.yaml --json"))
@options.plan
@options.as_json
def validate(plan: Path | None, as_json: bool) -> int:  # noqa: FBT001 - a flag of the command line
    """Check the plan and tell every problem at once.

    Each comes with file, line, key and remedy.
    """
    try:
        found = _load(plan)
        Decisions(found.plugins, found.config).resolve(found.plan, (), {})
        _check_roles(found)
    except DocumentError as error:
        if not as_json:
            raise
        output.data({"valid": False, "problems": error.problems})
        return ExitCode.USAGE
    epics, tasks = len(found.plan.epics), len(found.plan.tasks)
    if as_json:
        output.data({"valid": True, "problems": [], "epics": epics, "tasks": tasks})
    else:
        output.line(f"valid: {found.plan.path} ({count(epics, 'epic')}, {count(tasks, 'task')})")
    return ExitCode.OK


@command.command(epilog=options.examples("yoke plan show", "yoke plan show --json"))
@options.plan
@options.as_json
def show(plan: Path | None, as_json: bool) -> None:  # noqa: FBT001 - a flag of the command line
    """What the plan means, task by task.

    Batches, lanes, profiles, agents, what waits for what, and how long it probably takes.
    """
    loaded = _load(plan)
    decisions, hot = _outlook(loaded)
    found, config = loaded.plan, loaded.config
    resolution = decisions.resolve(found, (), {})
    role = roles(found, lambda task: decisions.profile(task, 1))
    agent = {task.id: loaded.agent_of(task, role[task.id]) for task in found.tasks.values()}
    total = simulate(
        found,
        resolution,
        decisions.order,
        concurrency=config.concurrency,
        agent_limit=config.agent_limits,
        agent_of=lambda task: agent[task.id],
    ).makespan
    named = touching(found, hot)
    if as_json:
        shown = _shown(found, resolution, role, agent)
        for task in shown["tasks"]:
            task["hot_files"] = [path for path, tasks in named.items() if task["id"] in tasks]
        files = [{"path": each.path, "conflicts": each.conflicts, "tasks": named[each.path]} for each in hot]
        output.data(shown | {"concurrency": config.concurrency, "makespan": total, "hot_files": files})
        return
    _table(outline.rows(found, resolution), role, agent, {task for ids in named.values() for task in ids})
    output.line()
    for text in _sums(found, resolution, config, total):
        output.line(text)
    for text in hot_file_lines(hot, named, output.columns()):
        output.line(text)


def _shown(
    plan: Plan, resolution: Resolution, role: Mapping[str, Profile | None], agent: Mapping[str, str]
) -> dict[str, Any]:
    """The drawing for programs, with who does what."""
    shown = graph.as_object(plan, resolution)
    for task in shown["tasks"]:
        found = role[task["id"]]
        task["agent"] = agent[task["id"]]
        task["profile"] = found.name if found else ""
        task["profile_reason"] = found.reason if found else ""
    return shown


def _table(
    rows: Sequence[outline.Row],
    role: Mapping[str, Profile | None],
    agent: Mapping[str, str],
    marked: Collection[str],
) -> None:
    """One line a task; without a column of profiles where there are none."""
    names = {name: found.name for name, found in role.items() if found}
    models = {name: found.model for name, found in role.items() if found}
    columns = ("profile",) if names else ()
    output.table(
        ("batch", "task", "lane", "agent", *columns, "model", "takes", "", "waits for", "title"),
        [
            (
                row.batch,
                row.task.id,
                row.lane,
                agent[row.task.id],
                *((names.get(row.task.id, "-"),) if names else ()),
                row.task.model or models.get(row.task.id) or "-",
                "" if row.duration is None else span(row.duration),
                f"{'*' if row.critical else ''}{CONFLICT if row.task.id in marked else ''}",
                few(row.waits_for, 3),
                row.task.title,
            )
            for row in rows
        ],
        right=(0,),
    )


def _sums(plan: Plan, resolution: Resolution, config: Config, total: float) -> list[str]:
    size = f"{count(len(plan.tasks), 'task')} in {count(len(plan.epics), 'epic')}"
    levels = len(resolution.batches)
    chain = " -> ".join(resolution.critical_path)
    return [
        f"{size}, {levels} {'batch' if levels == 1 else 'batches'}",
        f"work           {span(outline.work(resolution))}, one task after another",
        f"critical path  {span(outline.critical_length(resolution))} (*): {chain}",
        f"expected       {span(total)} with {count(config.concurrency, 'session')} at a time",
    ]


@command.command(
    "graph",
    epilog=options.examples(
        "yoke plan graph",
        "yoke plan graph --format mermaid > plan.mmd",
        "yoke plan graph --format dot | dot -Tsvg > plan.svg",
    ),
)
@options.plan
@click.option(
    "--format",
    "form",
    type=click.Choice([*_DRAWINGS]),
    default="tree",
    show_default=True,
    help="How it is drawn.",
)
@options.json_option("The same as --format json.")
def draw(plan: Path | None, form: str, as_json: bool) -> None:  # noqa: FBT001 - a flag of the command line
    """Draw the dependencies.

    Batch numbers are in brackets, the critical path is marked.
    """
    loaded = _load(plan)
    resolution = Decisions(loaded.plugins, loaded.config).resolve(loaded.plan, (), {})
    drawn = _DRAWINGS["json" if as_json else form](loaded.plan, resolution)
    output.line(output.clean(drawn))


def _load(path: Path | None) -> _Loaded:
    here = Path.cwd()
    root = find_root(here) or here
    settings, plugins = load_settings(root)
    config = settings.config
    plan = load_plan(path or root / config.plan, branch_prefix=config.project.branch_prefix)
    return _Loaded(plan, plugins, settings)


def _check_roles(loaded: _Loaded) -> None:
    """With the profiles of the store where it can be asked: they may take the place of the config's."""
    kinds = loaded.plugins.agents()
    check_settings(loaded.settings, kinds)
    asked = _outlook(loaded).decisions
    roles(loaded.plan, lambda task: asked.profile(task, 1))
    check_plan(loaded.plan, asked.profile, loaded.config, kinds)


def _outlook(loaded: _Loaded) -> Outlook:
    # Imported here, since it takes SQLAlchemy and a drawing does without.
    outlook = import_module("yokeflow.engine.decisions.outlook").outlook
    found: Outlook = asyncio.run(outlook(Path.cwd(), loaded.plan, loaded.plugins, loaded.config))
    return found
