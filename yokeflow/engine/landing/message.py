"""What the commit of a landing says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yokeflow.engine.context import Context
    from yokeflow.engine.landing.queue import Member


def landing_message(context: Context, member: Member, proof: str) -> str:
    """What landed, and what `proof` there is of its tree: passed, flaky, batched or none."""
    epic = context.plan.epic[member.epic]
    body = "\n".join(f"- {task.title} ({task.id})" for task in epic.tasks if task.id in member.tasks)
    trailers = f"Yoke-Epic: {epic.id}\nYoke-Run: {context.recorder.run}\nYoke-Checks: {member.tree}={proof}\n"
    trailers += "".join(f"Yoke-Skipped: {task.id}\n" for task in epic.tasks if task.id not in member.tasks)
    if taken := context.taken.get(epic.id):
        trailers += f"Yoke-Conflicts: {taken}\n"
    return f"Land {epic.id}: {epic.title}\n\n{body}\n\n{trailers}"
