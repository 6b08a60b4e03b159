"""What of a repository belongs to its user, as a value that can be compared. Uses git alone."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from tests.torture.shell import git

if TYPE_CHECKING:
    from pathlib import Path

#: Refs that are ours to make, move and remove.
_OURS = ("refs/heads/main", "refs/heads/epic/", "refs/heads/lane/", "refs/yoke/")


def belongings(shop: Path) -> dict[str, Any]:
    """Everything that must be the same before and after, whatever lands."""
    status = _status(shop)
    paths = [entry[3:] for entry in status]
    refs = git(shop, "for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    return {
        "status": status,
        "files": {path: digest(shop / path) for path in [*paths, ".env", "plan.yaml", ".yokeflow.yaml"]},
        "index": git(shop, "ls-files", "-s", "-z", "--", *paths).split("\0") if paths else [],
        "stash": git(shop, "stash", "list", "--format=%H").split(),
        "refs": [ref for ref in refs if not (ref.startswith(_OURS) or _never_used(shop, ref))],
        "head": git(shop, "symbolic-ref", "HEAD"),
        "config": digest(shop / ".git/config"),
        "hooks": {path.name: digest(path) for path in sorted((shop / ".git/hooks").iterdir())},
        "exclude": [line for line in _exclude(shop) if line != "/.worktrees/"],
    }


def _never_used(shop: Path, ref: str) -> bool:
    """Whether an agent was killed within `git switch -c`: a person may have made such a branch as well."""
    log = shop / ".git/logs" / ref.partition(" ")[0]
    return ref.startswith("refs/heads/mine-") and log.read_text().count("\n") < 2


def tip(shop: Path) -> str:
    """Where the target is."""
    return git(shop, "rev-parse", "refs/heads/main")


def _status(shop: Path) -> list[str]:
    found = git(shop, "status", "--porcelain=v1", "-z", "-uall", "--no-renames").split("\0")
    # What was learned is written there for the user to commit.
    return sorted(entry for entry in found if entry and not entry.startswith("?? .expertise/"))


def _exclude(shop: Path) -> list[str]:
    return (shop / ".git/info/exclude").read_text().splitlines()


def digest(path: Path) -> str:
    """Of a file's bytes and rights; empty when it is not there."""
    if not path.is_file():
        return ""
    return f"{path.stat().st_mode:o} {hashlib.sha256(path.read_bytes()).hexdigest()}"
