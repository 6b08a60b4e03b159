"""What the checker is told: the notes of a round's folder, and the rows of its project."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from tests.torture.shell import git

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Stored:
    """The rows of one project."""

    events: Rows
    items: Rows
    landings: Rows
    checks: Rows
    sessions: Rows
    runs: Rows
    questions: Rows
    commits: Rows


@dataclass(frozen=True)
class Commit:
    """A commit as `git log` tells it."""

    oid: str
    tree: str
    subject: str
    #: By key, the last value.
    trailers: dict[str, str]
    #: Commits that it takes back.
    undoes: tuple[str, ...]


class Facts:
    """A round's folder."""

    def __init__(self, folder: Path, told: dict[str, Any]) -> None:
        self.folder = folder
        self.told = told
        self.shop = Path(told["shop"])
        self.database: str = told["database"]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The folder as the round left it."""
        return cls(folder, json.loads((folder / "round.json").read_text()))

    def lines(self, name: str) -> list[str]:
        """A note's lines; none where there is no such note."""
        file = self.folder / name
        return file.read_text(errors="replace").splitlines() if file.exists() else []

    def git(self, *args: str, ok: tuple[int, ...] = (0,)) -> str:
        """What git says in the user's repository."""
        return git(self.shop, *args, ok=ok)

    @cached_property
    def persons(self) -> set[str]:
        """Commits that the person made."""
        return set(self.lines("person.log"))

    @cached_property
    def reachable(self) -> set[str]:
        """Every commit that some ref reaches."""
        return set(self.git("rev-list", "--all").split())

    @cached_property
    def gained(self) -> list[Commit]:
        """What was put on the target, the oldest first."""
        (start,) = self.git("rev-list", "--max-parents=0", "refs/heads/main").split()
        form = "%H%x00%T%x00%s%x00%(trailers:only,unfold)%x01"
        found = self.git(
            "log", "--first-parent", "--reverse", f"--format={form}", f"{start}..refs/heads/main"
        )
        return [_commit(entry.lstrip("\n")) for entry in found.split("\x01") if entry.strip()]

    @property
    def landed(self) -> list[Commit]:
        """The landings among them."""
        return [commit for commit in self.gained if "Yoke-Epic" in commit.trailers and not commit.undoes]

    @property
    def undone(self) -> list[Commit]:
        """What took landings, or earlier ones of these, back."""
        return [commit for commit in self.gained if commit.undoes]

    def undone_by(self, commit: str) -> str:
        """What takes a commit back now; empty when it stands, also because its undoing was taken back."""
        by = [undo.oid for undo in self.undone if commit in undo.undoes and not self.undone_by(undo.oid)]
        return by[-1] if by else ""

    def stands_by(self, commit: str) -> str:
        """The commit by which a landing is on the target: itself, or what brought it back; empty for none."""
        undos = [undo.oid for undo in self.undone if commit in undo.undoes]
        if not undos:
            return commit
        back = self.undone_by(undos[-1])
        return self.stands_by(back) if back else ""

    @cached_property
    def standing(self) -> dict[str, str]:
        """Epics that are on the target, and the last commit that brought each there."""
        found = ((commit.trailers["Yoke-Epic"], self.stands_by(commit.oid)) for commit in self.landed)
        return {epic: oid for epic, oid in found if oid}

    def until(self, number: int) -> Facts:
        """As it was before the commit of this number was put on the target."""
        made = type(self)(self.folder, self.told)
        made.gained = self.gained[:number]
        return made

    def tested(self, commit: Commit) -> tuple[Commit | None, list[str]]:
        """The commit whose tree was tested for this landing, and the commands that its epics promise.

        Another one than itself in a batch, which is tested as one: the last of it.
        """
        if commit.undoes:
            return commit, self.told["landing_checks"]
        epics: list[str] = []
        for other in self.gained[self.gained.index(commit) :]:
            if "Yoke-Epic" not in other.trailers or other.undoes:
                break
            epics.append(other.trailers["Yoke-Epic"])
            if not other.trailers.get("Yoke-Checks", "").endswith("=batched"):
                promised = (each for epic in epics for each in self.told["promised"][epic])
                return other, list(dict.fromkeys((*self.told["landing_checks"], *promised)))
        return None, []

    @property
    def rebased(self) -> set[str]:
        """Epics whose branch the person rewrote."""
        return set(self.lines("rebased.log"))

    def epic_of(self, task: str) -> str:
        """The epic of a task."""
        epics: dict[str, list[str]] = self.told["epics"]
        return next(epic for epic, tasks in epics.items() if task in tasks)


def _commit(entry: str) -> Commit:
    oid, tree, subject, trailers = entry.split("\0")
    pairs = [line.partition(": ") for line in trailers.splitlines()]
    undoes = tuple(value for key, _, value in pairs if key == "Yoke-Undoes")
    return Commit(oid, tree, subject, {key: value for key, _, value in pairs}, undoes)
