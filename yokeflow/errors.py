"""The errors that YokeFlow raises on purpose.

    YokeError                 exit 1   something that was asked for could not be done
    ├── UsageError            exit 2   the command line does not make sense
    ├── DocumentError         exit 2   a plan or config file is wrong; carries every problem found
    ├── GitError              exit 1   a git command failed; carries the command and what git said
    │   └── RefMovedError     exit 1   a branch was not where it was expected; carries where it is
    ├── RepositoryError       exit 2   the repository cannot be used as it is
    ├── StoreError            exit 1   the database cannot be reached or used
    ├── PluginError           exit 1   a plugin that must answer failed; carries its name
    ├── ProjectBusyError      exit 1   another run holds the project
    ├── DiskFullError         exit 1   no space is left for what must be written
    └── LimitError            exit 4   a budget or a limit stopped the run

Each has a message that tells what happened and a hint that tells what to do. The command line prints both
and leaves with the error's exit code; anything else that escapes is a defect and is logged with exit code 3.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class ExitCode(IntEnum):
    """What a finished `yoke` tells the shell."""

    OK = 0
    FAILED = 1
    USAGE = 2
    DEFECT = 3
    LIMIT = 4
    INTERRUPTED = 130


class YokeError(Exception):
    """Base of all errors meant for a person."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(YokeError):
    """The command line does not make sense."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a file."""

    path: Path
    #: 1-based; 0 when the file as a whole is meant.
    line: int
    #: Dotted key, such as `epics[0].tasks[2].depends_on`; empty for the file as a whole.
    key: str
    message: str
    #: What to do about it.
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else str(self.path)
        key = f" {self.key}:" if self.key else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{where}:{key} {self.message}{hint}"


#: Where values that stand in no file come from, and what to do about a wrong one.
_REMEDIES = {
    "environment": "correct or unset the variable and try again",
    "command line": "correct the option and try again",
}


class DocumentError(YokeError):
    """A plan, a config file or a setting given otherwise is wrong. Every problem is in `problems`."""

    exit_code = ExitCode.USAGE

    def __init__(self, problems: Sequence[Problem], *, hint: str = "") -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        noun = "problem" if count == 1 else "problems"
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        names = list(dict.fromkeys(problem.path.name for problem in self.problems))
        remedies = {_REMEDIES.get(name, "correct the file and try again") for name in names}
        hint = hint or (remedies.pop() if len(remedies) == 1 else "correct what is named and try again")
        super().__init__(f"{count} {noun} in {' and '.join(names)}:\n{lines}", hint=hint)


class GitError(YokeError):
    """A git command failed."""

    def __init__(self, args: Sequence[str], exit_code: int, stderr: str, *, hint: str = "") -> None:
        self.command = ("git", *args)
        self.returncode = exit_code
        self.stderr = stderr.strip()
        super().__init__(f"`{' '.join(self.command)}` failed ({exit_code}): {self.stderr}", hint=hint)


class RefMovedError(GitError):
    """A ref was not where it was expected, so it was left there."""

    def __init__(self, args: Sequence[str], exit_code: int, stderr: str, *, actual: str | None) -> None:
        super().__init__(args, exit_code, stderr, hint="somebody else moved it; try again")
        #: Where the ref is; None when it does not exist.
        self.actual = actual


class RepositoryError(YokeError):
    """The repository cannot be used as it is."""

    exit_code = ExitCode.USAGE


class StoreError(YokeError):
    """The database cannot be reached or used."""


class PluginError(YokeError):
    """A plugin that must answer failed."""

    def __init__(self, plugin: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"plugin {plugin}: {message}", hint=hint)
        self.plugin = plugin


class ProjectBusyError(YokeError):
    """Another run holds the project."""


class DiskFullError(YokeError):
    """No space is left for what must be written."""


class LimitError(YokeError):
    """A budget or a limit stopped the run, or one task or epic of it."""

    exit_code = ExitCode.LIMIT

    def __init__(self, message: str, *, hint: str = "", scope: str = "run", name: str = "") -> None:
        super().__init__(message, hint=hint)
        #: What the limit is for: `task`, `epic`, `run` or `day`.
        self.scope = scope
        #: Id of the task or epic.
        self.name = name


def disk_full(error: OSError) -> Exception:
    """The error to raise for a failed write: DiskFullError when no space is left, else the error itself."""
    if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
        return error
    where = f" for {error.filename}" if error.filename else ""
    return DiskFullError(
        f"no space is left on the disk{where}", hint="free some space, then go on with `yoke run`"
    )
