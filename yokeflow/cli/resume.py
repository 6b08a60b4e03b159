"""`yoke resume`: go on with what was stopped or paused."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yokeflow.cli import options, output
from yokeflow.cli.opened import opened
from yokeflow.cli.running import run_and_show
from yokeflow.engine.lock import holder
from yokeflow.engine.people.control import request
from yokeflow.engine.project import Project
from yokeflow.engine.selection import RunOptions
from yokeflow.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yokeflow.model import Plan


@click.command(epilog=options.examples("yoke resume", "yoke resume --json"))
@options.plan
@options.as_json
def command(*, plan: Path | None, as_json: bool) -> ExitCode:
    """Go on with a run that was stopped, killed or paused.

    The same as `yoke run`, but refuses when there is nothing unfinished. A paused run starts tasks again.
    """
    return asyncio.run(_resume(plan, as_json=as_json))


async def _resume(path: Path | None, *, as_json: bool) -> ExitCode:
    project = await Project.open(Path.cwd())

    def load() -> Plan:
        return project.load_plan(str(path) if path else None)

    if holder(project.lock_file) is not None:
        await request(project, load, "continue")
        output.line("The run that is going on was asked to start tasks again.")
        return ExitCode.OK
    plan = load()
    async with opened() as place:
        state = await place.status()
    if state["run"] is None:
        raise UsageError("nothing was started yet", hint="start with `yoke run`")
    if not unfinished(state) and set(plan.tasks) <= {item["id"] for item in state["items"]}:
        raise UsageError("there is nothing unfinished", hint="`yoke status` shows what was done")
    return await run_and_show(project, plan, RunOptions(), as_json=as_json)


def unfinished(state: Mapping[str, Any]) -> list[str]:
    """Tasks that are not done, and epics with completed tasks that are not on the target."""
    tasks = [item for item in state["items"] if item["kind"] != "epic"]
    landed = {entry["epic"] for entry in state["landings"] if entry["status"] == "landed"}
    waiting = {item["epic"] for item in tasks if item["status"] == "completed"} - landed
    return [item["id"] for item in tasks if item["status"] not in ("completed", "cancelled")] + sorted(
        waiting
    )
