"""Expertise files in the user's checkout: a view of the store, which never overwrites what a person wrote."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from yoke_expertise.compile import current_text, domains, hashes, hold, text_hash
from yokeflow.errors import UsageError, YokeError, disk_full
from yokeflow.files import remove_left, write_whole

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yokeflow.config import Learning

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ODD = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a domain's file; `edited` ones were left alone, `refused` ones could not be written."""

    domain: str
    path: Path
    state: Literal["written", "same", "edited", "refused"]
    #: Why it could not be written, and what to do.
    why: str = ""
    hint: str = ""


def file_of(root: Path, learning: Learning, domain: str) -> Path:
    """Where a domain's file belongs.

    Raises UsageError when a link leads its folder out of the repository.
    """
    folder = root / learning.directory
    if not folder.resolve().is_relative_to(root.resolve()):
        raise UsageError(
            f"{learning.directory} leads out of the repository, so nothing is written there",
            hint="replace the link by a folder, or set learning.directory",
        )
    # Names that are no file names get a suffix that keeps them apart.
    plain = _PLAIN.fullmatch(domain)
    name = domain if plain else f"{_ODD.sub('-', domain).strip('-')}-{text_hash(domain.encode())[:8]}"
    return folder / f"{name}.yaml"


async def write_files(
    conn: AsyncConnection,
    project_id: UUID,
    root: Path,
    learning: Learning,
    *,
    only: Collection[str] = (),
    taken_in: Collection[str] = (),
) -> list[Written]:
    """Bring the files of all domains, or of some, up to date with the store.

    A file is replaced when its text is one that the store knows, or its hash is in `taken_in`. One that
    cannot be written keeps no other from it.
    """
    await hold(conn, project_id)
    wanted: Sequence[str] = sorted(only) or await domains(conn, project_id)
    outcome = []
    for domain in wanted:
        text = await current_text(conn, project_id, domain)
        if text is not None:
            known = await hashes(conn, project_id, domain) | frozenset(taken_in)
            path = file_of(root, learning, domain)
            try:
                outcome.append(Written(domain, path, await asyncio.to_thread(_write, path, text, known)))
            except YokeError as error:
                outcome.append(Written(domain, path, "refused", error.message, error.hint))
    return outcome


def _write(path: Path, text: str, known: Collection[str]) -> Literal["written", "same", "edited"]:
    """Replace a file at once, or leave it.

    Raises YokeError, also for what the system refuses: within a transaction an OSError is a lost connection.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_left(path.parent, {path.name})
        # To read from a pipe may take for ever.
        if path.exists() and not path.is_file():
            raise YokeError(f"{path} is no file, so nothing is written there", hint="move it away")
        found = text_hash(path.read_bytes()) if path.exists() else None
        if found == text_hash(text.encode()):
            return "same"
        if found is not None and found not in known:
            return "edited"
        write_whole(path, text.encode())
    except OSError as error:
        full = disk_full(error)
        if full is not error:
            raise full from error
        hint = "make room for it, or set learning.directory"
        raise YokeError(f"{path} cannot be written: {error.strerror}", hint=hint) from error
    return "written"
