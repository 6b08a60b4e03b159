"""Ask for something: of the run that is going on, or done at once where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from yokeflow.cli import output
from yokeflow.engine.people.control import Became, request
from yokeflow.engine.project import Project
from yokeflow.errors import ExitCode

if TYPE_CHECKING:
    from yokeflow.engine.people.control import Action

#: For a request that nobody can carry out now.
KEPT = "The store is not reachable: this is kept, and is done once the store is back."


async def ask(action: Action, item: str = "", *, done: str, plan: Path | None = None) -> ExitCode:
    """Make a request and say what became of it; `done` is the sentence for a request carried out at once.

    `plan` is read only when no run is going on, which has its own.
    """
    project = await Project.open(Path.cwd())
    became = await request(project, lambda: project.load_plan(str(plan) if plan else None), action, item)
    if became is Became.KEPT:
        output.line(KEPT)
    elif became is Became.DONE:
        output.line(done)
    else:
        about = f" {item}" if item else ""
        output.line(f"The run that is going on was asked to {action}{about}.")
    return ExitCode.OK
