"""`yoke run`: do the plan."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from yokeflow.cli import options, output
from yokeflow.cli.preview import show_preview
from yokeflow.cli.running import run_and_show
from yokeflow.engine.preview import preview
from yokeflow.engine.project import Project
from yokeflow.engine.selection import RunOptions
from yokeflow.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping


@click.command(
    epilog=options.examples(
        "yoke run",
        "yoke run --dry-run",
        "yoke run --max-concurrency 6 --strategy smart",
        "yoke run --epic auth --epic billing",
        "yoke run --task auth.model --agent codex",
        "yoke run --json > events.jsonl",
    )
)
@options.plan
@options.as_json
@click.option(
    "--max-concurrency", type=click.IntRange(1, 256), metavar="N", help="Sessions at the same time."
)
@click.option(
    "--epic", "epics", multiple=True, metavar="ID", help="Only tasks of this epic; can be repeated."
)
@click.option("--task", "tasks", multiple=True, metavar="ID", help="Only this task; can be repeated.")
@click.option("--agent", default="", metavar="NAME", help="Have this agent do every task.")
@click.option("--sequential", is_flag=True, help="One task at a time.")
@click.option(
    "--strategy",
    type=click.Choice(["by_epic", "by_task", "smart"]),
    help="Which tasks share a worktree.",
)
@click.option("--merge-strategy", type=click.Choice(["merge", "squash"]), help="How epics land.")
@click.option("--dry-run", is_flag=True, help="Show what would be done, and start nothing.")
def command(
    *,
    plan: Path | None,
    as_json: bool,
    max_concurrency: int | None,
    epics: tuple[str, ...],
    tasks: tuple[str, ...],
    agent: str,
    sequential: bool,
    strategy: str | None,
    merge_strategy: str | None,
    dry_run: bool,
) -> ExitCode:
    """Do the plan: run every unfinished task, check it, and land the epics that are done.

    Run it again at any time: it goes on where it stopped. ^C stops the running sessions, twice kills them.
    Without a terminal each event is a line.
    """
    overrides = {
        "parallel.max_concurrency": max_concurrency,
        "parallel.strategy": strategy,
        "parallel.merge_strategy": merge_strategy,
        "parallel.enabled": _enabled(max_concurrency, sequential=sequential),
    }
    choice = RunOptions(epics=epics, tasks=tasks, agent=agent)
    return asyncio.run(_run(plan, overrides, choice, as_json=as_json, dry_run=dry_run))


def _enabled(max_concurrency: int | None, *, sequential: bool) -> bool | None:
    """What to set `parallel.enabled` to: asking for several sessions beats a file that wants one."""
    if sequential:
        return False
    return True if max_concurrency is not None and max_concurrency > 1 else None


async def _run(
    path: Path | None, overrides: Mapping[str, object], choice: RunOptions, *, as_json: bool, dry_run: bool
) -> ExitCode:
    project = await Project.open(Path.cwd(), overrides)
    plan = project.load_plan(str(path) if path else None)
    if not dry_run:
        return await run_and_show(project, plan, choice, as_json=as_json)
    seen = await preview(project, plan, choice)
    if as_json:
        output.data(seen)
    else:
        show_preview(seen)
    return ExitCode.OK
