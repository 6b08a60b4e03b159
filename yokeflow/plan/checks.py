"""What must hold between the entries of a plan file. Each check gives all problems it finds."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from yokeflow import globs
from yokeflow.document import shorten
from yokeflow.plan.cycles import cycles
from yokeflow.plan.entries import UNREAD, DependencyEntry, EpicItem, TaskItem
from yokeflow.validation import suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from yokeflow.document import Document, Key
    from yokeflow.errors import Problem

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
#: Room for a prefix and git's `.lock` in a file name of 255 bytes.
_LONGEST_ID = 200
#: Looking for the nearest word takes a while in a large plan.
_MOST_SUGGESTIONS = 50


@dataclass
class Backlog:
    """The entries of one plan file, and who has which id."""

    document: Document
    epics: list[EpicItem]
    branch_prefix: str
    #: The first epic or task with an id.
    owners: dict[str, EpicItem | TaskItem] = field(default_factory=dict)
    _suggested: int = 0

    def __post_init__(self) -> None:
        for item in self.items():
            if item.entry.id != UNREAD:
                self.owners.setdefault(item.entry.id, item)

    def items(self) -> Iterator[EpicItem | TaskItem]:
        """Every epic, each followed by its tasks."""
        for epic in self.epics:
            yield epic
            yield from epic.tasks

    def tasks(self) -> Iterator[TaskItem]:
        """Every task in the order of the file."""
        for epic in self.epics:
            yield from epic.tasks

    def meant(self, word: str) -> str:
        """A hint with the id that was probably meant."""
        self._suggested += 1
        found = suggest(word, self.owners) if self._suggested <= _MOST_SUGGESTIONS else ""
        return found or "add it to the plan or remove it here"


def check(backlog: Backlog) -> Iterator[Problem]:
    """Every problem between the entries."""
    yield from _emptiness(backlog)
    yield from _ids(backlog)
    yield from _branches(backlog)
    yield from _dependencies(backlog)
    yield from _cycles(backlog)
    for task in backlog.tasks():
        yield from _task(backlog, task)


def _emptiness(backlog: Backlog) -> Iterator[Problem]:
    for epic in backlog.epics:
        if not epic.tasks and not _raw(backlog.document, epic.key).get("tasks"):
            yield backlog.document.problem(epic.key, "the epic has no tasks", "add a task or remove the epic")


def _raw(document: Document, key: Key) -> Any:
    value = document.data
    for part in key:
        value = value[part]
    return value


def _ids(backlog: Backlog) -> Iterator[Problem]:
    for item in backlog.items():
        name, key = item.entry.id, (*item.key, "id")
        if name == UNREAD:
            continue
        fault = id_fault(name)
        if fault:
            yield backlog.document.problem(key, f"the id {shorten(name)} {fault}", "choose another id")
        first = backlog.owners[name]
        if first is not item:
            line = backlog.document.line((*first.key, "id"))
            hint = "epics and tasks share one set of ids: choose another"
            yield backlog.document.problem(key, f"the id `{name}` is already used on line {line}", hint)


def id_fault(name: str) -> str:
    """Why a name cannot be an id, which must be able to name a branch and a folder; empty when it can."""
    if not _ID.fullmatch(name):
        return "must begin with a letter or digit and hold only letters, digits, `.`, `_` and `-`"
    if ".." in name:
        return "holds `..`, which git refuses in a branch name"
    if name.endswith("."):
        return "ends with a dot, which git refuses in a branch name"
    if name.lower().endswith(".lock"):
        return "ends with `.lock`, which git refuses in a branch name"
    return f"is longer than {_LONGEST_ID} characters" if len(name) > _LONGEST_ID else ""


def _branches(backlog: Backlog) -> Iterator[Problem]:
    """Branches are files below one folder: none can be a folder of another, and some systems ignore case."""
    known: dict[str, EpicItem] = {}
    for epic in backlog.epics:
        if epic.entry.id != UNREAD and backlog.owners[epic.entry.id] is epic:
            known.setdefault(_branch(backlog, epic).casefold(), epic)
    for epic in backlog.epics:
        if epic.entry.id == UNREAD or backlog.owners[epic.entry.id] is not epic:
            continue
        mine, key = _branch(backlog, epic), (*epic.key, "id")
        twin = known[mine.casefold()]
        if twin is not epic:
            theirs = _branch(backlog, twin)
            message = f"the branches {theirs} and {mine} differ only by case"
            yield backlog.document.problem(
                key, message, "some file systems cannot hold both: rename one epic"
            )
        parts = mine.casefold().split("/")
        for size in range(1, len(parts)):
            above = known.get("/".join(parts[:size]))
            if above is not None:
                message = f"the branch {_branch(backlog, above)} cannot exist beside {mine}"
                yield backlog.document.problem(key, message, "git cannot hold both: rename one epic")


def _branch(backlog: Backlog, epic: EpicItem) -> str:
    return backlog.branch_prefix + epic.entry.id


def named(dependency: str | DependencyEntry) -> str:
    """Id of the predecessor."""
    return dependency if isinstance(dependency, str) else dependency.task or dependency.epic


def _dependencies(backlog: Backlog) -> Iterator[Problem]:
    for item in backlog.items():
        seen: set[str] = set()
        for i, dependency in enumerate(item.entry.depends_on):
            name, key = named(dependency), (*item.key, "depends_on", i)
            if name == UNREAD:
                continue
            fault = _fault(backlog, item, dependency)
            if not fault and name in seen:
                fault = f"`{name}` is listed twice", "keep one of the two"
            seen.add(name)
            if fault:
                yield backlog.document.problem(key, *fault)


def _fault(
    backlog: Backlog, item: EpicItem | TaskItem, dependency: str | DependencyEntry
) -> tuple[str, str] | None:
    name = named(dependency)
    owner = backlog.owners.get(name)
    if owner is None:
        return f"there is no epic or task `{name}`", backlog.meant(name)
    if name == item.entry.id:
        return f"`{name}` depends on itself", "remove it"
    if isinstance(item, TaskItem) and name == item.epic:
        return f"the task depends on its own epic `{name}`", "name the tasks of the epic that go first"
    if isinstance(owner, TaskItem) and owner.epic == item.entry.id:
        return f"the epic depends on its own task `{name}`", "remove it, or let its other tasks depend on it"
    if isinstance(dependency, DependencyEntry):
        kind, said = ("epic", "task") if isinstance(owner, EpicItem) else ("task", "epic")
        if not getattr(dependency, kind):
            return f"`{name}` is no {said}", f"write `{kind}: {name}`"
    return None


def _cycles(backlog: Backlog) -> Iterator[Problem]:
    for path, key in cycles(backlog.epics, backlog.owners):
        shown = " -> ".join(path)
        yield backlog.document.problem(key, f"dependency cycle: {shown}", "remove one of these dependencies")


def _task(backlog: Backlog, task: TaskItem) -> Iterator[Problem]:
    entry, document = task.entry, backlog.document
    told = any(text.strip() for text in (entry.title, entry.prompt, entry.run))
    if not told and not _mistaken(document, task):
        yield document.problem(task.key, "the task does not say what is to be done", "add `prompt: …`")
    for i, name in _read(entry.conflicts_with):
        owner = backlog.owners.get(name)
        key = (*task.key, "conflicts_with", i)
        if owner is None:
            yield document.problem(key, f"there is no task `{name}`", backlog.meant(name))
        elif owner is task or isinstance(owner, EpicItem):
            what = "the task itself" if owner is task else "an epic"
            yield document.problem(key, f"`{name}` is {what}", "name other tasks")
    for i, glob in _read(entry.files):
        if fault := globs.fault(glob):
            hint = "write it relative to the repository, such as src/app.py"
            yield document.problem((*task.key, "files", i), f"{shorten(glob)} {fault}", hint)
    yield from _blanks(document, (*task.key, "needs"), entry.needs, "capability")
    yield from _blanks(document, (*task.key, "verify"), entry.verify, "command")


def _blanks(document: Document, key: Key, texts: Iterable[str], what: str) -> Iterator[Problem]:
    for i, text in _read(texts):
        if not text.strip():
            yield document.problem((*key, i), f"is no {what}", "write one or remove it")


def _read(texts: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Elements that could be read, and their places."""
    return ((i, text) for i, text in enumerate(texts) if text != UNREAD)


def _mistaken(document: Document, task: TaskItem) -> bool:
    """Whether a key could not be read, which may have been meant to say it."""
    return not _raw(document, task.key).keys() <= task.entry.model_fields_set
