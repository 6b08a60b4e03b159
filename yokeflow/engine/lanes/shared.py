"""What all worktrees of a repository share and no session may change: its settings, and what people stashed.

A session's git tells in a file which commands were run. A change to a setting that no session's command wrote
is a person's and stays; so does a stash entry that was not made on a branch of ours. Hooks are told of.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from yokeflow.engine.lanes.setting_writes import Change, wrote, wrote_unnamed
from yokeflow.engine.lanes.traced import commands, size, tell
from yokeflow.errors import GitError
from yokeflow.git.hook_config import read, swap

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from yokeflow.engine.lanes.traced import Command
    from yokeflow.git.repo import Repo

#: Settings without which git does not find the files any more. Nobody changes them while agents work.
_VITAL = {"core.bare", "core.worktree"}
#: Git writes these for branches that sessions make or push; they go with the branch.
_HARMLESS = ("branch.",)
_LOSING = {"pop", "drop", "clear"}
#: Seconds by which a clock and that of the file system may differ.
_NEAR = 1.0


class Stashed(NamedTuple):
    """An entry of the stash."""

    commit: str
    #: "WIP on <branch>: …" or "On <branch>: …"
    message: str


class Shared:
    """What was there when the run began, with what people changed since."""

    def __init__(self, repo: Repo, prefixes: Sequence[str]) -> None:
        self._repo = repo
        self._prefixes = tuple(prefixes)
        self._lock = asyncio.Lock()
        self._file = (repo.common_dir / "config").resolve()
        self._log = repo.common_dir / "logs" / "refs" / "stash"
        self._config = read(self._file)
        self._stash_log = read(self._log)
        self._stash: list[Stashed] | None = None
        self._hooks = _hooks_in(repo.common_dir / "hooks")
        #: Logs of sessions that are not over, and their size when everything was compared the last time.
        self._logs: dict[Path, int] = {}

    async def watch(self, log: Path) -> dict[str, str]:
        """Environment by which a session's git tells its commands in `log`."""
        self._logs[log] = 0
        if self._stash is None:
            self._stash = await self._stashed()
        return tell(log)

    async def put_right(self, log: Path) -> list[str]:
        """Undo what sessions changed, once the one that told its commands in `log` is over.

        Gives what a person should know.
        """
        async with self._lock:
            try:
                return await self._put_right()
            except GitError as error:
                return [f"what a session changed in the repository may be left: {error.message}"]
            finally:
                self._forget(log)

    def _forget(self, log: Path) -> None:
        del self._logs[log]
        log.unlink(missing_ok=True)

    async def _put_right(self) -> list[str]:
        said: list[str] = []
        # Before the comparison: what is over now has left its traces.
        lengths = {log: size(log) for log in self._logs}
        if read(self._file) != self._config:
            said += await self._settings()
        if read(self._log) != self._stash_log:
            said += await self._put_back_stash()
        said += self._changed_hooks()
        self._logs.update(lengths)
        return said

    def _changed_hooks(self) -> list[str]:
        """Hooks run at every commit from now on; who wrote them, nobody can tell."""
        before, self._hooks = self._hooks, _hooks_in(self._repo.common_dir / "hooks")
        changed = sorted(dict(before.items() ^ self._hooks.items()))
        return [f"git hooks changed while a session was at work: {', '.join(changed)}"] if changed else []

    async def _settings(self) -> list[str]:
        now = read(self._file)
        before, after = await self._values(self._config), await self._values(now)
        if after is None:
            swap(self._file, now, self._config)
            return ["a session made the settings of the repository unreadable; they are as they were"]
        before = before or {}
        changes = [
            Change(key, before.get(key, ()), after.get(key, ()))
            for key in sorted(before.keys() | after.keys())
            if before.get(key) != after.get(key)
        ]
        ours = self._done_by_sessions(changes)
        if not ours:
            self._config = now
            return []
        if len(changes) == len(ours):
            swap(self._file, now, self._config)
        else:
            for key in ours:
                await self._set(key, before.get(key, ()))
        self._config = read(self._file)
        return [f"a session changed settings of the repository, which are as they were: {', '.join(ours)}"]

    def _done_by_sessions(self, changes: Sequence[Change]) -> list[str]:
        ran = self._ran()
        return [
            change.key
            for change in changes
            if not change.key.startswith(_HARMLESS)
            and (change.key in _VITAL or any(self._wrote(command, change) for command in ran))
        ]

    def _wrote(self, command: Command, change: Change) -> bool:
        if wrote(command.words, change):
            return True
        # What was written cannot be compared with what was asked for, so the time has to fit.
        at = self._file.stat().st_ctime
        over = at if command.ended is None else command.ended
        near = command.started - _NEAR <= at <= over + _NEAR
        return near and wrote_unnamed(command.words, change)

    def _ran(self) -> list[Command]:
        """What sessions of this run may have done with git since everything was compared."""
        ran = (command for log, length in self._logs.items() for command in commands(log, length))
        return [command for command in ran if command.words and not command.failed]

    async def _values(self, text: str) -> dict[str, tuple[str, ...]] | None:
        """Values by key; None for a text that git cannot read."""
        stdin = text.encode(errors="surrogateescape")
        flags = ("--file", "-", "--no-includes", "-z", "--list")
        out = await self._repo.git(
            "config", *flags, cwd=self._repo.common_dir, stdin=stdin or b"\n", ok=(0, 1, 128)
        )
        if out.returncode == 128:
            return None
        found: dict[str, tuple[str, ...]] = {}
        for part in out.parts:
            key, _, value = part.partition("\n")
            found[key] = (*found.get(key, ()), value)
        return found

    async def _set(self, key: str, values: Collection[str]) -> None:
        command = ("config", "--file", str(self._file))
        await self._repo.git(*command, "--unset-all", key, cwd=self._repo.common_dir, ok=(0, 5))
        for value in values:
            await self._repo.git(*command, "--add", key, value, cwd=self._repo.common_dir)

    async def _stashed(self) -> list[Stashed]:
        """Entries of the stash, the newest first."""
        flags = ("-g", "-z", "--format=tformat:%H%x00%gs", "refs/stash", "--")
        parts = (await self._repo.git("log", *flags, ok=(0, 128))).parts
        return [Stashed(commit, message) for commit, message in zip(parts[::2], parts[1::2], strict=True)]

    async def _put_back_stash(self) -> list[str]:
        before, now = self._stash or [], await self._stashed()
        said = []
        ours = [entry for entry in now if entry not in before and self._is_ours(entry)]
        for entry in ours:
            ref = await self._repo.keep(f"stash/{entry.commit[:12]}", entry.commit)
            await self._drop(entry)
            said.append(f"a session stashed something, which is kept at {ref} and not in your stash any more")
        lost = [entry for entry in before if entry not in now]
        if lost and any(_loses(command) for command in self._ran()):
            for entry in reversed(lost):
                await self._repo.git("stash", "store", "-q", "-m", entry.message, entry.commit)
            said.append(f"a session took {len(lost)} of your stash, which are there again")
        self._stash, self._stash_log = await self._stashed(), read(self._log)
        return said

    def _is_ours(self, entry: Stashed) -> bool:
        branch = re.match(r"(?:WIP on|On) ([^:]+):", entry.message)
        return branch is not None and branch[1].startswith(self._prefixes)

    async def _drop(self, entry: Stashed) -> None:
        place = (await self._stashed()).index(entry)
        await self._repo.git("stash", "drop", "-q", f"stash@{{{place}}}")


def _hooks_in(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Time, size and rights of every file in a folder that git may run."""
    found = {}
    with suppress(OSError):
        for file in folder.iterdir():
            about = file.stat()
            if file.suffix != ".sample" and about.st_mode & 0o111 and file.is_file():
                found[file.name] = (about.st_mtime_ns, about.st_size, about.st_mode)
    return found


def _loses(command: Command) -> bool:
    return command.words[0] == "stash" and not _LOSING.isdisjoint(command.words)
