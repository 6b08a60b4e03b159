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
        if len(self.files) > _MANY or len(other.files) > _MANY:
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

    async def look(self, commits: Collection[str]) -> Mapping[str, Changes] | None:
        """What each of these has changed; None when they have no history in common or one is missing."""
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
        return self._known

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
