"""Print what a run would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.cli import output
from yokeflow.cli.output import style
from yokeflow.cli.words import count, few, span

if TYPE_CHECKING:
    from yokeflow.engine.preview import PlannedTask, Preview


def show_preview(seen: Preview) -> None:
    """Print the tasks batch by batch, then what to expect."""
    if not seen.tasks:
        output.line("Nothing to do: every task that was asked for is done.")
        return
    roles = any(task.profile for task in seen.tasks)
    profile = ("profile",) if roles else ()
    header = ("batch", "task", "lane", "agent", *profile, "expected", "waits for")
    output.table(header, [_row(task, roles=roles) for task in seen.tasks], right={0, 4 + roles})
    output.line()
    already = f", {seen.finished} done already" if seen.finished else ""
    output.line(f"{count(len(seen.tasks), 'task')} onto {seen.target}{already}")
    output.line(
        f"{span(seen.work)} of work; at {seen.concurrency} at once no less than"
        f" {span(max(seen.shortest, seen.work / seen.concurrency))}"
    )
    output.line(f"{style('*', fg='yellow')} is on the critical path")


def _row(task: PlannedTask, *, roles: bool) -> tuple[object, ...]:
    mark = style("*", fg="yellow") if task.critical else " "
    waits = few(task.waits_for, 3)
    profile = (task.profile or "-",) if roles else ()
    return (
        task.batch + 1,
        f"{mark} {task.id}",
        task.lane,
        task.agent,
        *profile,
        span(task.seconds),
        waits,
    )
