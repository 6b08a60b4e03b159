"""`yoke land EPIC`: try again to land."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from yokeflow.cli import options, output
from yokeflow.cli.asking import KEPT
from yokeflow.cli.running import run_and_show
from yokeflow.engine.control import Became, request
from yokeflow.engine.lock import holder
from yokeflow.engine.project import Project
from yokeflow.engine.selection import RunOptions
from yokeflow.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from yokeflow.model import Plan


@click.command(epilog=options.examples("yoke land auth", "yoke land auth --theirs"))
@click.argument("epic")
@click.option(
    "--ours",
    "take",
    flag_value="ours",
    default="",
    help="Where both changed the same lines, keep the target's.",
)
@click.option("--theirs", "take", flag_value="theirs", help="Where both changed the same lines, take EPIC's.")
@options.plan
@options.as_json
def command(*, epic: str, take: str, plan: Path | None, as_json: bool) -> ExitCode:
    """Land EPIC, after its landing was rejected or conflicted and the cause is gone.

    A run that is going on does it; otherwise it is done now, without running any task.

    \b
    With --ours or --theirs a conflict is settled by taking one side's lines, for
    this landing alone. Lines that do not conflict come from both sides as always,
    and the result has to pass the checks of both sides before it lands.
    """
    return asyncio.run(_land(epic, take or "", plan, as_json=as_json))


async def _land(epic: str, take: str, path: Path | None, *, as_json: bool) -> ExitCode:
    project = await Project.open(Path.cwd())

    def load() -> Plan:
        return project.load_plan(str(path) if path else None)

    if holder(project.lock_file) is None:
        plan = load()
        _check(plan, epic)
        return await run_and_show(project, plan, RunOptions(land=(epic,), take=take), as_json=as_json)
    kept = await request(project, load, "land", epic, take=take) is Became.KEPT
    output.line(KEPT if kept else f"The run that is going on was asked to land {epic}.")
    return ExitCode.OK


def _check(plan: Plan, epic: str) -> None:
    if epic in plan.tasks:
        raise UsageError(
            f"{epic} is a task; only epics land", hint=f"try `yoke land {plan.tasks[epic].epic}`"
        )
