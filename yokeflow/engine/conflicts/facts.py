"""What is known about a conflict: both sides, and who did what there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.engine.secrets.redact import redact
from yokeflow.model import Conflict, OtherCommit

if TYPE_CHECKING:
    from collections.abc import Collection

    from yokeflow.engine.context import Context
    from yokeflow.engine.report import LandingResult
    from yokeflow.git.commits import Commit
    from yokeflow.model import Plan


async def describe(context: Context, result: LandingResult, tasks: Collection[str], tries: int) -> Conflict:
    """The conflict that ended a landing, of an epic of which `tasks` are completed."""
    repo, plan = context.repo, context.plan
    epic = plan.epic[result.epic]
    base = await repo.git("merge-base", result.old, result.tip, ok=(0, 1))
    others = await _others(context, result)
    epics = {other.epic for other in others} - {"", epic.id}
    named = {other.task for other in others}
    # A landing that was squashed tells its epic alone.
    whole = epics - {plan.tasks[name].epic for name in named if name in plan.tasks}
    there = [task for task in plan.tasks.values() if task.id in named or task.epic in whole]
    return Conflict(
        epic=epic,
        tasks=tuple(task for task in epic.tasks if task.id in tasks),
        branch=context.epic_branch(epic.id),
        tip=result.tip,
        target=context.target,
        target_commit=result.old,
        base=base.text,
        files=result.files,
        messages=redact(result.output),
        others=others,
        other_tasks=tuple(task for task in there if task.epic != epic.id),
        other_epics=tuple(each for each in plan.epics if each.id in epics),
        tries=tries,
    )


async def _others(context: Context, result: LandingResult) -> tuple[OtherCommit, ...]:
    """Commits on the target alone that changed the files in conflict."""
    # There may be more files than a command line takes.
    asked = "\n".join((f"{result.tip}..{result.old}", "--", *result.files, "")).encode(
        errors="surrogateescape"
    )
    touching = await context.repo.git(
        "log", "--format=%H", "--stdin", stdin=asked, env={"GIT_LITERAL_PATHSPECS": "1"}
    )
    oids = set(touching.text.split())
    commits = await context.repo.commits(result.tip, result.old) if oids else ()
    return tuple(_other(context.plan, commit) for commit in commits if commit.oid in oids)


def _other(plan: Plan, commit: Commit) -> OtherCommit:
    task = next(iter(commit.trailers.get("Yoke-Task", ())), "")
    epic = next(iter(commit.trailers.get("Yoke-Epic", ())), "")
    epic = epic or (plan.tasks[task].epic if task in plan.tasks else "")
    return OtherCommit(commit.oid, redact(commit.subject), epic, task)
