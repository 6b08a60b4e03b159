"""Start git so that nothing around us changes what it does, and nothing that ends us ends it midway."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from yokeflow.errors import DiskFullError, GitError, RepositoryError
from yokeflow.git.owner import own_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: What `git rev-parse --local-env-vars` names, and other variables that redirect or reinterpret a command.
#: Git exports some of them to the hooks it runs.
FOREIGN_VARIABLES = frozenset(
    {
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_CONFIG",
        "GIT_CONFIG_COUNT",
        "GIT_CONFIG_PARAMETERS",
        "GIT_DEFAULT_REF_FORMAT",
        "GIT_DIFF_OPTS",
        "GIT_DIR",
        "GIT_EXTERNAL_DIFF",
        "GIT_GLOB_PATHSPECS",
        "GIT_GRAFT_FILE",
        "GIT_ICASE_PATHSPECS",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_INTERNAL_SUPER_PREFIX",
        "GIT_LITERAL_PATHSPECS",
        "GIT_NAMESPACE",
        "GIT_NOGLOB_PATHSPECS",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_QUARANTINE_PATH",
        "GIT_REFLOG_ACTION",
        "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE",
        "GIT_TEMPLATE_DIR",
        "GIT_WORK_TREE",
    }
)

#: Exit codes of what was killed, also behind a shell.
KILLED = frozenset({-signal.SIGKILL, 128 + signal.SIGKILL})
#: What does no more when it is done twice.
_REPEATABLE = frozenset(
    (
        *("cat-file", "commit-tree", "diff-tree", "for-each-ref", "hash-object", "interpret-trailers", "log"),
        *("ls-files", "ls-tree", "merge-base", "merge-tree", "mktag", "mktree", "rev-list", "rev-parse"),
        *("symbolic-ref", "var", "version"),
    )
)
#: Ours for every call: no background work, no programs of the user's that could hang or fail, plain output.
_SETTINGS = tuple(
    part
    for setting in (
        "gc.auto=0",
        "maintenance.auto=false",
        "core.hooksPath=/dev/null",
        "core.fsmonitor=false",
        "commit.gpgSign=false",
        "submodule.recurse=false",
        "color.ui=false",
        "i18n.commitEncoding=UTF-8",
        "i18n.logOutputEncoding=UTF-8",
        "log.showSignature=false",
    )
    for part in ("-c", setting)
)

#: Another git process was in the way for a moment; nothing has happened yet.
_BUSY = re.compile(
    r"failed to read .*/worktrees/.*/commondir|could not lock config|Unable to create '.*\.lock': File exists"
    r"|unable to create '.*\.lock': File exists|failed to lock .*: File exists"
)
#: Git has several ways to say so.
NO_SPACE = re.compile(r"No space left on device|Out of diskspace")
#: In the environment of git, who started it.
STARTED_BY = "YOKE_GIT_STARTED_BY"
#: Whether git only gets the time that nobody else needs.
_IDLE: ContextVar[bool] = ContextVar("idle", default=False)
#: Nobody else's processes are that modest; it tells which are ours.
LEAST_PRIORITY = 19
_DELAYS = (0.01, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class GitOutput:
    """What one git command answered."""

    returncode: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        """Standard output without its last newline; `os.fsencode` gives back bytes that are no UTF-8."""
        return os.fsdecode(self.stdout).removesuffix("\n")

    @property
    def parts(self) -> list[str]:
        """The pieces of output that ends every piece with NUL."""
        return os.fsdecode(self.stdout).split("\0")[:-1]


@contextmanager
def idle() -> Iterator[None]:
    """While the block runs, its git commands get only the time that nobody else needs."""
    token = _IDLE.set(True)
    try:
        yield
    finally:
        _IDLE.reset(token)


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment without what would redirect git, in English, never waiting for a terminal."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in FOREIGN_VARIABLES and not name.startswith(("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_"))
    }
    ours = {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_EDITOR": "false"}
    return {**kept, **ours, STARTED_BY: own_name(), **(extra or {})}


async def run_git(
    *args: str,
    cwd: Path,
    stdin: bytes = b"",
    ok: tuple[int, ...] = (0,),
    env: Mapping[str, str] | None = None,
) -> GitOutput:
    """Run git in `cwd` to its end, also when the caller is cancelled meanwhile.

    Tries again for some seconds while another git process is in the way, and once what only looks, or writes
    objects, and was killed, as where memory is short. Raises GitError for an exit code
    outside `ok`, DiskFullError when no space is left, RepositoryError when git or `cwd` is missing.
    """
    for delay in (*_DELAYS, None):
        output = await _past_a_kill(args, cwd, stdin, clean_environment(env))
        if output.returncode and NO_SPACE.search(output.stderr):
            raise DiskFullError(
                f"no space left for git in {cwd}", hint="free some space, then `yoke resume` goes on"
            )
        if delay is None or not (output.returncode and _BUSY.search(output.stderr)):
            break
        await asyncio.sleep(delay)
    if output.returncode in ok:
        return output
    hint = "if no git process is running, remove that lock file" if _BUSY.search(output.stderr) else ""
    raise GitError(args, output.returncode, output.stderr, hint=hint)


async def _past_a_kill(args: tuple[str, ...], cwd: Path, stdin: bytes, env: dict[str, str]) -> GitOutput:
    output = await _to_the_end(args, cwd, stdin, env)
    if output.returncode in KILLED and _command(args) in _REPEATABLE:
        return await _to_the_end(args, cwd, stdin, env)
    return output


def _command(args: Sequence[str]) -> str:
    """The command of git that is called, behind its settings."""
    settings = {at + 1 for at, arg in enumerate(args) if arg == "-c"}
    return next((arg for at, arg in enumerate(args) if at not in settings and not arg.startswith("-")), "")


async def _to_the_end(args: tuple[str, ...], cwd: Path, stdin: bytes, env: dict[str, str]) -> GitOutput:
    task = asyncio.ensure_future(_once(args, cwd, stdin, env))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        # Git left alone finishes; who comes next must not meet its locks.
        await asyncio.wait({task})
        raise


async def _once(args: tuple[str, ...], cwd: Path, stdin: bytes, env: dict[str, str]) -> GitOutput:
    try:
        process = await asyncio.create_subprocess_exec(
            "git",
            *_SETTINGS,
            *args,
            cwd=cwd,
            env=env,
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise _missing(cwd) from error
    if _IDLE.get():
        _let_others_go_first(process.pid)
    stdout, stderr = await process.communicate(stdin or None)
    return GitOutput(process.returncode or 0, stdout, os.fsdecode(stderr))


def _let_others_go_first(pid: int) -> None:
    # It may have ended by now.
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, LEAST_PRIORITY)
        if hasattr(os, "SCHED_IDLE"):
            os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
    # Where Linux shares the time among groups, a process of a session of its own is a group of its own.
    with suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(LEAST_PRIORITY), encoding="ascii")


def _missing(cwd: Path) -> RepositoryError:
    if not cwd.is_dir():
        return RepositoryError(f"{cwd} is not a folder", hint="start where your repository is")
    return RepositoryError(
        "git is not installed", hint="install git 2.38 or newer: https://git-scm.com/downloads"
    )
