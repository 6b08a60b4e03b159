"""Git hooks of ours: put beside the ones that are there, and taken away again without a trace.

Where git looks for hooks in the repository's own folder, our stub goes there: a hook in its place is put
aside in the same folder and run by the stub. A hook of the program pre-commit stays where it is, and the stub
becomes its `.legacy` hook. Where `core.hooksPath` says otherwise (husky, tracked hooks, hooks for all of a
user's repositories), that folder is left alone: ours is a folder of its own that git is told to use in this
repository as long as it is at this place, and whose stubs run what is in the other.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Self

from yokeflow.errors import GitError
from yokeflow.files import write_whole
from yokeflow.git import hook_config, hook_files
from yokeflow.git.hook_files import NAMES, Found, stub_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from yokeflow.git.repo import Repo

__all__ = ["NAMES", "HookStatus", "Hooks"]

#: Which hooks a folder of our own hands on even where the other folder has none when it is made.
_HANDED_ON = (
    *("applypatch-msg", "pre-applypatch", "post-applypatch", "pre-commit", "pre-merge-commit", "pre-rebase"),
    *("post-checkout", "pre-auto-gc", "sendemail-validate"),
)
#: In the state folder: how they were installed, and what hooks and the reader of their notes leave there.
RECORD = "hooks.json"
STATE = ("red", "tasks", "spool", "spool.read", "spool.json", "hooks.gitconfig")
#: The hook that refuses sessions what they may not move; where it reads that, and notes what it refused.
GUARD, GUARDED, REFUSED = "reference-transaction", "guarded", "refused"
#: Settings of programs that refuse to install hooks where core.hooksPath is set, or would change our folder.
_SHY = (
    *(".pre-commit-config.yaml", ".pre-commit-config.yml"),
    *(f"{dot}lefthook.{end}" for dot in ("", ".") for end in ("yml", "yaml", "toml", "json")),
)
_AGAIN = "yoke hooks install"


@dataclass(frozen=True, slots=True)
class HookStatus:
    """Whether our hooks are there and run."""

    installed: bool
    #: Folder they are in; empty when they are not installed.
    folder: str
    #: What of them is there by name: `installed`, or what is wrong.
    hooks: Mapping[str, str]
    #: What is wrong beside single hooks.
    problems: tuple[str, ...]

    @property
    def remedy(self) -> str:
        """What puts it right; empty when nothing is wrong."""
        broken = self.problems or any(found != Found.OURS for found in self.hooks.values())
        return _AGAIN if self.installed and broken else ""


@dataclass(frozen=True, slots=True)
class _Record:
    """What was done to the repository, so that it can be taken back."""

    #: Whether they are in a folder of their own, which git is told to use.
    own: bool
    #: Whether the folder of the repository's hooks was made by us.
    made: bool = False
    #: Where our own folder was then; a repository can be moved.
    folder: str = ""
    #: Of the setting: its scope, the file before and after, and its values before.
    scope: str = "local"
    before: str = ""
    after: str = ""
    values: tuple[str, ...] = ()

    @classmethod
    def read(cls, file: Path) -> Self | None:
        try:
            raw = json.loads(file.read_bytes())
            return cls(**{**raw, "values": tuple(raw["values"])})
        except (OSError, ValueError, KeyError, TypeError):
            return None


class Hooks:
    """The git hooks of one repository."""

    def __init__(self, repo: Repo) -> None:
        self._repo = repo
        self._beside = repo.common_dir / "hooks"
        self._own = repo.state_dir / "hooks"
        self._record_file = repo.state_dir / RECORD

    @property
    def installed(self) -> bool:
        """Whether somebody installed them and did not take them away; they may be broken."""
        return self._record_file.is_file()

    async def install(self) -> tuple[str, ...]:
        """Put them in, or put right what is wrong; gives what a person may want to know.

        Raises GitError when the repository's settings cannot be written.
        """
        record = _Record.read(self._record_file)
        found = await hook_config.settings(self._repo)
        # Where it is set already, what it replaced is known from the record alone.
        own = hook_config.effective(found) in self._mine() or await self._needs_own_folder()
        if record is not None and record.own != own:
            await self.uninstall()
            record = None
        self._repo.state_dir.mkdir(exist_ok=True)
        write_program(self._repo)
        if own:
            await self._install_own(record)
            return ()
        return self._install_beside(record)

    async def uninstall(self) -> tuple[str, ...]:
        """Take them away and put back what was there; gives what a person may want to know."""
        record = _Record.read(self._record_file)
        notes = hook_files.take_out(self._beside, self._repo.state_dir)
        if record is not None and record.made:
            hook_files.remove_empty(self._beside)
        if record is None:
            record = _Record(own=True)
        if record.own:
            await self._restore_setting(record)
        hook_files.remove_folder(self._own)
        for name in (RECORD, *STATE):
            (self._repo.state_dir / name).unlink(missing_ok=True)
        return notes

    async def status(self) -> HookStatus:
        """What is there now."""
        record = _Record.read(self._record_file)
        if record is None:
            return self._left_over()
        folder = self._own if record.own else self._beside
        problems = list(await self._overruled(record))
        if not program_file(self._repo).is_file():
            problems.append("the hooks do not know where the program is, and record nothing")
        return HookStatus(True, str(folder), hook_files.look(folder), tuple(problems))

    def _left_over(self) -> HookStatus:
        """What is there without a record of it."""
        found = {name: what for name, what in hook_files.look(self._beside).items() if what == Found.OURS}
        if not found:
            return HookStatus(False, "", {}, ())
        return HookStatus(True, str(self._beside), found, ("nothing tells how they were installed",))

    async def _needs_own_folder(self) -> bool:
        """Whether git looks elsewhere than in a folder that is the repository's alone."""
        folder = hook_config.effective(await self._settings()) or str(self._beside)
        return not self._is(folder, self._beside)

    def _is(self, folder: str, ours: Path) -> bool:
        """Whether a setting means this very folder, and that is not a link to one elsewhere."""
        return os.path.realpath(self._absolute(folder)) == str(ours)

    def _absolute(self, folder: str) -> Path:
        return self._repo.root / folder

    async def _settings(self) -> list[hook_config.Setting]:
        """Values of core.hooksPath that are not ours, the strongest last."""
        found = await hook_config.settings(self._repo)
        return [each for each in found if each.value not in self._mine()]

    def _mine(self) -> set[str]:
        """Values of core.hooksPath that are ours, also from where the repository was before."""
        record = _Record.read(self._record_file)
        return {str(self._own), record.folder} if record and record.folder else {str(self._own)}

    def _install_beside(self, record: _Record | None) -> tuple[str, ...]:
        made = record.made if record else not self._beside.exists()
        self._write_record(_Record(own=False, made=made))
        self._beside.mkdir(exist_ok=True)
        return hook_files.put_in(self._beside, self._repo.state_dir)

    async def _install_own(self, record: _Record | None) -> None:
        others, found = await self._settings(), await hook_config.settings(self._repo)
        now = hook_config.effective(found)
        replaced = record if now in self._mine() else None
        folder = self._without_us(others, replaced)
        self._repo.state_dir.mkdir(exist_ok=True)
        hook_files.write_folder(self._own, folder, self._absolute(folder), (*NAMES, *_HANDED_ON))
        if replaced is not None and now == str(self._own):
            return
        scope = "worktree" if any(each.scope == "worktree" for each in found) else "local"
        file = hook_config.file_of(self._repo, scope)
        # Of where the repository was before, or of a state folder that is lost.
        await hook_config.exclude(self._repo)
        # What is left of an installation that is lost or was elsewhere is nothing to go back to.
        left = now in self._mine()
        before = "" if left else hook_config.read(file)
        values = replaced.values if replaced else tuple(each.value for each in others if each.scope == scope)
        made = _Record(
            own=True,
            folder=str(self._own),
            scope=scope,
            before=before,
            # Elsewhere they stay where they are.
            values=values if scope == "worktree" else (),
        )
        # Written first: what is known to be changed can be taken back after a crash.
        self._write_record(made)
        if scope == "worktree":
            await hook_config.write(self._repo, scope, [str(self._own)])
        else:
            if left:
                await hook_config.write(self._repo, scope, values)
            await hook_config.include(self._repo, self._own)
        self._write_record(replace(made, after="" if left else hook_config.read(file)))

    def _without_us(self, others: list[hook_config.Setting], record: _Record | None) -> str:
        """The folder that git would use without us."""
        mine = record.values[-1:] if record else ()
        return "".join(mine) or hook_config.effective(others) or str(self._beside)

    async def _restore_setting(self, record: _Record) -> None:
        file = hook_config.file_of(self._repo, record.scope)
        if record.after and hook_config.swap(file, record.after, record.before):
            return
        await hook_config.exclude(self._repo)
        found = await hook_config.settings(self._repo)
        if any(each.scope == record.scope and each.value in self._mine() for each in found):
            # Else somebody has set it meanwhile.
            await hook_config.write(self._repo, record.scope, record.values)

    async def _overruled(self, record: _Record) -> list[str]:
        found = await hook_config.settings(self._repo)
        now, ours = hook_config.effective(found), self._own if record.own else self._beside
        if not self._is(now or str(self._beside), ours):
            problems = [f"git runs no hooks of ours, since core.hooksPath is {now or 'not set any more'}"]
        elif record.own:
            known, said = hook_files.handed_on_to(self._own), self._without_us(await self._settings(), record)
            stale = f"the hooks hand on to {known}, where git would use {said}"
            problems = [] if known == said else [stale]
        else:
            problems = []
        return [*problems, *await self._worktrees()]

    async def _worktrees(self) -> list[str]:
        """Worktrees with a setting of their own that takes them away from our hooks."""
        problems = []
        for git_dir in hook_config.with_own_settings(self._repo):
            found = await hook_config.settings(self._repo, git_dir)
            own = [each for each in found if each.scope == "worktree"]
            if own and own[-1].value != str(self._own):
                problems.append(
                    f"the worktree {git_dir.name} has a core.hooksPath of its own: {own[-1].value}"
                )
        return problems

    def _write_record(self, record: _Record) -> None:
        write_whole(self._record_file, json.dumps(asdict(record)))


def program_file(repo: Repo) -> Path:
    """Names a file of the installed program: the hooks are silent when that is gone."""
    return repo.state_dir / "program"


def write_program(repo: Repo) -> None:
    """Tell the hooks where the program is now."""
    file, text = program_file(repo), f"{stub_file()}\n"
    try:
        if file.read_text(encoding="utf-8", errors="surrogateescape") == text:
            return
    except OSError:
        pass
    write_whole(file, text)


async def session_hooks(repo: Repo) -> dict[str, str]:
    """Settings with which git runs our hooks in all checkouts of this repository, and nowhere else.

    They hand on to what git would run without them, which are ours again where they are installed. Empty
    where the project uses a program that cannot be set up beside a `core.hooksPath`: commits get their
    trailers when the session ends anyway, and the target goes back to what was tested.
    """
    if any((repo.root / name).exists() for name in _SHY):
        return {}
    try:
        folder = hook_config.effective(await hook_config.settings(repo)) or str(repo.common_dir / "hooks")
    except GitError:
        return {}
    own = repo.state_dir / "session-hooks"
    hook_files.write_folder(own, folder, repo.root / folder, (*NAMES, *_HANDED_ON, GUARD))
    write_program(repo)
    file = repo.state_dir / "session.gitconfig"
    quoted = str(own).replace("\\", "\\\\").replace('"', '\\"')
    write_whole(file, f'[core]\n\thooksPath = "{quoted}"\n')
    where = hook_config.escaped(repo.common_dir)
    return {f"includeIf.gitdir:{place}.path": str(file) for place in (where, f"{where}/worktrees/*")}


def guard_refs(repo: Repo, target: str, prefix: str, branches: Iterable[str]) -> None:
    """Tell the hooks which refs sessions may not move: the target, and `branches`, which begin with `prefix`.

    What is below `lane/` and `refs/yoke/` goes without saying, and so does a session's own branch.
    """
    names = (target, prefix, *branches)
    repo.state_dir.mkdir(exist_ok=True)
    write_whole(repo.state_dir / GUARDED, "".join(f"refs/heads/{name}\n" for name in names))
