"""What the revision files say, read without running them, and whether that makes sense."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yokeflow.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

_NAMES = ("revision", "down_revision", "branch_labels", "depends_on")
#: The branch of the core.
CORE = "core"


class RevisionError(StoreError):
    """A migration cannot be used, or failed."""

    def __init__(self, message: str, *, hint: str, plugin: str = "") -> None:
        super().__init__(message, hint=hint)
        #: Whose it is; empty for the core, and where it is not known.
        self.plugin = plugin


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


def revisions(folders: Iterable[Path], whose: str = "") -> dict[str, Revision]:
    """Every revision by id, read from the files without running them.

    Raises StoreError for a file that holds none, and for two with one id; `whose` is the plugin to name.
    """
    files = sorted(file for folder in folders for file in folder.glob("*.py") if file.name != "__init__.py")
    found: dict[str, Revision] = {}
    for file in files:
        revision = _read(file, whose)
        if revision.id in found:
            raise refusal(whose, f"the migration {revision.id} is there twice, in {file} too")
        found[revision.id] = revision
    return found


def heads(known: Mapping[str, Revision]) -> frozenset[str]:
    """The revisions that nothing comes after, on any branch but by way of `depends_on`."""
    return frozenset(known) - {earlier for revision in known.values() for earlier in revision.after}


def check_revisions(plugin_folders: Collection[Path]) -> dict[str, Revision]:
    """Every revision of the core and of plugins, if alembic can find its way through them.

    Raises StoreError with the name of the plugin that a fault is in.
    """
    known = revisions(revision_folders())
    folders = {folder: revisions([folder], owner(folder, plugin_folders)) for folder in plugin_folders}
    for folder, own in folders.items():
        whose = owner(folder, plugin_folders)
        for twice in own.keys() & known.keys():
            raise refusal(whose, f"another plugin has a migration {twice} too")
        known |= own
    for folder, own in folders.items():
        whose = owner(folder, plugin_folders)
        _check_branch(whose, own)
        for revision in own.values():
            for unknown in revision.after - known.keys():
                raise refusal(whose, f"its migration {revision.id} comes after {unknown}, which is not here")
    return known


def _check_branch(whose: str, own: Mapping[str, Revision]) -> None:
    labels = sorted({label for revision in own.values() for label in revision.branches})
    if own and (len(labels) != 1 or labels == [CORE]):
        found = ", ".join(labels) or "none"
        raise refusal(whose, f"its migrations need one label of their own in branch_labels; found: {found}")
    for name in own:
        if not name.startswith(f"{labels[0]}_"):
            raise refusal(whose, f"the id of its migration {name} does not begin with {labels[0]}_")
    last = heads(own)
    if len(last) > 1:
        raise refusal(whose, f"its migrations end twice: {', '.join(sorted(last))}")


def owner(folder: Path, plugin_folders: Collection[Path]) -> str:
    """The plugin that a folder belongs to; empty for the core's, and where it is not known."""
    return str(plugin_folders.get(folder, "")) if isinstance(plugin_folders, Mapping) else ""


def refusal(whose: str, reason: str) -> RevisionError:
    """The error for migrations of a plugin that cannot be used."""
    if not whose:
        return RevisionError(reason, hint="reinstall what it belongs to")
    hint = f"update it, or list it under plugins.disabled: [{whose}]"
    return RevisionError(f"plugin {whose}: {reason}", hint=hint, plugin=whose)


def _read(file: Path, whose: str) -> Revision:
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        values = dict(_constants(tree))
    except (SyntaxError, ValueError) as error:
        raise refusal(whose, f"cannot read the migration {file}: {error}") from error
    name = values.get("revision")
    if not isinstance(name, str) or not name:
        raise refusal(whose, f"the migration {file} does not say which `revision` it is")
    after = _words(values.get("down_revision")) | _words(values.get("depends_on"))
    return Revision(name, after, _words(values.get("branch_labels")))


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
