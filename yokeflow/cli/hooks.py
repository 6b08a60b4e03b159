"""`yoke hooks`: our git hooks, beside those that are there."""

from __future__ import annotations

import asyncio
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from yokeflow.cli import options, output
from yokeflow.git.hooks import Hooks, HookStatus
from yokeflow.git.repo import Repo


@click.group(epilog=options.examples("yoke hooks install", "yoke hooks status", "yoke hooks uninstall"))
def command() -> None:
    """Put git hooks beside yours, or take them away again: they record commits and merges on their items.

    Your own hooks, pre-commit, husky, lefthook and core.hooksPath go on working.
    """


@command.command(epilog=options.examples("yoke hooks install", "yoke hooks install --json"))
@options.as_json
def install(as_json: bool) -> None:  # noqa: FBT001 - a flag of the command line
    """Put the hooks in, or put right what somebody changed; harmless when they are there."""
    status, notes = asyncio.run(_install())
    if as_json:
        output.data(_data(status, notes))
        return
    _notes(notes)
    output.line(f"The hooks are in {status.folder}.")
    output.note("Take them away with `yoke hooks uninstall`; everything is then as it was.")


@command.command(epilog=options.examples("yoke hooks uninstall", "yoke hooks uninstall --json"))
@options.as_json
def uninstall(as_json: bool) -> None:  # noqa: FBT001 - a flag of the command line
    """Take the hooks away and put back what was there, byte for byte."""
    status, notes = asyncio.run(_uninstall())
    if as_json:
        output.data(_data(status, notes))
        return
    _notes(notes)
    output.line("The hooks are gone; yours are as they were.")


@command.command(epilog=options.examples("yoke hooks status", "yoke hooks status --json"))
@options.as_json
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:  # noqa: FBT001 - a flag of the command line
    """Whether the hooks are there and run. Exit code 1 when they are installed and something is wrong."""
    found = asyncio.run(_status())
    if as_json:
        output.data(_data(found, ()))
    elif not found.installed:
        output.line("The hooks are not installed.")
        output.note("Install them with `yoke hooks install`.")
    else:
        output.line(f"The hooks are in {found.folder}.")
        output.table(("hook", "state"), list(found.hooks.items()))
        for problem in found.problems:
            output.warn(problem)
    if found.remedy:
        if not as_json:
            output.note(f"Put it right with `{found.remedy}`.")
        ctx.exit(1)


def _notes(notes: tuple[str, ...]) -> None:
    for note in notes:
        output.warn(note)


def _data(found: HookStatus, notes: tuple[str, ...]) -> dict[str, object]:
    return {
        "installed": found.installed,
        "folder": found.folder,
        "hooks": dict(found.hooks),
        "problems": list(found.problems),
        "remedy": found.remedy,
        "notes": list(notes),
    }


async def _hooks() -> Hooks:
    return Hooks(await Repo.discover(Path.cwd()))


async def _install() -> tuple[HookStatus, tuple[str, ...]]:
    # By name: nothing else here needs the settings, or what reads the store.
    engine: Any = import_module("yokeflow.engine.hooking")
    notes: tuple[str, ...] = await engine.install(Path.cwd())
    return await _status(), notes


async def _uninstall() -> tuple[HookStatus, tuple[str, ...]]:
    hooks = await _hooks()
    notes = await hooks.uninstall()
    return await hooks.status(), notes


async def _status() -> HookStatus:
    return await (await _hooks()).status()
