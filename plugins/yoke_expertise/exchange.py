"""Take lessons out as one JSON document, and in, from such a document or an edited expertise file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, ValidationError

from yoke_expertise.compile import versions
from yoke_expertise.documents import SECTIONS, entry_of
from yoke_expertise.memories import Draft, Memory, StaleMemoryError, change, find, retire, save
from yoke_expertise.tables import KINDS, SOURCES, STATUSES, TIERS, TYPES
from yokeflow.config import Section
from yokeflow.engine.secrets.redact import redact
from yokeflow.errors import DocumentError, UsageError
from yokeflow.validation import problems_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yokeflow.document import Document

_Text = Annotated[str, AfterValidator(redact), Field(min_length=1, max_length=2000)]
_Subject = Annotated[str, AfterValidator(redact), Field(max_length=200)]
_Domain = Annotated[str, Field(min_length=1, max_length=100)]
_Tag = Annotated[str, Field(min_length=1, max_length=50)]
_Importance = Annotated[int, Field(ge=1, le=10)]
_Share = Annotated[float, Field(ge=0, le=1)]
_STALE = "see `yoke expertise show`, then correct the file, or take its word with --force"
#: What was measured of a lesson, in its evidence.
_EFFECT = "effect"
#: Names in a file, and the fields they stand for.
_FIELDS = {"lesson": "content"}
_OF_DRAFT = frozenset(field.name for field in fields(Draft)) - {"key"}
_EDITED = ("kind", "subject", "lesson", "files", "categories", "tags", "importance", "confidence", "pinned")


class Entry(Section):
    """A lesson in an expertise file."""

    id: UUID | None = None
    kind: Literal[KINDS] | None = None  # type: ignore[valid-type] # the words are values of this program
    subject: _Subject = ""
    lesson: _Text
    files: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    tags: tuple[_Tag, ...] = ()
    importance: _Importance = 5
    confidence: _Share = 1.0
    pinned: bool = False


class ExpertiseText(Section):
    """An expertise file."""

    domain: _Domain
    version: int = 0
    overview: str = ""
    core_files: tuple[str, ...] = ()
    patterns: tuple[Entry, ...] = ()
    best_practices: tuple[Entry, ...] = ()
    learned_from_failures: tuple[Entry, ...] = ()
    effective_patterns: tuple[Entry, ...] = ()
    successful_techniques: tuple[Entry, ...] = ()
    last_validated: Any = None


class Exported(Section):
    """A lesson in an exported document."""

    id: UUID
    version: int
    key: Annotated[str, Field(min_length=1)]
    type: Literal[TYPES]  # type: ignore[valid-type] # the words are values of this program
    domain: _Domain
    status: Literal[STATUSES]  # type: ignore[valid-type] # as above
    tier: Literal[TIERS]  # type: ignore[valid-type] # as above
    source: Literal[SOURCES]  # type: ignore[valid-type] # as above
    kind: Literal[KINDS]  # type: ignore[valid-type] # as above
    subject: _Subject
    content: _Text
    importance: _Importance
    confidence: _Share
    evidence: dict[str, Any]
    pinned: bool
    files: tuple[str, ...]
    categories: tuple[str, ...]
    tags: tuple[_Tag, ...]
    expires_at: datetime | None


class ExportedAll(Section):
    """An exported document."""

    yoke_expertise: Literal[1]
    project: str = ""
    memories: tuple[Exported, ...]


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What an import did."""

    domains: tuple[str, ...]
    added: int = 0
    changed: int = 0
    retired: int = 0
    unchanged: int = 0
    #: Known here already and said otherwise by another project.
    skipped: int = 0


async def export_all(conn: AsyncConnection, project_id: UUID, name: str) -> dict[str, Any]:
    """Every lesson of a project, whatever its status."""
    names = tuple(Exported.model_fields)
    memories = sorted(await find(conn, project_id, status=()), key=lambda memory: (memory.domain, memory.key))
    return {
        "yoke_expertise": 1,
        "project": name,
        "memories": [{field: getattr(memory, field) for field in names} for memory in memories],
    }


async def import_document(
    conn: AsyncConnection, project_id: UUID, document: Document, *, actor: str, force: bool = False
) -> TakenIn:
    """Take in what `export` wrote, or an expertise file with edits.

    Of another project's lessons, those that are here already are skipped unless `force`.
    Raises DocumentError for a document that is neither, UsageError for a lesson that is there twice and says
    two things, and StaleMemoryError when one was changed in the store after the document was written, unless
    `force`.
    """
    if isinstance(document.data, dict) and "yoke_expertise" in document.data:
        return await _import_all(conn, project_id, _read(document, ExportedAll), actor, force=force)
    return await _import_text(conn, project_id, _read(document, ExpertiseText), actor, force=force)


def _read(document: Document, model: type[Any]) -> Any:
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        raise DocumentError(problems_of(error, document, model)) from error


async def _import_all(
    conn: AsyncConnection, project_id: UUID, given: ExportedAll, actor: str, *, force: bool
) -> TakenIn:
    known = {memory.key: memory for memory in await find(conn, project_id, status=())}
    counts = dict.fromkeys(("added", "changed", "skipped", "unchanged"), 0)
    for item in _each_once(given.memories):
        memory, edits = known.get(item.key), _fields_of_exported(item)
        if memory is None:
            draft = Draft(key=item.key, **{name: edits[name] for name in _OF_DRAFT})
            memory = await save(conn, project_id, draft, actor=actor, reason="imported")
            done = "added"
        else:
            edits = _differing(memory, edits)
            # The same lesson of another project: what was learned, said and measured here is about this one.
            foreign = memory.id != item.id and not force
            done = "unchanged" if not edits else "skipped" if foreign else "changed"
        if done == "changed" and memory.version > item.version and not force:
            raise StaleMemoryError(item.version, edits, memory, hint=_STALE)
        if done in {"added", "changed"}:
            await change(conn, memory.id, memory.version, actor=actor, reason="imported", **edits)
        counts[done] += 1
    return TakenIn(tuple(sorted({item.domain for item in given.memories})), **counts)


def _each_once(items: Sequence[Exported]) -> list[Exported]:
    """The lessons of a document in the order of their keys; what is said twice is said once."""
    found: dict[str, Exported] = {}
    for item in items:
        first = found.setdefault(item.key, item)
        if _fields_of_exported(first) != _fields_of_exported(item):
            raise _twice(item.id)
    return [found[key] for key in sorted(found)]


def _twice(id_: UUID) -> UsageError:
    return UsageError(f"the lesson {id_} is there twice and says two things", hint="take one of them out")


def _fields_of_exported(item: Exported) -> dict[str, Any]:
    """What a document says of a lesson, without what it did where the document comes from."""
    values = {name: value for name, value in dict(item).items() if name not in ("id", "version", "key")}
    return values | {"evidence": _without_effect(item.evidence)}


def _differing(memory: Memory, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that the lesson does not have; what was measured of it stays."""
    edits = {name: value for name, value in values.items() if getattr(memory, name) != value}
    if _without_effect(memory.evidence) == values["evidence"]:
        edits.pop("evidence", None)
    elif _EFFECT in memory.evidence:
        edits["evidence"] = {**values["evidence"], _EFFECT: memory.evidence[_EFFECT]}
    return edits


def _without_effect(evidence: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in evidence.items() if name != _EFFECT}


async def _import_text(
    conn: AsyncConnection, project_id: UUID, given: ExpertiseText, actor: str, *, force: bool
) -> TakenIn:
    known = {memory.id: memory for memory in await find(conn, project_id, status=())}
    base = await _written(conn, project_id, given)
    counts = dict.fromkeys(("added", "changed", "retired", "unchanged"), 0)
    seen: dict[UUID, dict[str, Any]] = {}
    for section in SECTIONS:
        for entry in getattr(given, section):
            values = _fields_of(entry, section)
            memory = known.get(entry.id)
            if memory is None:
                draft = Draft(given.domain, source="explicit", **values)
                await save(conn, project_id, draft, actor=actor, reason="imported")
                counts["added"] += 1
                continue
            if memory.id in seen:
                if seen[memory.id] != values:
                    raise _twice(memory.id)
                continue
            seen[memory.id] = values
            edits = _edits(memory, values, base.get(memory.id), force=force)
            await change(conn, memory.id, memory.version, actor=actor, reason="imported", **edits)
            counts["changed" if edits else "unchanged"] += 1
    for gone in sorted(base.keys() - seen.keys()):
        if known[gone].status == "active":
            await retire(conn, gone, "taken out of the file", actor=actor)
            counts["retired"] += 1
    return TakenIn((given.domain,), **counts)


async def _written(
    conn: AsyncConnection, project_id: UUID, given: ExpertiseText
) -> dict[UUID, Mapping[str, Any]]:
    """Lessons as the store wrote them into that version of the file; empty for a file from elsewhere."""
    for version in await versions(conn, project_id, given.domain):
        if version.version == given.version:
            read = ExpertiseText.model_validate({"domain": given.domain, **version.content})
            entries = ((entry, name) for name in SECTIONS for entry in getattr(read, name))
            return {entry.id: _fields_of(entry, name) for entry, name in entries if entry.id}
    return {}


def edits_in(document: Document, memory: Memory) -> dict[str, Any]:
    """What a person changed in one lesson, written as in an expertise file.

    Raises DocumentError.
    """
    entry: Entry = _read(document, Entry)
    values = _fields_of(entry, _section_of(memory)) | {"kind": entry.kind or memory.kind}
    return _edits(memory, values, None, force=True)


def _section_of(memory: Memory) -> str:
    return next(name for name, kinds in SECTIONS.items() if memory.kind in kinds)


def _edits(
    memory: Memory, mine: Mapping[str, Any], was: Mapping[str, Any] | None, *, force: bool
) -> dict[str, Any]:
    """What a person changed in the file.

    Raises StaleMemoryError for what was changed in the store too, unless `force`.
    """
    theirs = _fields_of(Entry.model_validate(entry_of(memory)), _section_of(memory))
    was = theirs if was is None else was
    edits = {name: value for name, value in mine.items() if value not in (was[name], theirs[name])}
    if not force and (both := {name: mine[name] for name in edits if theirs[name] != was[name]}):
        raise StaleMemoryError(memory.version - 1, both, memory, hint=_STALE)
    return edits


def _fields_of(entry: Entry, section: str) -> dict[str, Any]:
    values = {_FIELDS.get(name, name): getattr(entry, name) for name in _EDITED}
    kinds = SECTIONS[section]
    values["kind"] = entry.kind if entry.kind in kinds else kinds[0]
    values["tags"] = tuple(sorted(set(entry.tags)))
    return values
