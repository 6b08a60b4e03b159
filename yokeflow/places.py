"""Where a project and its settings are, found without git and without reading them."""

from __future__ import annotations

import os
import re
from pathlib import Path

FILE_NAME = ".yokeflow.yaml"
DISABLED_VARIABLE = "YOKE_PLUGINS__DISABLED"


def user_file() -> Path:
    """The file with a user's own settings for all projects."""
    moved = os.environ.get("YOKE_HOME")
    return Path(moved).expanduser().absolute() / "config.yaml" if moved else Path.home() / FILE_NAME


def find_root(start: Path) -> Path | None:
    """The main checkout or bare repository around a folder; None outside of any.

    A worktree is the root only where there is no main checkout. The same as `Repo.root`, without git.
    """
    start = start.absolute()
    found = next((folder for folder in (start, *start.parents) if _is_root(folder)), None)
    return found and (_main_checkout(found) or found)


def _main_checkout(worktree: Path) -> Path | None:
    """The checkout that a linked worktree belongs to; None for other folders and for a bare repository."""
    try:
        git_dir = worktree / (worktree / ".git").read_text().removeprefix("gitdir:").strip()
        common = (git_dir / (git_dir / "commondir").read_text().strip()).resolve()
        config = (common / "config").read_text(errors="replace")
    except OSError:
        return None
    if re.search(r"^\s*bare\s*=\s*true\s*$", config, re.MULTILINE | re.IGNORECASE):
        return None
    if moved := re.search(r"^\s*worktree\s*=\s*(.+?)\s*$", config, re.MULTILINE):
        return (common / moved[1]).resolve()
    return common.parent if common.name == ".git" else None


def _is_root(folder: Path) -> bool:
    """A repository without a working tree is known by what git looks for, too."""
    parts = folder / "HEAD", folder / "objects", folder / "refs"
    bare = folder.name != ".git" and all(part.exists() for part in parts)
    return bare or (folder / ".git").exists()


def may_disable_plugins(root: Path) -> bool:
    """Whether any setting so much as mentions disabling; reading them all takes fifty times longer."""
    files = (path for path in (user_file(), root / FILE_NAME) if path.exists())
    return DISABLED_VARIABLE in os.environ or any(b"disabled" in path.read_bytes() for path in files)
