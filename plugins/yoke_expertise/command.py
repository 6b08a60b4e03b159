"""`yoke expertise`: what sessions taught, and how much it helps. `editing` has what changes it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yoke_expertise import editing
from yoke_expertise.compile import domains, versions
from yoke_expertise.documents import compile_document, render
from yoke_expertise.evidence import effect, effects, numbers
from yoke_expertise.exchange import export_all
from yoke_expertise.history import log_of, state_at
from yoke_expertise.memories import Memory, find, get, rank
from yoke_expertise.tables import KINDS, STATUSES
from yokeflow.cli import options, output
from yokeflow.cli.opened import opened
from yokeflow.cli.output import clean, style
from yokeflow.cli.words import count
from yokeflow.document import parse_duration
from yokeflow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yoke_expertise.compile import Version
    from yoke_expertise.documents import Compiled
    from yoke_expertise.history import Change
    from yoke_expertise.verdict import Effect

_at = click.option("--at", metavar="TIME", help="As it was then: 2026-01-31T12:00, or 2d for two days ago.")


@click.group(
    "expertise",
    epilog=options.examples(
        "yoke expertise list --domain testing",
        "yoke expertise show database",
        "yoke expertise show 3f2a9c1e",
        'yoke expertise add "Run `make fixtures` before the tests." --domain testing',
    ),
)
def command() -> None:
    """What sessions taught, and how much it helps.

    Lessons are kept in the store with their whole history; one file a domain, in `.expertise/`, shows the
    most important ones. Files are written when a run starts and by the commands that change lessons, never
    while a run goes on; `show DOMAIN` needs none. A lesson is told to most sessions that it fits and kept
    from a few, so that its effect is measured; one that does not help is retired.
    """


for _each in (
    *(editing.add, editing.edit, editing.validate, editing.prune),
    *(editing.rollback, editing.import_),
):
    command.add_command(_each)


@command.command("list", epilog=options.examples("yoke expertise list", "yoke expertise list --status all"))
@click.option("--domain", help="Only lessons of this domain.")
@click.option(
    "--status",
    type=click.Choice((*STATUSES, "all")),
    default="active",
    show_default=True,
    help="Only lessons of this status.",
)
@click.option("--kind", type=click.Choice(KINDS), help="Only lessons of this kind.")
@click.option("--tag", help="Only lessons with this tag.")
@_at
@options.as_json
def list_(
    *, domain: str | None, status: str, kind: str | None, tag: str | None, at: str | None, as_json: bool
) -> None:
    """List lessons, the most important first, with what is measured of them."""

    def wanted(memory: Memory) -> bool:
        return (
            domain in (None, memory.domain)
            and status in ("all", memory.status)
            and kind in (None, memory.kind)
            and (tag is None or tag in memory.tags)
        )

    found, measured = asyncio.run(_list(_moment(at), domain))
    lessons = [memory for memory in found if wanted(memory)]
    if as_json:
        output.data([_shown(memory, measured.get(str(memory.id))) for memory in lessons])
    elif lessons:
        rows = [_row(memory, measured.get(str(memory.id))) for memory in lessons]
        output.table(
            ("ID", "DOMAIN", "KIND", "WEIGHT", "SURE", "USED", "EFFECT", "LESSON"), rows, right=(3, 4, 5)
        )
    else:
        output.line("No lessons." if found else "No lessons yet: sessions leave them behind.")


@command.command(
    epilog=options.examples("yoke expertise show database", "yoke expertise show 3f2a9c1e --json")
)
@click.argument("name", metavar="DOMAIN|LESSON")
@_at
@options.as_json
def show(*, name: str, at: str | None, as_json: bool) -> None:
    """Show a domain's file with its versions, or one lesson with its evidence and its history.

    A lesson is named by its id, or the first characters of it.
    """
    asyncio.run(_show(name, _moment(at), as_json=as_json))


@command.command(epilog=options.examples("yoke expertise export lessons.json", "yoke expertise export -"))
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def export(*, file: Path, force: bool) -> None:
    """Write every lesson to FILE as JSON, to take it elsewhere with `import`; `-` prints it."""
    document = asyncio.run(_export())
    if str(file) == "-":
        output.data(document)
        return
    written = json.dumps(document, default=str, indent=2, ensure_ascii=False)
    try:
        if file.exists() and not force:
            raise UsageError(f"{file} is there already", hint="name another file, or add --force")
        file.write_text(f"{written}\n", encoding="utf-8")
    except OSError as error:
        hint = "name a file in a folder that is there and may be written to"
        raise UsageError(f"{file} cannot be written: {error.strerror}", hint=hint) from error
    output.line(f"{file}: {count(len(document['memories']), 'lesson')}")


async def _list(at: datetime | None, domain: str | None) -> tuple[list[Memory], Mapping[str, Effect]]:
    async with opened() as place, place.store.begin() as conn:
        await editing.check_known(conn, place, domain)
        if at is None:
            measured = {str(name): each for name, each in (await effects(conn, place.id)).items()}
            return await find(conn, place.id, status=()), measured
        return sorted(await state_at(conn, place.id, at), key=rank), {}


async def _show(name: str, at: datetime | None, *, as_json: bool) -> None:
    async with opened() as place, place.store.begin() as conn:
        if name in await domains(conn, place.id):
            known = [each for each in await versions(conn, place.id, name) if at is None or each.at <= at]
            if not known and at is None:
                lessons = await find(conn, place.id, name)
                most = place.project.config.learning.expertise_max_lines
                _print_unwritten(name, compile_document(name, lessons, most), as_json=as_json)
                return
            _print_domain(name, known, as_json=as_json)
            return
        if name in place.project.config.learning.domains:
            _print_empty(name, as_json=as_json)
            return
        memory = await get(conn, place.id, name)
        await _show_lesson(conn, memory, at, as_json=as_json)


def _print_domain(name: str, known: Sequence[Version], *, as_json: bool) -> None:
    if not known:
        raise UsageError(
            f"there is no file of the domain {name!r} at that time",
            hint=f"`yoke expertise list --domain {name}` shows its lessons; `validate` compiles files",
        )
    if as_json:
        history = [{**asdict(each), "content": None, "diff": None} for each in known]
        history = [{key: value for key, value in each.items() if value is not None} for each in history]
        output.data({"domain": name, "content": known[-1].content, "versions": history})
        return
    output.line(clean(render(known[-1].content, known[-1].version)))
    rows = [
        (each.version, f"{each.at.astimezone():%Y-%m-%d %H:%M}", each.change_type, each.summary)
        for each in known
    ]
    output.table(("VERSION", "AT", "CHANGE", "SUMMARY"), rows[-10:], right=(0,))


def _print_unwritten(name: str, compiled: Compiled, *, as_json: bool) -> None:
    """What a file will say that was never compiled."""
    if as_json:
        output.data({"domain": name, "content": compiled.content, "versions": []})
        return
    output.line(clean(render(compiled.content, 0)))
    output.note("There is no file of it yet: `yoke expertise validate` writes it, and so does the next run.")


def _print_empty(name: str, *, as_json: bool) -> None:
    if as_json:
        output.data({"domain": name, "content": None, "versions": []})
    else:
        output.line(f"The domain {name} has no lessons yet: sessions leave them behind.")


async def _show_lesson(conn: AsyncConnection, memory: Memory, at: datetime | None, *, as_json: bool) -> None:
    log = [entry for entry in await log_of(conn, memory.id) if at is None or entry.at <= at]
    measured = await effect(conn, memory) if at is None else None
    if at is not None:
        past = [each for each in await state_at(conn, memory.project_id, at) if each.id == memory.id]
        if not past:
            raise UsageError(f"there was no lesson {memory.id} then", hint="name a later time with --at")
        memory = past[0]
    if as_json:
        output.data(_shown(memory, measured) | {"log": log})
        return
    for line in _lines(memory, measured, log):
        output.line(line)


async def _export() -> dict[str, Any]:
    async with opened() as place, place.store.begin() as conn:
        return await export_all(conn, place.id, place.project.name)


def _moment(typed: str | None) -> datetime | None:
    """A time as people write it, or how long ago.

    Raises UsageError.
    """
    if typed is None:
        return None
    try:
        return datetime.fromisoformat(typed).astimezone(UTC)
    except ValueError:
        pass
    try:
        return datetime.now(UTC) - timedelta(seconds=parse_duration(typed))
    except (ValueError, OverflowError) as error:
        hint = "write 2026-01-31, 2026-01-31T12:00, or 2d for two days ago"
        raise UsageError(f"{typed!r} is no time", hint=hint) from error


def _shown(memory: Memory, measured: Effect | None) -> dict[str, Any]:
    return asdict(memory) | {"effect": asdict(measured) if measured else None}


def _is_known(measured: Effect) -> bool:
    return measured.given + measured.held_out > 0


def _row(memory: Memory, measured: Effect | None) -> tuple[object, ...]:
    mark = "pinned" if memory.pinned else str(memory.importance)
    told = measured.verdict if measured and _is_known(measured) else ""
    said = " ".join(memory.content.split())
    said = f"[{memory.status}] {said}" if memory.status != "active" else said
    used = memory.access_count
    return (
        str(memory.id)[:8],
        memory.domain,
        memory.kind,
        mark,
        f"{memory.confidence:.0%}",
        used,
        told,
        said,
    )


def _lines(memory: Memory, measured: Effect | None, log: Sequence[Change]) -> Iterator[str]:
    yield style(clean(memory.subject or memory.content.splitlines()[0]), bold=True)
    yield clean(memory.content)
    yield ""
    for name, value in _facts(memory, measured):
        if value:
            yield f"{style(name.ljust(12), dim=True)}{clean(value)}"
    yield ""
    for entry in log[-20:]:
        fields = ", ".join(sorted(set(entry.new) - {"updated_at", "version"})) if entry.old else ""
        who = f"{entry.at.astimezone():%Y-%m-%d %H:%M}  {entry.action} by {entry.changed_by}"
        yield clean("  ".join(filter(None, (who, entry.reason, fields and f"({fields})"))))


def _facts(memory: Memory, measured: Effect | None) -> Iterator[tuple[str, str]]:
    yield "id", str(memory.id)
    yield "is", f"{memory.status} {memory.kind} of {memory.domain}, {memory.tier}, version {memory.version}"
    pinned = ", pinned" if memory.pinned else ""
    yield "weight", f"importance {memory.importance}, {memory.confidence:.0%} sure{pinned}"
    yield "from", memory.source
    yield "files", ", ".join(memory.files)
    yield "categories", ", ".join(memory.categories)
    yield "tags", ", ".join(memory.tags)
    yield "instead", str(memory.superseded_by or "")
    yield "used", count(memory.access_count, "time")
    yield (
        "evidence",
        ", ".join(
            f"{name} {value}"
            for name, value in memory.evidence.items()
            if isinstance(value, int | float | str)
        ),
    )
    yield "effect", f"{measured.verdict}: {numbers(measured)}" if measured and _is_known(measured) else ""
