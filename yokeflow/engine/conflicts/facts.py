"""What is known about a conflict: both sides, and who did what there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.engine.secrets.redact import redact
from yokeflow.git.squashed import squashed
from yokeflow.model import Conflict, OtherCommit

if TYPE_CHECKING:
    from collections.abc import Collection

    from yokeflow.engine.context import Context
    from yokeflow.engine.report import LandingResult
    from yokeflow.git.commits import Commit
    from yokeflow.model import Plan, Task


async def describe(context: Context, result: LandingResult, tasks: Collection[str], tries: int) -> Conflict:
    """The conflict that ended a landing, of an epic of which `tasks` are completed."""
    repo, plan = context.repo, context.plan
    epic = plan.epic[result.epic]
    base = await repo.git("merge-base", result.old, result.tip, ok=(0, 1))
    others = await _others(context, result)
    epics = {other.epic for other in others} - {"", epic.id}
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
        other_tasks=await _tasks_there(context, result, others),
        other_epics=tuple(each for each in plan.epics if each.id in epics),
        tries=tries,
    )


async def _tasks_there(
    context: Context, result: LandingResult, others: Collection[OtherCommit]
) -> tuple[Task, ...]:
    """Tasks of other epics that changed the files in conflict.

    A landing that was squashed tells its epic alone. Its history is kept; where it is not, all tasks of that
    epic count.
    """
    epics = {other.epic for other in others} - {"", result.epic}
    oids = {other.oid for other in others}
    kept = {landing: tip for landing, tip in await squashed(context.repo, epics) if landing in oids}
    before = [
        _other(context.plan, commit)
        for tip in kept.values()
        for commit in await _touching(context, result, tip)
    ]
    named = {other.task for other in (*others, *before)}
    whole = epics - {other.epic for other in others if other.task or other.oid in kept}
    tasks = context.plan.tasks.values()
    return tuple(
        task for task in tasks if task.epic != result.epic and (task.id in named or task.epic in whole)
    )


async def _others(context: Context, result: LandingResult) -> tuple[OtherCommit, ...]:
    """Commits on the target alone that changed the files in conflict."""
    return tuple(_other(context.plan, commit) for commit in await _touching(context, result, result.old))


async def _touching(context: Context, result: LandingResult, head: str) -> list[Commit]:
    """The commits up to `head` which the epic lacks and that changed the files in conflict."""
    # There may be more files than a command line takes.
    asked = "\n".join((f"{result.tip}..{head}", "--", *result.files, "")).encode(errors="surrogateescape")
    found = await context.repo.git(
        "log", "--format=%H", "--stdin", stdin=asked, env={"GIT_LITERAL_PATHSPECS": "1"}
    )
    oids = set(found.text.split())
    commits = await context.repo.commits(result.tip, head) if oids else ()
    return [commit for commit in commits if commit.oid in oids]


def _other(plan: Plan, commit: Commit) -> OtherCommit:
    task = next(iter(commit.trailers.get("Yoke-Task", ())), "")
    epic = next(iter(commit.trailers.get("Yoke-Epic", ())), "")
    epic = epic or (plan.tasks[task].epic if task in plan.tasks else "")
    return OtherCommit(commit.oid, redact(commit.subject), epic, task)
