"""`yoke undo`: take landings back."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yokeflow.cli import options, output
from yokeflow.cli.lines import event_lines
from yokeflow.cli.output import clean, style
from yokeflow.cli.words import count, listed, short
from yokeflow.engine.ledger.interventions import by_person
from yokeflow.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from yokeflow.engine.project import Project
    from yokeflow.engine.undo.choice import Undoing
    from yokeflow.engine.undo.undoing import Undo, Undone
    from yokeflow.events import Event

#: What a person who waits wants to see of the events of an undo.
_SHOWN = {"check.finished", "warning.raised"}


@click.command(
    epilog=options.examples(
        "yoke undo --dry-run", "yoke undo auth", "yoke undo last --yes", "yoke log --operations"
    )
)
@click.argument("what", metavar="[LANDING|RUN]", default="")
@click.option("--with-dependents", is_flag=True, help="Also undo later landings that built on it.")
@click.option("--dry-run", is_flag=True, help="Say what would be undone, and change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@options.plan
@options.as_json
def command(
    *, what: str, with_dependents: bool, dry_run: bool, yes: bool, plan: Path | None, as_json: bool
) -> ExitCode:
    """Take landings back off the target, by a new commit that is tested like any landing.

    LANDING is an epic or the beginning of a landing commit, RUN the beginning of the id of a run or of an
    earlier undo, or `last` for the newest run, or undo of an undo, whose work is still there. Without either,
    the last of all that can be undone, which may be an undo. The epics' tasks are open again, and the next
    `yoke run` does them anew. To undo an undo brings everything back.
    """
    asked = _Asked(what, yes=yes, dry_run=dry_run, as_json=as_json)
    undone = asyncio.run(_undo(asked, what, plan, with_dependents=with_dependents))
    if undone is not None:
        _report(undone, as_json=as_json)
    return ExitCode.OK if undone is not None or dry_run else ExitCode.FAILED


async def _undo(asked: _Asked, what: str, path: Path | None, *, with_dependents: bool) -> Undone | None:
    # By name: who only wants to read the help waits for no store.
    projects: Any = import_module("yokeflow.engine.project")
    engine: Any = import_module("yokeflow.engine.undo.undoing")
    project: Project = await projects.Project.open(Path.cwd())
    plan = project.load_plan(str(path) if path else None)
    undo: Undo = engine.Undo(project, plan, by=by_person(), listen=[asked.listener()])
    return await undo.execute(what, asked.agree, with_dependents=with_dependents)


class _Asked:
    """How a person agrees."""

    def __init__(self, what: str, *, yes: bool, dry_run: bool, as_json: bool) -> None:
        self._named = bool(what)
        self._yes = yes
        self._dry_run = dry_run
        self._as_json = as_json

    def agree(self, undoing: Undoing) -> bool:
        """Show what would be done, and ask where somebody can answer."""
        if self._dry_run:
            if self._as_json:
                output.data(_told(undoing))
            else:
                self._show(undoing)
            return False
        if self._yes:
            return True
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            if self._named:
                return True
            raise UsageError("nobody is there to ask", hint="name what to undo, or add --yes")
        self._show(undoing)
        return click.confirm("Go on?", err=True)

    def _show(self, undoing: Undoing) -> None:
        for line in _lines(undoing):
            # What a program reads comes after the answer.
            (output.note if self._as_json else output.line)(line)

    def listener(self) -> Callable[[Event], None]:
        def show(event: Event) -> None:
            if event.type in _SHOWN and not self._as_json:
                for line in event_lines(event):
                    output.line(line)

        return show


def _lines(undoing: Undoing) -> Iterator[str]:
    where = f"onto {undoing.target}" if undoing.back else f"off {undoing.target}"
    what = f"undoes {_whole(undoing)}: it " if undoing.whole else ""
    yield f"This {what}{'brings back' if undoing.back else 'takes'} {where}, by a new commit:"
    for landing in undoing.landings:
        yield f"  {style(landing.epic, bold=True)}  {clean(landing.title)} ({short(landing.commit)})"
    yield from _left(undoing)


def _whole(undoing: Undoing) -> str:
    kind, name = undoing.whole or ("", "")
    return f"{kind} {name[:8]}"


def _left(undoing: Undoing) -> Iterator[str]:
    for epic, where in undoing.left.items():
        verb = "taken off" if undoing.back else "brought"
        yield f"{epic}, which {_whole(undoing)} had {verb} too, {where}."


def _report(undone: Undone, *, as_json: bool) -> None:
    undoing = undone.undoing
    if as_json:
        told = {"operation": undone.operation, "commit": undone.commit, "tasks": list(undone.tasks)}
        output.data({**_told(undoing), **told})
        return
    # In the order in which they landed.
    epics = listed(undoing.epics[::-1])
    are = "is" if len(undoing.epics) == 1 else "are"
    by = f"{undoing.target}, by {short(undone.commit)}"
    todo = f"{count(len(undone.tasks), 'task')} open again, for the next `yoke run`"
    done = f"{epics} {are} back on {by}" if undoing.back else f"{epics} {are} off {by}; {todo}"
    what = f"Undid {_whole(undoing)}: " if undoing.whole else ""
    output.line(f"{what}{done}. `yoke undo {undone.operation[:8]}` undoes this.")
    for line in _left(undoing):
        output.line(line)


def _told(undoing: Undoing) -> dict[str, Any]:
    return {
        "target": undoing.target,
        "back": undoing.back,
        "undoes": undoing.whole[1] if undoing.whole else None,
        "left": dict(undoing.left),
        "landings": [{"epic": each.epic, "commit": each.commit} for each in undoing.landings],
    }
