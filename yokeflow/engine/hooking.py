"""Put git hooks into a project: from then on, what they note is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.engine.facts.commits import begin, publish_tasks
from yokeflow.engine.project import Project
from yokeflow.errors import DocumentError
from yokeflow.git.hooks import Hooks

if TYPE_CHECKING:
    from pathlib import Path


async def install(start: Path) -> tuple[str, ...]:
    """Install our hooks around `start`, or put them right; gives what a person should know."""
    project = await Project.open(start)
    notes = await Hooks(project.repo).install()
    await begin(project.repo)
    try:
        publish_tasks(project.repo, project.load_plan().tasks)
    except DocumentError:
        # Without a plan there is no task that a message could misspell.
        publish_tasks(project.repo, ())
    return notes
