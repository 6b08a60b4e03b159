"""The setting `core.hooksPath`: which values it has where, and how it is changed and put back."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from yokeflow.errors import GitError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from yokeflow.git.repo import Repo
    from yokeflow.git.runner import GitOutput

_KEY = "core.hooksPath"
#: File in the state folder that has our value.
_INCLUDED = "hooks.gitconfig"


@dataclass(frozen=True, slots=True)
class Setting:
    """One value, with `~` written out."""

    #: `system`, `global`, `local` or `worktree`
    scope: str
    value: str


async def settings(repo: Repo, git_dir: Path | None = None) -> list[Setting]:
    """All values, the one that counts last; those of a linked worktree where its git folder is named."""
    env = {"GIT_DIR": str(git_dir or repo.common_dir)}
    flags = ("--show-scope", "-z", "--type=path", "--get-all", _KEY)
    parts = (await repo.git("config", *flags, cwd=repo.common_dir, ok=(0, 1), env=env)).parts
    pairs = zip(parts[::2], parts[1::2], strict=True)
    # Every git command of ours comes with a value of its own.
    return [Setting(scope, value) for scope, value in pairs if scope != "command"]


def effective(found: Sequence[Setting]) -> str:
    """The value that counts; empty where there is none."""
    return found[-1].value if found else ""


def file_of(repo: Repo, scope: str) -> Path:
    """The file of the repository that holds settings of this scope."""
    return (repo.common_dir / ("config.worktree" if scope == "worktree" else "config")).resolve()


def with_own_settings(repo: Repo) -> list[Path]:
    """Git folders of linked worktrees that have settings of their own."""
    return [file.parent for file in sorted((repo.common_dir / "worktrees").glob("*/config.worktree"))]


async def write(repo: Repo, scope: str, values: Sequence[str]) -> None:
    """Give the setting exactly these values. Raises GitError."""
    env = {"GIT_DIR": str(repo.common_dir)}
    command = ("config", f"--{scope}")
    if values:
        await repo.git(*command, "--replace-all", _KEY, values[0], cwd=repo.common_dir, env=env)
    else:
        await repo.git(*command, "--unset-all", _KEY, cwd=repo.common_dir, env=env, ok=(0, 5))
    for value in values[1:]:
        await repo.git(*command, "--add", _KEY, value, cwd=repo.common_dir, env=env)


async def include(repo: Repo, folder: Path) -> None:
    """Set it for this repository and its worktrees as long as they are where they are. Raises GitError.

    A copy, or the repository when it was moved, has what was set without us. Values in the file stay there.
    """
    quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
    (repo.state_dir / _INCLUDED).write_text(f'[core]\n\thooksPath = "{quoted}"\n', errors="surrogateescape")
    where = escaped(repo.common_dir)
    for condition in (f"gitdir:{where}", f"gitdir:{where}/"):
        await _git(repo, f"includeIf.{condition}.path", _included(repo))


async def exclude(repo: Repo) -> bool:
    """Take away what `include` added, here or where the repository was; whether there was any."""
    flags = ("-z", "--get-regexp", r"^includeif\..*\.path$", f"^{re.escape(_included(repo))}$")
    keys = [part.partition("\n")[0] for part in (await _git(repo, *flags, ok=(0, 1))).parts]
    for key in keys:
        # git lists the name of a section in small letters, but takes none but the one that is written.
        section = key.partition(".")[2].removesuffix(".path")
        await _git(repo, "--remove-section", f"includeIf.{section}")
    (repo.state_dir / _INCLUDED).unlink(missing_ok=True)
    return bool(keys)


def escaped(path: Path) -> str:
    """A path as a pattern that means it alone."""
    return "".join(f"\\{char}" if char in "*?[\\" else char for char in str(path))


def _included(repo: Repo) -> str:
    """As it is written down: from the file of settings."""
    return f"{repo.state_dir.name}/{_INCLUDED}"


async def _git(repo: Repo, *args: str, ok: tuple[int, ...] = (0,)) -> GitOutput:
    env = {"GIT_DIR": str(repo.common_dir)}
    return await repo.git("config", "--local", *args, cwd=repo.common_dir, env=env, ok=ok)


def read(file: Path) -> str:
    """What is in a file of settings, byte for byte."""
    try:
        return os.fsdecode(file.read_bytes())
    except FileNotFoundError:
        return ""


def swap(file: Path, old: str, new: str) -> bool:
    """Write `new` where `old` is, under the lock that git itself takes; False when it is not there.

    Raises GitError when somebody holds the lock.
    """
    lock = file.with_name(f"{file.name}.lock")
    try:
        descriptor = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        hint = f"if no git process is running, remove {lock}"
        raise GitError(("config",), 255, f"could not lock config file {file}", hint=hint) from error
    ours = True
    try:
        with os.fdopen(descriptor, "wb") as opened:
            if read(file) != old:
                return False
            lock.chmod(file.stat().st_mode & 0o777)
            opened.write(os.fsencode(new))
        if new:
            lock.replace(file)
            # From here on a lock is somebody else's.
            ours = False
        else:
            file.unlink()
    finally:
        if ours:
            lock.unlink(missing_ok=True)
    return True
