"""Is the schema up to date, and bring it there. Imports alembic only when something must change."""

from __future__ import annotations

import ast
import asyncio
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from yokeflow.errors import StoreError
from yokeflow.store.driver import connection

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_NAMES = ("revision", "down_revision", "branch_labels", "depends_on")


@dataclass(frozen=True, slots=True)
class Revision:
    """What a revision file says about itself."""

    id: str
    #: What it comes after, on its own branch and on others.
    after: frozenset[str]
    branches: frozenset[str]


def schema_folder() -> Path:
    """The core's migrations: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "_schema"
    return installed if installed.is_dir() else package.parent / "schema"


def revision_folders(plugin_folders: Iterable[Path] = ()) -> list[Path]:
    """Every folder with revisions, the core's first."""
    return [schema_folder() / "versions", *plugin_folders]


def revisions(folders: Iterable[Path]) -> dict[str, Revision]:
    """Every revision by id, read from the files without running them."""
    files = sorted(file for folder in folders for file in folder.glob("*.py") if file.name != "__init__.py")
    found = (_read(file) for file in files)
    return {revision.id: revision for revision in found if revision is not None}


def heads(known: Mapping[str, Revision]) -> frozenset[str]:
    """The revisions that nothing comes after, on any branch but by way of `depends_on`."""
    return frozenset(known) - {earlier for revision in known.values() for earlier in revision.after}


async def current(url: str) -> frozenset[str]:
    """The revisions the database says it is at; empty before the first migration."""
    async with connection(url) as opened:
        try:
            rows = await opened.fetch("SELECT version_num FROM alembic_version")
        except asyncpg.UndefinedTableError:
            return frozenset()
    return frozenset(row["version_num"] for row in rows)


async def pending(url: str, plugin_folders: Sequence[Path] = ()) -> bool:
    """Whether a migration is to be run. One query and a look at the revision files."""
    known = await asyncio.to_thread(revisions, revision_folders(plugin_folders))
    return not heads(known) <= _reached(known, await current(url))


async def upgrade(url: str, plugin_folders: Sequence[Path] = ()) -> bool:
    """Bring the schema up to date; False when it was. Safe when several processes do it at once.

    Raises StoreError when a migration fails; the schema is then as before.
    """
    if not await pending(url, plugin_folders):
        return False
    await _runner().upgrade(url, revision_folders(plugin_folders))
    return True


async def downgrade(url: str, plugin_folders: Sequence[Path] = (), target: str = "base") -> None:
    """Take migrations back to a revision such as `core_0001`; `base` takes back everything."""
    await _runner().downgrade(url, revision_folders(plugin_folders), target)


def _runner() -> Any:
    return import_module("yokeflow.store.alembic_runner")


def _reached(known: Mapping[str, Revision], at: Iterable[str]) -> set[str]:
    """The revisions that these include: alembic does not list what another one depends on."""
    reached: set[str] = set()
    left = list(at)
    while left:
        revision = left.pop()
        if revision not in reached:
            reached.add(revision)
            left += known[revision].after if revision in known else ()
    return reached


def _read(file: Path) -> Revision | None:
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        values = dict(_constants(tree))
    except (SyntaxError, ValueError) as error:
        raise StoreError(
            f"cannot read the migration {file}: {error}", hint="reinstall what it belongs to"
        ) from error
    if "revision" not in values:
        return None
    after = _words(values.get("down_revision")) | _words(values.get("depends_on"))
    return Revision(values["revision"], after, _words(values.get("branch_labels")))


def _constants(tree: ast.Module) -> Iterable[tuple[str, Any]]:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            if (
                isinstance(target, ast.Name)
                and target.id in _NAMES
                and isinstance(node, ast.Assign | ast.AnnAssign)
            ):
                yield target.id, ast.literal_eval(node.value) if node.value is not None else None


def _words(value: str | Sequence[str] | None) -> frozenset[str]:
    return frozenset((value,) if isinstance(value, str) else value or ())
