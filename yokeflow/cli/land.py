"""`yoke land EPIC`: try again to land."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click

from yokeflow.cli import options, output
from yokeflow.cli.asking import KEPT
from yokeflow.cli.opened import project_status
from yokeflow.cli.running import run_and_show
from yokeflow.engine.lock import holder
from yokeflow.engine.people.control import Became, request
from yokeflow.engine.project import Project
from yokeflow.engine.selection import RunOptions
from yokeflow.errors import ExitCode, StoreError, UsageError

if TYPE_CHECKING:
    from yokeflow.model import Plan


@click.command(epilog=options.examples("yoke land auth", "yoke land auth --theirs"))
@click.argument("epic")
@click.option("--ours", is_flag=True, help="Where both changed the same lines, keep the target's.")
@click.option("--theirs", is_flag=True, help="Where both changed the same lines, take EPIC's.")
@options.plan
@options.as_json
def command(*, epic: str, ours: bool, theirs: bool, plan: Path | None, as_json: bool) -> ExitCode:
    """Land EPIC, after its landing was rejected or conflicted and the cause is gone.

    A run that is going on does it; otherwise it is done now, without running any task.

    \b
    With --ours or --theirs a conflict is settled by taking one side's lines, for
    this landing alone. Lines that do not conflict come from both sides as always,
    and the result has to pass the checks of both sides before it lands.
    """
    if ours and theirs:
        raise UsageError("--ours and --theirs exclude each other", hint="say whose lines count")
    take = "ours" if ours else "theirs" if theirs else ""
    return asyncio.run(_land(epic, take, plan, as_json=as_json))


async def _land(epic: str, take: str, path: Path | None, *, as_json: bool) -> ExitCode:
    project = await Project.open(Path.cwd())

    def load() -> Plan:
        return project.load_plan(str(path) if path else None)

    if holder(project.lock_file) is None:
        plan = load()
        _check(plan, epic)
        await _check_conflict(epic, take)
        return await run_and_show(project, plan, RunOptions(land=(epic,), take=take), as_json=as_json)
    await _check_conflict(epic, take)
    kept = await request(project, load, "land", epic, take=take) is Became.KEPT
    output.line(KEPT if kept else f"The run that is going on was asked to land {epic}.")
    return ExitCode.OK


def _check(plan: Plan, epic: str) -> None:
    if epic in plan.tasks:
        raise UsageError(
            f"{epic} is a task; only epics land", hint=f"try `yoke land {plan.tasks[epic].epic}`"
        )


async def _check_conflict(epic: str, take: str) -> None:
    """Whose lines count makes no sense where nothing conflicts: the person means something else."""
    if not take:
        return
    try:
        state = await project_status()
    except StoreError:
        # Whoever carries it out knows.
        return
    landing = next((each for each in state["landings"] if each["epic"] == epic), None)
    if landing is not None and landing["status"] == "rejected":
        raise UsageError(
            f"the landing of {epic} was rejected, without a conflict that --{take} could settle",
            hint=f"`yoke show {epic}` tells why; `yoke land {epic}` tries again",
        )
