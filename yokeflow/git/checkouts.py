"""Checkouts of a repository: the main one and the linked ones, addressed by their own git folder.

A lane lies inside the user's repository. Were git to look for the repository from there, a lane whose `.git`
file is gone would mean the user's checkout; so every command on a checkout names its git folder.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from yokeflow.errors import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yokeflow.git.repo import Repo
    from yokeflow.git.runner import GitOutput

#: By the file that tells. A rebase comes first: the commit at which it stopped may be a merge or a pick.
_OPERATIONS = {
    "rebase-merge": "a rebase",
    "rebase-apply/applying": "a series of patches",
    "rebase-apply": "a rebase",
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "sequencer": "a series of picks",
    "BISECT_LOG": "a bisection",
}
#: The command that goes on with it or gives it up; none for a bisection, which only ends.
_COMMANDS = {
    "a rebase": "rebase",
    "a series of patches": "am",
    "a merge": "merge",
    "a cherry-pick": "cherry-pick",
    "a revert": "revert",
    "a series of picks": "cherry-pick",
}
_OPERATION_FILES = (
    *(name for name in _OPERATIONS if "/" not in name),
    "MERGE_MODE",
    "MERGE_MSG",
    "MERGE_RR",
    "MERGE_AUTOSTASH",
    "AUTO_MERGE",
    "REBASE_HEAD",
    "SQUASH_MSG",
    "BISECT_EXPECTED_REV",
    "BISECT_NAMES",
    "BISECT_RUN",
    "BISECT_START",
    "BISECT_TERMS",
    "BISECT_ANCESTORS_OK",
)


_DETACHED = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\n?")
_HEAD = re.compile(r"(?:ref: refs/[^\n]+|[0-9a-f]{40}|[0-9a-f]{64})\n?")


@dataclass(frozen=True, slots=True)
class State:
    """What `git status` says about a checkout."""

    #: None when there is no commit at HEAD.
    head: str | None
    #: Short name of the branch at HEAD; empty when detached.
    branch: str
    #: Paths that differ from HEAD or that git does not know; a nested repository ends with a slash.
    changed: tuple[str, ...]
    #: Some of them are repositories of their own.
    nested: bool


@dataclass(frozen=True, slots=True)
class Checkout:
    """A folder of files and the git folder that belongs to it alone."""

    repo: Repo
    path: Path
    git_dir: Path

    async def git(
        self,
        *args: str,
        stdin: bytes = b"",
        ok: tuple[int, ...] = (0,),
        env: Mapping[str, str] | None = None,
    ) -> GitOutput:
        """Run git on exactly this checkout."""
        cwd = self.path if self.path.is_dir() else self.repo.common_dir
        where = {"GIT_DIR": str(self.git_dir), "GIT_WORK_TREE": str(self.path)}
        return await self.repo.git(*args, cwd=cwd, stdin=stdin, ok=ok, env={**where, **(env or {})})

    async def head(self) -> str | None:
        """The commit at HEAD; None when there is none."""
        if self.git_dir.parent == self.repo.common_dir / "worktrees":
            return await self.repo.resolve(f"worktrees/{self.git_dir.name}/HEAD")
        out = await self.git("rev-parse", "-q", "--verify", "HEAD^{commit}", ok=(0, 1, 128))
        return out.text if out.returncode == 0 else None

    async def branch(self) -> str:
        """Short name of the branch at HEAD; empty when detached."""
        head = _text(self.git_dir / "HEAD")
        if head.startswith("ref: refs/heads/") and not head.endswith("/.invalid\n"):
            return head.removeprefix("ref: refs/heads/").removesuffix("\n")
        if _DETACHED.fullmatch(head):
            return ""
        out = await self.git("symbolic-ref", "-q", "HEAD", ok=(0, 1, 128))
        return out.text.removeprefix("refs/heads/") if out.returncode == 0 else ""

    async def state(self) -> State:
        """HEAD and everything that is not as it is there. Raises GitError when the index is unreadable."""
        out = await self.git(
            "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all", "--no-renames"
        )
        head = dict(part.split(" ", 2)[1:] for part in out.parts if part.startswith("# branch."))
        oid, name = head.get("branch.oid", ""), head.get("branch.head", "")
        entries_ = [part for part in out.parts if not part.startswith("#")]
        return State(
            oid if oid != "(initial)" else None,
            name if name != "(detached)" else "",
            tuple(_changed(entry) for entry in entries_),
            any(_is_nested(entry) for entry in entries_),
        )

    def in_progress(self) -> str:
        """What somebody is in the middle of, such as "a merge"; empty for nothing."""
        return next((what for name, what in _OPERATIONS.items() if (self.git_dir / name).exists()), "")

    def how_to_end(self) -> str:
        """What a person can do about what is in progress, in words; empty for nothing."""
        what = self.in_progress()
        if command := _COMMANDS.get(what):
            return f"finish it with `git {command} --continue` there, or `git {command} --abort`"
        return "end it with `git bisect reset` there" if what else ""

    def is_merging(self) -> bool:
        """Whether some operation may have left files in conflict."""
        return bool(self.in_progress()) or (self.git_dir / "AUTO_MERGE").exists()

    async def unmerged(self) -> list[str]:
        """Files in conflict."""
        out = await self.git("diff", "--name-only", "--diff-filter=U", "-z", ok=(0, 128))
        return list(dict.fromkeys(out.parts))

    def forget_operations(self) -> None:
        """End operations in progress where they are. Files, index and HEAD stay."""
        for name in _OPERATION_FILES:
            remove(self.git_dir / name)

    def remove_locks(self) -> None:
        """Remove the locks of git processes that died here. Only when nothing runs in the checkout."""
        for name in ("index.lock", "HEAD.lock", "config.worktree.lock", "logs/HEAD.lock"):
            (self.git_dir / name).unlink(missing_ok=True)
        head, users = _text(self.git_dir / "HEAD"), _text(self.repo.common_dir / "HEAD")
        # A branch that the user is on may be locked by the user.
        if head.startswith("ref: refs/heads/") and head != users:
            (self.repo.common_dir / f"{head.removeprefix('ref: ').strip()}.lock").unlink(missing_ok=True)

    def has_index(self) -> bool:
        """Whether there is an index, and nobody has damaged it."""
        try:
            data = (self.git_dir / "index").read_bytes()
        except FileNotFoundError:
            return False
        # It ends with its own hash, of the repository's kind, or with zeroes where hashing is switched off.
        kinds = ((hashlib.sha1, 20), (hashlib.sha256, 32))
        return data.startswith(b"DIRC") and any(
            data[-size:] in {bytes(size), kind(data[:-size]).digest()} for kind, size in kinds
        )

    def relink(self) -> bool:
        """Make the `.git` file of a linked worktree name its git folder; whether it did not."""
        if self.is_linked():
            return False
        link = self.path / ".git"
        set_aside(link, self.repo.state_dir / "trash")
        link.write_text(f"gitdir: {self.git_dir}\n", encoding="utf-8", errors="surrogateescape")
        return True

    def is_whole(self) -> bool:
        """Whether git can take the git folder of a linked worktree for one."""
        return (
            _gitdir(self.git_dir / "commondir") == self.repo.common_dir
            and _gitdir(self.git_dir / "gitdir") == self.path / ".git"
            and _HEAD.fullmatch(_text(self.git_dir / "HEAD")) is not None
        )

    def last_seen(self) -> str | None:
        """The commit that was at HEAD last, as far as the log of HEAD tells."""
        *_, last = _text(self.git_dir / "logs" / "HEAD").splitlines() or [""]
        fields = last.split(" ", 2)
        return fields[1] if len(fields) > 2 and _HEAD.fullmatch(fields[1]) else None

    def is_linked(self) -> bool:
        """Whether the `.git` file of a linked worktree names its git folder."""
        link = self.path / ".git"
        return link.is_file() and not link.is_symlink() and _gitdir(link) == self.git_dir


def _changed(part: str) -> str:
    """The path in an entry of `git status --porcelain=v2`."""
    fields = {"1": 8, "u": 10, "?": 1}[part[0]]
    return part.split(" ", fields)[fields]


def _is_nested(part: str) -> bool:
    """Whether an entry of `git status --porcelain=v2` is about a repository inside this one."""
    return part.endswith("/") if part[0] == "?" else part.split(" ", 3)[2].startswith("S")


def main_checkout(repo: Repo) -> Checkout | None:
    """The checkout that is not linked; None in a bare repository.

    Raises RepositoryError when nothing tells where its files are.
    """
    if repo.bare:
        return None
    link = repo.root / ".git"
    if repo.common_dir not in {link, _gitdir(link)} and repo.common_dir.name != ".git":
        raise RepositoryError(
            f"nothing tells where the checkout of {repo.common_dir} is", hint="start in that checkout"
        )
    return Checkout(repo, repo.root, repo.common_dir)


def checkouts(repo: Repo) -> list[Checkout]:
    """All checkouts whose folders are there, the main one first."""
    main = main_checkout(repo)
    there = [each for each in linked(repo) if os.path.lexists(each.path / ".git")]
    return [main, *there] if main else there


def linked(repo: Repo) -> list[Checkout]:
    """All linked worktrees, with or without their folders; one that names none has only its git folder."""
    found = []
    for git_dir in sorted(_folders(repo.common_dir / "worktrees")):
        link = _gitdir(git_dir / "gitdir")
        found.append(Checkout(repo, link.parent if link else git_dir, git_dir))
    return found


def find(repo: Repo, path: Path) -> Checkout | None:
    """The linked worktree whose folder is `path`, whatever is left of it."""
    link = path / ".git"
    direct = _gitdir(link)
    if direct and direct.parent == repo.common_dir / "worktrees" and direct.is_dir():
        back = _gitdir(direct / "gitdir")
        # Rubbish there names nothing; another folder that exists is a worktree that this one is a copy of.
        if back is None or back == link or not os.path.lexists(back):
            return Checkout(repo, path, direct)
    return next((one for one in linked(repo) if one.path == path), None)


def linked_to(folder: Path) -> Path | None:
    """The git folder that the `.git` file of `folder` names; None when it has no such file."""
    return _gitdir(folder / ".git")


def _folders(folder: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _gitdir(file: Path) -> Path | None:
    """The path that a `.git` or `gitdir` file names; None when it is not such a file."""
    name = _text(file).removeprefix("gitdir: ").removesuffix("\n")
    return Path(os.path.normpath(file.parent / name)) if name else None


def _text(file: Path) -> str:
    """What a small file says; nothing when there is no such file."""
    try:
        return file.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def remove(path: Path) -> None:
    """Remove a file or a folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def set_aside(path: Path, trash: Path) -> None:
    """Move whatever is at `path` into the folder `trash`, in one rename."""
    if not os.path.lexists(path):
        return
    trash.mkdir(parents=True, exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        # Giving a folder a new parent writes into the folder itself.
        with suppress(OSError):
            path.chmod(path.stat().st_mode | 0o700)
    path.rename(trash / f"{path.name.lstrip('.') or 'x'}-{os.urandom(6).hex()}")
