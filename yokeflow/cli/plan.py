"""`yoke plan`: look at the plan before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from yokeflow.cli import options, output
from yokeflow.cli.words import count, few, span
from yokeflow.engine.decide import Decisions
from yokeflow.engine.simulate import simulate
from yokeflow.errors import DocumentError, ExitCode
from yokeflow.plan import graph, outline
from yokeflow.plan.load import load_plan
from yokeflow.plugin_manager import load_settings
from yokeflow.settings import find_root

if TYPE_CHECKING:
    from yokeflow.config import Config
    from yokeflow.model import Plan, Resolution

_DRAWINGS = {"tree": graph.tree, "mermaid": graph.mermaid, "dot": graph.dot, "json": graph.as_json}


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
        decisions, _, found = _load(plan)
        _resolve(decisions, found)
    except DocumentError as error:
        if not as_json:
            raise
        output.data({"valid": False, "problems": error.problems})
        return ExitCode.USAGE
    if as_json:
        output.data({"valid": True, "problems": [], "epics": len(found.epics), "tasks": len(found.tasks)})
    else:
        size = f"{count(len(found.epics), 'epic')}, {count(len(found.tasks), 'task')}"
        output.line(f"valid: {found.path} ({size})")
    return ExitCode.OK


@command.command(epilog=options.examples("yoke plan show", "yoke plan show --json"))
@options.plan
@options.as_json
def show(plan: Path | None, as_json: bool) -> None:  # noqa: FBT001 - a flag of the command line
    """What the plan means, task by task.

    Batches, lanes, agents, what waits for what, and how long it probably takes.
    """
    decisions, config, found = _load(plan)
    resolution = decisions.resolve(found, (), {})
    total = simulate(
        found,
        resolution,
        decisions.order,
        concurrency=config.concurrency,
        agent_limit=config.agent_limits,
        agent_of=lambda task: config.agent_of(task.agent),
    ).makespan
    if as_json:
        sums = {"concurrency": config.concurrency, "makespan": total}
        output.data(graph.as_object(found, resolution) | sums)
        return
    rows = outline.rows(found, resolution)
    output.table(
        ("batch", "task", "lane", "agent", "model", "takes", "", "waits for", "title"),
        [
            (
                row.batch,
                row.task.id,
                row.lane,
                config.agent_of(row.task.agent),
                row.task.model or "-",
                "" if row.duration is None else span(row.duration),
                "*" if row.critical else "",
                few(row.waits_for, 3),
                row.task.title,
            )
            for row in rows
        ],
        right=(0,),
    )
    output.line()
    for text in _sums(found, resolution, config, total):
        output.line(text)


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
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def draw(plan: Path | None, form: str, as_json: bool) -> None:  # noqa: FBT001 - a flag of the command line
    """Draw the dependencies.

    Batch numbers are in brackets, the critical path is marked.
    """
    decisions, _, found = _load(plan)
    drawn = _DRAWINGS["json" if as_json else form](found, _resolve(decisions, found))
    output.line(output.clean(drawn))


def _load(path: Path | None) -> tuple[Decisions, Config, Plan]:
    here = Path.cwd()
    root = find_root(here) or here
    settings, plugins = load_settings(root)
    config = settings.config
    found = load_plan(path or root / config.plan, branch_prefix=config.project.branch_prefix)
    return Decisions(plugins, config), config, found


def _resolve(decisions: Decisions, plan: Plan) -> Resolution:
    return decisions.resolve(plan, (), {})
