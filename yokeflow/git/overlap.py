"""Which commits can conflict at all: a look at what each has changed, before pairs of them are merged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from yokeflow.git.repo import Repo

#: Changed paths of one commit beyond which comparing costs more than merging.
_MANY: Final = 5000


@dataclass(slots=True)
class Changes:
    """What a commit has changed since an ancestor of it."""

    #: New mode and object by path.
    files: dict[str, str] = field(default_factory=dict)
    added: set[str] = field(default_factory=set)
    #: Whether files are gone, moved ones too.
    gone: bool = False
    #: Folders of what was added.
    folders: set[str] = field(default_factory=set)
    #: More may have happened than this shows.
    doubtful: bool = False

    def take(self, entry: str, path: str) -> None:
        """Note one line of `git diff-tree --raw`."""
        _, mode, _, oid, status = entry.split(" ")
        self.files[path] = f"{mode} {oid}"
        self.gone = self.gone or status == "D"
        if status == "A":
            self.added.add(path)
            above = path
            while (above := above.rpartition("/")[0]) and above not in self.folders:
                self.folders.add(above)

    def may_conflict(self, other: Changes) -> bool:
        """Whether a merge with `other` may conflict; yes by mistake now and then, never no.

        Two sides that changed no path both can conflict only by folders: one moved a folder into which the
        other put a file, or one made a file where the other made a folder.
        """
        if self.doubtful or other.doubtful or len(self.files) > _MANY or len(other.files) > _MANY:
            return True
        if (self.gone and other.added) or (other.gone and self.added):
            return True
        if self.folders & other.added or other.folders & self.added:
            return True
        return any(self.files[path] != other.files[path] for path in self.files.keys() & other.files.keys())


class Overlaps:
    """Compares commits by what they have changed since the last commit that all of them contain."""

    def __init__(self, repo: Repo, env: Mapping[str, str]) -> None:
        self._repo = repo
        self._env = env
        self._base = ""
        #: By commit, since the base.
        self._known: dict[str, Changes] = {}
        #: Paths that the trunk changed and took back, and since and up to where.
        self._taken_back: set[str] = set()
        self._followed = ("", "")

    async def look(self, commits: Collection[str], trunk: str = "") -> Mapping[str, Changes] | None:
        """What each of these has changed; None when they have no history in common or one is missing.

        `trunk` is where the others branch off; what was changed there and taken back counts, too.
        """
        found = await self._repo.git(
            "merge-base", "--octopus", *sorted(set(commits)), ok=(0, 1, 128), env=self._env
        )
        if found.returncode:
            return None
        if found.text != self._base:
            self._base, self._known = found.text, {}
        fresh = [commit for commit in commits if commit not in self._known]
        self._known = {commit: self._known[commit] for commit in commits if commit in self._known}
        if fresh:
            self._known |= await self._changes(dict.fromkeys(fresh))
        await self._doubt_what_was_taken_back(trunk)
        return self._known

    async def _doubt_what_was_taken_back(self, trunk: str) -> None:
        """Who branched off before something was taken back may have built on it: no comparison shows that."""
        if trunk not in self._known:
            return
        if self._followed != (self._base, trunk):
            flags = ("--first-parent", "-m", "-z", "--name-only", "--no-renames", "--format=")
            out = await self._repo.git("log", *flags, f"{self._base}..{trunk}", "--", env=self._env)
            self._taken_back = {path for path in out.parts if path} - self._known[trunk].files.keys()
            self._followed = (self._base, trunk)
        for changes in self._known.values():
            changes.doubtful = not self._taken_back.isdisjoint(changes.files)

    async def _changes(self, commits: Collection[str]) -> dict[str, Changes]:
        question = "".join(f"{commit} {self._base}\n" for commit in commits).encode()
        flags = ("--stdin", "-r", "-z", "--raw", "--no-renames", "--no-abbrev")
        out = await self._repo.git("diff-tree", *flags, stdin=question, env=self._env)
        changes = {commit: Changes() for commit in commits}
        current = Changes()
        parts = iter(out.parts)
        for part in parts:
            if part.startswith(":"):
                current.take(part[1:], next(parts))
            else:
                current = changes[part]
        return changes
