"""`yoke demo`: see the whole way in half a minute."""

from __future__ import annotations

import asyncio
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from yokeflow.cli import options, output
from yokeflow.cli.output import style
from yokeflow.cli.running import run_and_show
from yokeflow.engine.demo import make_demo
from yokeflow.engine.project import Project
from yokeflow.engine.selection import RunOptions
from yokeflow.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

_NEXT = (
    ("cd {folder}", "look at what was made"),
    ('python3 -m calc "2 * (3 + 4)"', "use it"),
    ("git log --graph --oneline", "see how it came to be"),
    ("yoke show app.main", "one task: attempts, checks, transcript"),
    ("yoke init", "in a project of yours: configuration and a first plan"),
)


@click.command(epilog=options.examples("yoke demo", "yoke demo /tmp/calc", "yoke demo --no-run"))
@click.argument("folder", type=click.Path(path_type=Path), default="yoke-demo", metavar="[DIR]")
@click.option("--no-run", is_flag=True, help="Only make the project.")
@options.as_json
def command(*, folder: Path, no_run: bool, as_json: bool) -> ExitCode:
    """Make a small project in DIR (default: yoke-demo) and run its plan.

    Four epics with thirteen tasks build a calculator. The `shell` agent works, so it costs nothing; branches,
    worktrees, checks and landings are real.
    """
    return asyncio.run(_demo(folder, run=not no_run, as_json=as_json))


async def _demo(folder: Path, *, run: bool, as_json: bool) -> ExitCode:
    await make_demo(folder)
    code = ExitCode.OK
    if run:
        project = await Project.open(folder)
        code = await run_and_show(project, project.load_plan(), RunOptions(), as_json=as_json, advise=False)
    if not as_json:
        rows = _NEXT if run else (_NEXT[0], ("yoke run", "do the plan"))
        _say_next(folder, rows if code is ExitCode.OK else (_NEXT[0], ("yoke resume", "go on with it")))
    return code


def _say_next(folder: Path, rows: Sequence[tuple[str, str]]) -> None:
    commands = [(command.format(folder=quote(str(folder))), effect) for command, effect in rows]
    size = max(len(command) for command, _ in commands)
    output.line()
    output.line(style("What to type next", bold=True))
    for command, effect in commands:
        output.line(f"  {style(command.ljust(size), fg='cyan')}  {style(effect, dim=True)}")
