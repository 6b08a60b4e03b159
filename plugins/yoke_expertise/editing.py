"""The commands of `yoke expertise` that change lessons. Each brings the files of the domains up to date."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from yoke_expertise.checkout import write_files
from yoke_expertise.compile import compile_all, compile_domain, domains, text_hash
from yoke_expertise.compile import rollback as roll_back
from yoke_expertise.documents import as_yaml, entry_of
from yoke_expertise.exchange import edits_in, import_document
from yoke_expertise.memories import Draft, Memory, change, get, save
from yoke_expertise.tables import KINDS, STATUSES
from yoke_expertise.upkeep import prune as prune_lessons
from yoke_expertise.upkeep import validate as validate_lessons
from yokeflow.cli import options, output
from yokeflow.cli.opened import Opened, opened
from yokeflow.cli.output import clean
from yokeflow.cli.words import count
from yokeflow.document import load_document, parse_document
from yokeflow.engine.secrets.redact import redact
from yokeflow.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yoke_expertise.checkout import Written
    from yoke_expertise.compile import Version
    from yoke_expertise.exchange import TakenIn
    from yoke_expertise.upkeep import Touched
    from yokeflow.document import Document

_LONGEST = 2000
_LONGEST_SUBJECT = 200


def _text(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """What a lesson can say, which is told to agents and written into files: no secret."""
    value = redact(value) if value else value
    if value is not None and not 0 < len(value.strip()) <= _LONGEST:
        raise click.BadParameter(f"a lesson has 1 to {_LONGEST:,} characters")
    return value.strip() if value else value


def _subject_text(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    value = redact(value) if value else value
    if value and len(value) > _LONGEST_SUBJECT:
        raise click.BadParameter(f"a subject has at most {_LONGEST_SUBJECT} characters")
    return value


def _paths(_context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Files of the repository, as it names them."""
    for path in value:
        named = PurePosixPath(path)
        if not path.strip() or not named.parts or named.is_absolute() or ".." in named.parts:
            raise click.BadParameter(f"{path!r} is no path from the root of the repository, as in src/a.py")
    return tuple(path.removeprefix("./") for path in value)


_SETTABLE = tuple(name for name in STATUSES if name != "superseded")
_domain = click.option("--domain", help="Only this domain.")
_importance = click.option("--importance", type=click.IntRange(1, 10), help="From 1 to 10.")
_file = click.option(
    "--file", "files", multiple=True, callback=_paths, help="A path it is about; may be repeated."
)
_category = click.option(
    "--category", "categories", multiple=True, help="A category of tasks; may be repeated."
)
_tag = click.option("--tag", "tags", multiple=True, help="A word that groups lessons; may be repeated.")
_kind = click.option("--kind", type=click.Choice(KINDS), help="What kind of lesson it is.")
_subject = click.option("--subject", callback=_subject_text, help="What it is about, in a few words.")


@click.command(
    epilog=options.examples(
        'yoke expertise add "Run `make fixtures` before the tests." --domain testing --file tests/conftest.py'
    )
)
@click.argument("text", callback=_text)
@click.option("--domain", default="general", show_default=True, help="One of learning.domains.")
@_kind
@_subject
@_importance
@_file
@_category
@_tag
@click.option("--pin", is_flag=True, help="Keep it whatever the evidence says.")
@options.as_json
def add(*, text: str, domain: str, pin: bool, as_json: bool, **given: Any) -> None:
    """Teach a lesson: TEXT, at most 2,000 characters, is told to sessions that it fits."""
    given = {"kind": "note"} | {name: value for name, value in given.items() if value}
    draft = Draft(domain, content=text, source="explicit", confidence=1.0, pinned=pin, **given)
    memory, written = asyncio.run(_add(draft))
    if as_json:
        output.data(asdict(memory))
    else:
        output.line(f"{memory.id}: {clean(memory.content)}")
    _tell(written)


@click.command(
    epilog=options.examples(
        "yoke expertise edit 3f2a9c1e",
        'yoke expertise edit 3f2a9c1e --content "Run `make fixtures` first." --importance 8',
        "yoke expertise edit 3f2a9c1e --status archived",
    )
)
@click.argument("lesson")
@click.option("--content", callback=_text, help="What it says.")
@click.option("--domain", help="The domain it belongs to.")
@_kind
@_subject
@_importance
@click.option("--confidence", type=click.FloatRange(0, 1), help="From 0 to 1.")
@click.option("--status", type=click.Choice(_SETTABLE), help="Whether it is told.")
@_file
@_category
@_tag
@click.option("--pin/--unpin", "pinned", default=None, help="Keep it whatever the evidence says, or not.")
@options.as_json
def edit(*, lesson: str, as_json: bool, **given: Any) -> None:
    """Change a lesson: by options, or in your editor when there are none.

    Files, categories and tags replace those it has. It is refused when somebody else changed it meanwhile.
    """
    edits = {name: value for name, value in given.items() if value not in (None, ())}
    memory, written = asyncio.run(_edit(lesson, edits))
    if as_json:
        output.data(asdict(memory))
    else:
        output.line(f"{memory.id}: version {memory.version}")
    _tell(written)


@click.command(
    epilog=options.examples("yoke expertise validate", "yoke expertise validate --domain api --json")
)
@_domain
@options.as_json
def validate(*, domain: str | None, as_json: bool) -> None:
    """Drop references to files that are gone, and retire lessons that were about nothing else.

    Files count that are in the target branch or in an epic that has not landed yet.
    """
    touched, written = asyncio.run(_validate(domain))
    _report(touched, written, "Every file that a lesson is about is there.", as_json=as_json)


@click.command(epilog=options.examples("yoke expertise prune --dry-run", "yoke expertise prune"))
@_domain
@click.option("--dry-run", is_flag=True, help="Show what would be retired.")
@options.as_json
def prune(*, domain: str | None, dry_run: bool, as_json: bool) -> None:
    """Retire lessons that have expired or that no session needed for long, and sort the others into tiers."""
    touched, written = asyncio.run(_prune(domain, dry_run=dry_run))
    _report(touched, written, "Nothing is worn out.", as_json=as_json)


@click.command(epilog=options.examples("yoke expertise rollback database --to 3"))
@click.argument("domain")
@click.option("--to", required=True, type=click.IntRange(1), help="The version to go back to.")
@options.as_json
def rollback(*, domain: str, to: int, as_json: bool) -> None:
    """Take the lessons of DOMAIN back to what they were in an earlier version, as a new version.

    `yoke expertise show DOMAIN` lists the versions. Nothing is lost: you can go forward again the same way.
    """
    version, written = asyncio.run(_rollback(domain, to))
    if as_json:
        output.data({"domain": domain, "to": to, "version": version.version if version else None})
    elif version:
        output.line(f"{domain}: version {version.version} is version {to} again")
    else:
        output.line(f"{domain} says what it said in version {to}")
    _tell(written)


@click.command("import", epilog=options.examples("yoke expertise import .expertise/database.yaml"))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Take the file's word where the store says otherwise.")
@options.as_json
def import_(*, file: Path, force: bool, as_json: bool) -> None:
    """Take in an expertise file that was edited, or what `export` wrote.

    Of an edited file, what you changed counts: new entries need only `lesson`, and a lesson that you took
    out is retired. Of another project's lessons, those that are here already are skipped.
    """
    if file.exists() and not file.is_file():
        raise UsageError(f"{file} is no regular file", hint="write what it gives into a file first")
    document = load_document(file)
    read = text_hash(file.read_bytes())
    taken, written = asyncio.run(_import(document, read, force=force))
    if as_json:
        output.data(asdict(taken))
    else:
        names = ("added", "changed", "retired", "skipped", "unchanged")
        counts = [f"{getattr(taken, name)} {name}" for name in names if getattr(taken, name)]
        output.line(f"{file}: {', '.join(counts) or 'no lessons'}")
    _tell(written)


async def _add(draft: Draft) -> tuple[Memory, list[Written]]:
    async with opened() as place:
        _check_domain(place, draft.domain)
        async with place.store.begin() as conn:
            memory = await save(conn, place.id, draft, actor=await _who(place))
        if not place.project.config.learning.enabled:
            output.warn(
                "no session is told this lesson: learning is off", "set learning.enabled to true in its file"
            )
        return memory, await _publish(place, [memory.domain], "edited")


async def check_known(conn: AsyncConnection, place: Opened, *named: str | None) -> None:
    """Raises UsageError for a domain that is neither set nor one that lessons or files have."""
    if strange := {name for name in named if name is not None} - set(await domains(conn, place.id)):
        for name in sorted(strange):
            _check_domain(place, name)


def _check_domain(place: Opened, domain: str) -> None:
    known = place.project.config.learning.domains
    if domain not in known:
        hint = f"choose one of {', '.join(known)}, or add it to learning.domains"
        raise UsageError(f"there is no domain {domain!r}", hint=hint)


async def _edit(lesson: str, edits: dict[str, Any]) -> tuple[Memory, list[Written]]:
    async with opened() as place:
        if "domain" in edits:
            _check_domain(place, edits["domain"])
        async with place.store.begin() as conn:
            old = await get(conn, place.id, lesson)
        # The editor may be open for long: nothing is held meanwhile, and the version tells what came between.
        edits = edits or await asyncio.to_thread(_in_editor, old)
        async with place.store.begin() as conn:
            memory = await change(conn, old.id, old.version, actor=await _who(place), **edits)
        return memory, await _publish(place, {old.domain, memory.domain}, "edited")


def _in_editor(memory: Memory) -> dict[str, Any]:
    text = click.edit(as_yaml(entry_of(memory)), extension=".yaml")
    if text is None:
        raise UsageError(
            "nothing was changed", hint="save the file in your editor, or use options: --content …"
        )
    return edits_in(parse_document(text, Path("the edited text")), memory)


async def _validate(domain: str | None) -> tuple[list[Touched], list[Written]]:
    async with opened() as place:
        tracked = await _tracked(place)
        async with place.store.begin() as conn:
            await check_known(conn, place, domain)
            touched = await validate_lessons(conn, place.id, tracked, domain=domain, actor=await _who(place))
        return touched, await _publish(place, [domain] if domain else (), "validated", validated=True)


async def _prune(domain: str | None, *, dry_run: bool) -> tuple[list[Touched], list[Written]]:
    async with opened() as place:
        async with place.store.begin() as conn:
            await check_known(conn, place, domain)
            touched = await prune_lessons(
                conn, place.id, domain=domain, actor=await _who(place), dry_run=dry_run
            )
        return touched, [] if dry_run else await _publish(place, [domain] if domain else (), "pruned")


async def _rollback(domain: str, to: int) -> tuple[Version | None, list[Written]]:
    async with opened() as place:
        learning = place.project.config.learning
        async with place.store.begin() as conn:
            version = await roll_back(conn, place.id, domain, to, learning, actor=await _who(place))
        return version, await _publish(place, (), "rolled_back")


async def _import(document: Document, read: str, *, force: bool) -> tuple[TakenIn, list[Written]]:
    async with opened() as place:
        async with place.store.begin() as conn:
            known = await domains(conn, place.id)
            taken = await import_document(conn, place.id, document, actor=await _who(place), force=force)
            # Refused here, nothing of it is stored.
            for domain in taken.domains:
                if domain not in known:
                    _check_domain(place, domain)
        return taken, await _publish(place, taken.domains, "imported", taken_in=[read])


async def _publish(
    place: Opened,
    only: Sequence[str] | set[str],
    change_type: str,
    *,
    validated: bool = False,
    taken_in: Sequence[str] = (),
) -> list[Written]:
    """Compile and write the files of these domains, or of all; first the store, then the checkout."""
    learning, repo = place.project.config.learning, place.project.repo
    async with place.store.begin() as conn:
        if only:
            for domain in sorted(set(only) & set(await domains(conn, place.id))):
                await compile_domain(
                    conn, place.id, domain, learning, change_type=change_type, validated=validated
                )
        else:
            await compile_all(conn, place.id, learning, change_type=change_type, validated=validated)
    if repo.bare:
        return []
    try:
        async with place.store.begin() as conn:
            return await write_files(conn, place.id, repo.root, learning, only=only, taken_in=taken_in)
    except UsageError as error:
        # What was asked for is done: the files are a view of it.
        output.warn(f"no file was written: {error.message}", error.hint)
        return []


async def _tracked(place: Opened) -> set[str]:
    """Paths in the target and in every epic and lane that has not landed."""
    repo, project = place.project.repo, place.project.config.project
    target = await repo.target_branch(project.target)
    open_ = {name for name in await repo.branches() if name.startswith((project.branch_prefix, "lane/"))}
    return {path for name in {target} | open_ for path in await repo.tracked_files(f"refs/heads/{name}")}


async def _who(place: Opened) -> str:
    """The author of a change: the name that git has of the person."""
    named = await place.project.repo.git("config", "user.name", ok=(0, 1))
    return f"user:{named.text.strip() or 'unknown'}"


def _report(touched: Sequence[Touched], written: Sequence[Written], nothing: str, *, as_json: bool) -> None:
    if as_json:
        output.data(
            [
                {"id": each.memory.id, "domain": each.memory.domain, "reason": each.reason}
                | {"lesson": each.memory.content}
                for each in touched
            ]
        )
    elif touched:
        rows = [_row(each) for each in touched]
        output.table(("ID", "DOMAIN", "WHY", "LESSON"), rows)
        output.line(count(len(touched), "lesson"))
    else:
        output.line(nothing)
    _tell(written)


def _row(each: Touched) -> tuple[str, ...]:
    memory = each.memory
    return (str(memory.id)[:8], memory.domain, each.reason, " ".join(memory.content.split()))


def _tell(written: Sequence[Written]) -> None:
    for each in written:
        if each.state == "edited":
            output.warn(
                f"{each.path} was edited by hand and is left alone",
                f"`yoke expertise import {each.path}` takes the edits in",
            )
        elif each.state == "refused":
            output.warn(f"what changed is stored, but its file is not written: {each.why}", each.hint)
        elif each.state == "written":
            output.note(f"wrote {each.path}")
