"""What merges would conflict in, found out beforehand: nothing of the repository changes, no object either.

Only pairs that may conflict by what they changed are merged; `overlap` knows of moved folders too.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from yokeflow.errors import DiskFullError, GitError
from yokeflow.git.overlap import Overlaps
from yokeflow.git.runner import NO_SPACE, clean_environment

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Collection, Sequence
    from pathlib import Path

    from yokeflow.git.repo import Repo

__all__ = ["MOST_FILES", "Trial", "Trials", "excerpt", "trials"]

#: Files of one conflict that are named; the others are counted.
MOST_FILES: Final = 100
_CHUNK = 1 << 16
#: Pairs that cannot be merged at all before git is asked no more.
_MOST_FAILURES = 20
#: `git merge-tree` before 2.39 knows no `--stdin`.
_USAGE = 129
_MERGE_TREE = ("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z")
#: What `git diff` prints that is worth telling: the file, and what each hunk is about.
_TOLD = re.compile(rb"^(?:\+\+\+ |@@ )")
#: Nobody keeps these objects: they are written the quick way.
_QUICK = ("-c", "core.createObject=rename", "-c", "core.looseCompression=0", "-c", "core.fsync=none")
#: Merges between two sweeps; each leaves some small files. To remove them at once would slow down the next
#: ones: some filesystems make creating files many times slower soon after many were deleted.
_MANY = 2000
#: From so many merges on, making all folders for objects first is quicker than letting git make each.
_SOME = 50


@dataclass(frozen=True, slots=True)
class Trial:
    """Whether two commits merge."""

    #: The first `MOST_FILES` paths in conflict, in git's order.
    files: tuple[str, ...] = ()
    #: How many there are beyond those.
    more: int = 0
    clean: bool = True


class Trials:
    """Merges whose results go nowhere. What they write is gone at the end of `trials`."""

    def __init__(self, repo: Repo, folder: Path) -> None:
        self._repo = repo
        self._folder = folder
        #: Objects of this environment go into a folder of its own.
        self._env = {"GIT_OBJECT_DIRECTORY": str(folder)}
        self._overlaps = Overlaps(repo, self._env)
        self._merged = 0

    async def merge(self, pairs: Sequence[tuple[str, str]], trunk: str = "") -> list[Trial | None]:
        """For each pair of commits whether they merge; None where git cannot say, as without common history.

        Commits are named by their full ids; `trunk` is the one from which the others branch off. One process
        merges them all. Cancelling ends it at once.
        """
        commits = {commit for pair in pairs for commit in pair} | ({trunk} - {""})
        changes = await self._overlaps.look(commits, trunk) if pairs else None
        if changes is None:
            return await self._merge_all(pairs)
        doubtful = [pair for pair in pairs if changes[pair[0]].may_conflict(changes[pair[1]])]
        tried: dict[tuple[str, str], Trial | None] = dict(
            zip(doubtful, await self._merge_all(doubtful), strict=True)
        )
        return [tried.get(pair, Trial()) for pair in pairs]

    async def _merge_all(self, pairs: Sequence[tuple[str, str]]) -> list[Trial | None]:
        if len(pairs) >= _SOME > self._merged:
            await asyncio.to_thread(_make_folders, self._folder)
        self._merged += len(pairs)
        found: list[Trial | None] = []
        failures = 0
        while len(found) < len(pairs):
            answers, code, said = await self._merge(pairs[len(found) :])
            found += answers
            if code == _USAGE:
                return [*found, *[await self._merge_one(*pair) for pair in pairs[len(found) :]]]
            if len(found) < len(pairs):
                if NO_SPACE.search(said):
                    raise DiskFullError("no space left to try merges", hint="free some space")
                # It is this pair that made git give up.
                found.append(None)
                failures += 1
            if failures == _MOST_FAILURES:
                found += [None] * (len(pairs) - len(found))
        return found

    async def freshen(self) -> bool:
        """Remove what earlier merges wrote, if it is much; then commits of `with_parents` are gone, too."""
        full = self._merged >= _MANY
        if full:
            await asyncio.to_thread(_prepare, self._folder, self._repo.common_dir / "objects")
            self._merged = 0
        return full

    async def _merge(self, pairs: Sequence[tuple[str, str]]) -> tuple[list[Trial], int, str]:
        answers = _Answers()
        async with _git(self._repo, self._env, *_QUICK, *_MERGE_TREE, "--stdin") as process:
            assert process.stdout is not None
            asking = asyncio.create_task(_ask(process, "".join(f"{a} {b}\n" for a, b in pairs).encode()))
            try:
                while chunk := await process.stdout.read(_CHUNK):
                    answers.feed(chunk)
                said = await asking
            finally:
                asking.cancel()
                await asyncio.wait({asking})
            return answers.found, await process.wait(), said

    async def _merge_one(self, ours: str, theirs: str) -> Trial | None:
        try:
            out = await self._repo.git(*_MERGE_TREE, ours, theirs, ok=(0, 1), env=self._env)
        except GitError:
            return None
        if not out.stdout:
            # Git says 1 here too when a commit does not exist.
            return None
        files = list(dict.fromkeys(out.parts[1:]))
        return Trial(tuple(files[:MOST_FILES]), max(0, len(files) - MOST_FILES), clean=not out.returncode)

    async def with_parents(self, commit: str, parents: Collection[str]) -> str:
        """A commit with the files of `commit` that has these histories too."""
        if not parents:
            return commit
        flags = [flag for parent in (commit, *sorted({*parents} - {commit})) for flag in ("-p", parent)]
        env = {**await self._repo.identity(), **self._env}
        made = await self._repo.git("commit-tree", f"{commit}^{{tree}}", *flags, "-m", "History", env=env)
        return made.text

    async def authors(self, tip: str, other: str, files: Sequence[str], trailer: str) -> list[str]:
        """Values of a trailer on the commits of `tip` that `other` lacks and that changed these files."""
        out = await self._repo.git(
            "--literal-pathspecs",
            "log",
            # Else git walks past histories of squashes: the first parent has all that they changed.
            "--full-history",
            "-z",
            f"--format=tformat:%(trailers:key={trailer},valueonly,separator=%x0A)",
            "--end-of-options",
            f"{other}..{tip}",
            "--",
            *files,
            env=self._env,
        )
        values = (value for piece in out.parts for value in piece.split("\n"))
        return list(dict.fromkeys(filter(None, values)))


@asynccontextmanager
async def trials(repo: Repo, folder: Path) -> AsyncIterator[Trials]:
    """Merge on trial; what git writes meanwhile goes into `folder`, which is made and removed.

    A folder that a killed process left there is removed first.
    """
    await asyncio.to_thread(_prepare, folder, repo.common_dir / "objects")
    try:
        yield Trials(repo, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def excerpt(repo: Repo, theirs: str, ours: str, files: Sequence[str], *, limit: int = 1200) -> str:
    """Where `theirs` changed these files since it parted from `ours`: the heads of git's hunks, cut short."""
    flags = ("-U0", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--no-prefix")
    command = ("--literal-pathspecs", "diff", *flags, "--end-of-options", f"{ours}...{theirs}", "--", *files)
    async with _git(repo, {}, *command) as process:
        assert process.stdout is not None
        # A generated file may have changed by gigabytes: its beginning tells enough.
        start = b""
        while len(start) < _CHUNK and (chunk := await process.stdout.read(_CHUNK)):
            start += chunk
    lines = [line for line in start.split(b"\n") if _TOLD.match(line)]
    return _shortened([os.fsdecode(line).removeprefix("+++ ") for line in lines], limit)


def _shortened(lines: list[str], limit: int) -> str:
    kept: list[str] = []
    for line in lines:
        limit -= len(line) + 1
        if limit < 0:
            return "\n".join([*kept, "…"])
        kept.append(line[:200])
    return "\n".join(kept)


class _Answers:
    """What `git merge-tree --stdin` says about one pair after the other, however it comes in.

    For each a status (1 merged, 0 conflicts), the tree, the paths in conflict and an empty piece.
    """

    def __init__(self) -> None:
        self.found: list[Trial] = []
        self._rest = b""
        self._status: bytes | None = None
        self._tree = b""
        self._files: list[str] = []
        self._more = 0

    def feed(self, data: bytes) -> None:
        *pieces, self._rest = (self._rest + data).split(b"\0")
        for piece in pieces:
            self._take(piece)

    def _take(self, piece: bytes) -> None:
        if self._status is None:
            self._status = piece
        elif not self._tree:
            self._tree = piece
        elif not piece:
            self.found.append(Trial(tuple(self._files), self._more, clean=self._status == b"1"))
            self._status, self._tree, self._files, self._more = None, b"", [], 0
        elif len(self._files) == MOST_FILES:
            self._more += 1
        else:
            self._files.append(os.fsdecode(piece))


@asynccontextmanager
async def _git(repo: Repo, env: dict[str, str], *args: str) -> AsyncIterator[Process]:
    """A git that only reads, so that it can be killed when nobody wants its answer any more."""
    process = await asyncio.create_subprocess_exec(
        "git",
        *args,
        cwd=repo.root,
        env=clean_environment(env),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            if process.returncode is None:
                process.kill()
        await asyncio.shield(process.communicate())


async def _ask(process: Process, question: bytes) -> str:
    """Hand over the question and take in what git complains about."""
    assert process.stdin is not None
    assert process.stderr is not None
    with suppress(ConnectionError):
        process.stdin.write(question)
        await process.stdin.drain()
    process.stdin.close()
    return os.fsdecode(await process.stderr.read())


def _prepare(folder: Path, objects: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "info").mkdir(parents=True)
    (folder / "info" / "alternates").write_bytes(os.fsencode(_quoted(str(objects))) + b"\n")


def _make_folders(folder: Path) -> None:
    for number in range(256):
        (folder / f"{number:02x}").mkdir(exist_ok=True)


def _quoted(path: str) -> str:
    """A path as a line of git's alternates: as it is, unless it would not stay one line."""
    if "\n" not in path:
        return path
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
