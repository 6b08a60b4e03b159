"""What is told about a conflict: to the agent that resolves it, and to the person who may have to."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from yokeflow.model import Conflict, Task

_RULES = """\
## What to do

You are alone in a git worktree of the epic `{epic}`. A merge of `{target}` into it has begun here and stopped
at conflicts. In each file below, `<<<<<<<` begins the epic's lines, `|||||||` what both sides started from,
`=======` the lines of `{target}`, and `>>>>>>>` ends them.

- Make of both sides one whole that does what both wanted. Neither side's work may be lost, nor what
  either did elsewhere in these files: do not take a whole file from one side.
- Leave no marker behind. Change other files only where the two sides need it to fit together.
- Do not abort the merge, rebase, reset, push, or leave this branch. Stage and commit, or leave that to us.
- Nobody can answer questions. If both sides cannot be had, change nothing and say why in your last message.
- The checks below are run after you. If one fails, your work is thrown away."""
#: What git says may be long; this much of it is told.
_MOST = 4000
#: So many tasks are named in one line.
_MOST_TASKS = 5


def build_prompt(conflict: Conflict, checks: Sequence[str]) -> str:
    """One Markdown text for an agent."""
    epic, target = conflict.epic, conflict.target
    parts = [
        f"# {title(conflict)}",
        _RULES.format(epic=epic.id, target=target),
        _list("Files in conflict", conflict.files),
        f"## What git says\n\n```\n{conflict.messages[:_MOST]}\n```" if conflict.messages else "",
        _commits(conflict),
        _side(f"What the epic `{epic.id}` (“{epic.title}”) was to do", conflict.tasks),
        _side(f"What was to be done by those that came to `{target}` first", conflict.other_tasks),
        _list("Checks that must pass", checks),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def title(conflict: Conflict) -> str:
    """The task of whoever resolves it."""
    return f"Resolve the conflicts of {conflict.epic.id} with {conflict.target}"


def _commits(conflict: Conflict) -> str:
    """How to see both sides."""
    lines = [
        f"- the epic's last commit: `{conflict.tip}`",
        f"- `{conflict.target}`: `{conflict.target_commit}`",
    ]
    if conflict.base:
        lines.append(f"- where both started: `{conflict.base}`")
    lines += [f"- on `{conflict.target}`, `{each.oid[:12]}` {each.subject}" for each in conflict.others]
    return "## Commits\n\n" + "\n".join(lines)


def _side(heading: str, tasks: Iterable[Task]) -> str:
    told = [f"### {task.title} (`{task.id}`)\n\n{task.prompt or task.run or task.title}" for task in tasks]
    return f"## {heading}\n\n" + "\n\n".join(told) if told else ""


def _list(heading: str, entries: Sequence[str]) -> str:
    return f"## {heading}\n\n" + "\n".join(f"- `{entry}`" for entry in entries) if entries else ""


def for_a_person(conflict: Conflict, why: Sequence[str], folder: Path | None, *, landed: bool = False) -> str:
    """Why a person is asked: one line, then what was tried, what git says, and what to type.

    `folder` is the worktree that has the epic's branch; None where no worktree has it. At a hand-over,
    `landed` says that the work which is to be taken in is on the target already.
    """
    other, last = conflict.target, f"yoke land {quote(conflict.epic.id)}"
    if conflict.taken:
        other, last = conflict.target_commit[:12], f"yoke retry {quote(conflict.tasks[-1].id)}"
    where = f"git -C {quote(str(folder))}" if folder else "git"
    typed = [] if folder else [f"git switch {quote(conflict.branch)}"]
    typed += [f"{where} merge {quote(other)}", "# edit the files above, then"]
    typed += [f"{where} commit -a", last]
    commands = "\n".join(f"  {line}" for line in typed)
    parts = [
        _headline(conflict, landed=landed),
        *why,
        conflict.messages[:_MOST],
        f"To finish by hand:\n{commands}",
    ]
    return "\n".join(part for part in parts if part)


def _headline(conflict: Conflict, *, landed: bool) -> str:
    epic, files = conflict.epic.id, ", ".join(conflict.files)
    if not conflict.taken:
        return f"{epic} conflicts with {conflict.target} in {files}"
    if not landed:
        return f"the work of {conflict.taken} conflicts with that of {epic} in {files}"
    # With it comes what had landed before, of which the conflict may be.
    whose = f", changed there by {_few(conflict.other_tasks)}" if conflict.other_tasks else ""
    return f"what is on {conflict.target} conflicts with the work of {epic} in {files}{whose}"


def other_side(conflict: Conflict, target: str) -> str:
    """Who did what is merged into the epic: a task, one epic, or several and people on `target`."""
    if conflict.taken and conflict.target != target:
        return conflict.taken
    epics = {other.epic for other in conflict.others}
    return epics.pop() if len(epics) == 1 and "" not in epics else f"others on {conflict.target}"


def _few(tasks: Sequence[Task]) -> str:
    names = [task.id for task in tasks[:_MOST_TASKS]]
    left = len(tasks) - len(names)
    return ", ".join([*names, f"{left} more"] if left else names)
