"""`yoke db`: the server, its schema, and copies of what is in it."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from yokeflow.cli import options, output
from yokeflow.cli.words import count
from yokeflow.engine.facts.rebuild import Missing, find_missing
from yokeflow.engine.facts.rebuild import rebuild as rebuild_store
from yokeflow.engine.lock import hold_project, holder
from yokeflow.engine.project import Project
from yokeflow.errors import ExitCode, ProjectBusyError, UsageError
from yokeflow.places import find_root
from yokeflow.plugin_manager import load_plugins
from yokeflow.settings import load_config
from yokeflow.store import backup as backups
from yokeflow.store import homes, migrate, server

if TYPE_CHECKING:
    from yokeflow.config import Config

_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@click.group(epilog=options.examples("yoke db status", "yoke db backup before.backup"))
def command() -> None:
    """The store: its server, its schema, and copies of what is in it.

    Commands that need the store start its server and bring the schema up to date by themselves.
    """


@command.command(epilog=options.examples("yoke db start"))
def start() -> None:
    """Start the embedded server, or prove that the configured one answers."""
    server.ensure_server(_config().database)
    output.line(f"running: {server.server_status(_config().database).address}")


@command.command(epilog=options.examples("yoke db stop"))
@_yes
def stop(yes: bool) -> None:  # noqa: FBT001 - a flag of the command line
    """Stop the embedded server. A run in progress goes on and catches up later."""
    if _config().database.url:
        raise UsageError(
            "the store is on a configured server, which is not ours to stop",
            hint="remove database.url and YOKE_DATABASE_URL to use the embedded one",
        )
    if server.server_status(_config().database).running:
        _confirm("Stop the server that all of your projects share?", yes=yes)
    output.line("stopped" if server.stop_server() else "it was not running")


@command.command(epilog=options.examples("yoke db status", "yoke db status --json"))
@options.as_json
def status(as_json: bool) -> int:  # noqa: FBT001 - a flag of the command line
    """Where the store is, whether it answers, and whether its schema is up to date.

    Leaves with 1 when it does not answer.
    """
    config = _config()
    found = server.server_status(config.database)
    answer = {
        "kind": found.kind,
        "running": found.running,
        "address": found.address,
        "version": found.version,
        "pid": found.pid,
        "folder": found.folder,
        "reason": found.reason,
        "schema": asyncio.run(_schema(config)) if found.running else None,
    }
    if as_json:
        output.data(answer)
    else:
        rows = (
            (name, ", ".join(value) if isinstance(value, list) else value) for name, value in _flat(answer)
        )
        output.table(("", ""), [(name, value) for name, value in rows if value not in (None, "")])
    return ExitCode.OK if found.running else ExitCode.FAILED


@command.command(epilog=options.examples("yoke db upgrade"))
def upgrade() -> None:
    """Bring the schema up to date. Other commands do it too, when they need the store."""
    config = _config()
    url = server.ensure_server(config.database)
    changed = asyncio.run(migrate.upgrade(url, _migrations(config)))
    output.line("upgraded" if changed else "up to date already")


@command.command(epilog=options.examples("yoke db downgrade yoke_costs@base", "yoke db downgrade base --yes"))
@click.argument("revision")
@_yes
def downgrade(revision: str, yes: bool) -> None:  # noqa: FBT001 - a flag of the command line
    """Take migrations back to REVISION; `base` takes back everything. What the tables held is lost.

    Make a copy first: `yoke db backup FILE`.
    """
    config = _config()
    url = server.ensure_server(config.database)
    _refuse_while_running(url)
    _confirm(f"Take the schema back to {revision}, and lose what is in the tables that go?", yes=yes)
    asyncio.run(migrate.downgrade(url, _migrations(config), revision))
    output.line(f"at {revision}")


@command.command(epilog=options.examples("yoke db backup before-update.backup"))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def backup(file: Path, force: bool) -> None:  # noqa: FBT001 - a flag of the command line
    """Write a copy of the store, all projects, to FILE."""
    if file.exists() and not force:
        raise UsageError(f"{file} is there already", hint="name another file, or add --force")
    url = server.ensure_server(_config().database)
    size = backups.backup(url, file.absolute())
    output.line(f"{file}: {size:,} bytes")


@command.command(epilog=options.examples("yoke db restore before-update.backup"))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_yes
def restore(file: Path, yes: bool) -> None:  # noqa: FBT001 - a flag of the command line
    """Replace the whole store, all projects, by the copy in FILE, then bring its schema up to date."""
    config = _config()
    url = server.ensure_server(config.database)
    _refuse_while_running(url)
    _confirm(f"Replace all that is in {server.server_status(config.database).address} by {file}?", yes=yes)
    backups.restore(url, file)
    asyncio.run(migrate.upgrade(url, _migrations(config)))
    output.line(f"restored from {file}")


@command.command(
    epilog=options.examples("yoke db rebuild", "yoke db rebuild --dry-run", "yoke db rebuild --json")
)
@click.option("--dry-run", is_flag=True, help="Say what would come back; change nothing.")
@_yes
@options.as_json
def rebuild(*, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Bring back from git what the store has lost: items, sessions, landings in their order, evidence.

    Nothing that the store knows is changed, so it can be done at any time, and twice. Commands do it by
    themselves where the store knows nothing of the project, and `yoke run` for landings that came with
    `git pull`. What git does not know stays lost: costs, and attempts that committed nothing.
    """
    missing = asyncio.run(_missing())
    if as_json:
        output.data({**asdict(missing.rebuilt), "dry_run": dry_run})
    else:
        output.line(_summary(missing))
    if dry_run or not missing.rebuilt:
        return
    if missing.store_knows:
        _confirm("Add this to what the store knows?", yes=yes)
    asyncio.run(_rebuild())
    if not as_json:
        output.line("the store knows it now; `yoke status` shows it")


async def _missing() -> Missing:
    return await find_missing(await Project.open(Path.cwd()))


async def _rebuild() -> None:
    """Holds the project meanwhile: a run would tell the same in its own words."""
    project = await Project.open(Path.cwd())
    with hold_project(project.lock_file, ""):
        async with project.store() as (store, project_id):
            await rebuild_store(project, store, project_id)


def _summary(missing: Missing) -> str:
    found = missing.rebuilt
    if not found:
        return "git knows nothing that the store does not"
    numbers = (
        (found.landings, "landing"),
        (found.undone, "undone landing"),
        (found.tasks, "completed task"),
        (found.sessions, "session"),
        (found.runs, "run"),
        (found.checks, "check"),
        (len(found.items), "item"),
    )
    listed = ", ".join(count(number, noun) for number, noun in numbers if number)
    return f"git knows what the store does not: {listed}"


def _refuse_while_running(url: str) -> None:
    """Raises ProjectBusyError while any project of the store has a run: it would lose the ground under it."""
    for folder in asyncio.run(homes.git_folders(url)):
        if live := holder(folder / "yoke" / "run.lock"):
            raise ProjectBusyError(
                f"a run of the project in {folder.parent} is going on (process {live.pid} on {live.host})",
                hint="wait for its end, or stop it there with `yoke cancel`",
            )


def _config() -> Config:
    here = Path.cwd()
    return load_config(find_root(here) or here, strict=False).config


def _migrations(config: Config) -> dict[Path, str]:
    return load_plugins(config.plugins.disabled).migrations


async def _schema(config: Config) -> dict[str, object]:
    url = await asyncio.to_thread(server.ensure_server, config.database)
    return {
        "up_to_date": not await migrate.pending(url, _migrations(config)),
        "revisions": sorted(await migrate.current(url)),
    }


def _flat(answer: dict[str, object]) -> list[tuple[str, object]]:
    schema = answer.pop("schema")
    return [*answer.items(), *(schema.items() if isinstance(schema, dict) else ())]


def _confirm(question: str, *, yes: bool) -> None:
    """Ask before something is lost.

    Raises UsageError where nobody can answer, click.Abort for a no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("this asks first, and nobody is there to answer", hint="add --yes")
    click.confirm(question, abort=True, err=True)
