"""Commits and merges on their items: what git hooks noted, set right by what is on the branches.

Hooks are hints. What counts is which commits came to the branches since notes were last read, so a hook that
did not run costs nothing but time. Ids of the events are made from what they tell; a crash at any instant, or
a note that is read twice, tells nothing twice.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import NAMESPACE_OID, uuid5

from yokeflow.engine.secrets.redact import redact
from yokeflow.errors import StoreError, YokeError
from yokeflow.events import Event
from yokeflow.files import write_whole
from yokeflow.git.hooks import Hooks, write_program
from yokeflow.git.made import came, named_tasks, sessions_of, went, writer_of
from yokeflow.git.spool import Rewritten, Seen, Spool
from yokeflow.model import LANE_PREFIX
from yokeflow.store import commits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from uuid import UUID

    from yokeflow.config import Hooks as Settings
    from yokeflow.engine.project import Project
    from yokeflow.git.made import Made
    from yokeflow.git.repo import Repo
    from yokeflow.store.commits import RecordedAt
    from yokeflow.store.connection import Store

_EPIC = re.compile(r"^yoke-epic:[ \t]*(\S+)[ \t]*$", re.MULTILINE | re.IGNORECASE)
#: Tasks beyond which a hook would take too long to look one up.
_MOST_TASKS = 2000
#: Letters of a commit's subject that are recorded.
LONGEST_SUBJECT = 200


@dataclass(frozen=True, slots=True)
class _Items:
    """The plan's items and the names of their branches."""

    #: Every item; the epic of a task, empty for an epic.
    epic_of: Mapping[str, str]
    prefix: str

    def of_branch(self, branch: str) -> str:
        """The item on whose branch a commit is; empty for none."""
        if branch.startswith(LANE_PREFIX):
            name = branch.removeprefix(LANE_PREFIX)
        elif branch.startswith(self.prefix):
            name = branch.removeprefix(self.prefix)
        else:
            return ""
        return name if name in self.epic_of else ""

    def where(self, item: str) -> dict[str, str]:
        """The item as events name it."""
        epic = self.epic_of[item]
        return {"epic": epic, "task": item} if epic else {"epic": item}


async def begin(repo: Repo) -> None:
    """Note where branches are when hooks are installed: what is there already is no news."""
    spool = Spool(repo.state_dir)
    with spool.held() as alone:
        if alone and spool.tips() is None:
            spool.done(await repo.refs("refs/heads/"))


async def ingest(project: Project, store: Store, project_id: UUID) -> int:
    """Record in the journal what came since the last time; gives the number of events.

    Does nothing where hooks are not installed. What cannot be read now is read the next time.
    """
    hooks, spool = project.config.hooks, Spool(project.repo.state_dir)
    if not (hooks.commit or hooks.merge) or not Hooks(project.repo).installed:
        return 0
    with suppress(YokeError, OSError), spool.held() as alone:
        return await _ingest(project, store, project_id, spool) if alone else 0
    return 0


async def _ingest(project: Project, store: Store, project_id: UUID, spool: Spool) -> int:
    repo = project.repo
    write_program(repo)
    now = await repo.refs("refs/heads/")
    before = spool.tips()
    if before is None:
        # What was there when they were installed is no news.
        before = now
    elif now == before and not spool.waits:
        return 0
    notes = spool.take(before)
    async with store.begin() as connection:
        items = _Items(await commits.items(connection, project_id), project.config.project.branch_prefix)
    publish_tasks(repo, (item for item, epic in items.epic_of.items() if epic))
    events = await _events(project, store, project_id, items, _Change(before, now, notes))
    if events:
        project.journal.append(*events)
    spool.done(now)
    return len(events)


@dataclass(frozen=True, slots=True)
class _Change:
    """Branches before and after, and what hooks saw meanwhile."""

    before: Mapping[str, str]
    now: Mapping[str, str]
    notes: Sequence[Seen | Rewritten]

    @property
    def seen(self) -> dict[str, str]:
        """Commits that may be on no branch any more, with the branch on which they were made."""
        return {note.commit: note.ref for note in self.notes if isinstance(note, Seen)}

    @property
    def rewritten(self) -> dict[str, Rewritten]:
        """By the commit that was replaced."""
        return {note.old: note for note in self.notes if isinstance(note, Rewritten)}

    def tips(self, oid: str) -> Iterator[str]:
        """Branches that were or are at a commit."""
        for ref, tip in (*self.before.items(), *self.now.items()):
            if tip == oid:
                yield ref.removeprefix("refs/heads/")


async def _events(
    project: Project, store: Store, project_id: UUID, items: _Items, change: _Change
) -> list[Event]:
    repo = project.repo
    first = tuple(f"refs/heads/{prefix}" for prefix in (items.prefix, LANE_PREFIX) if prefix)
    made = await came(repo, change.before, change.now, change.seen, first)
    gone = await went(repo, change.before, change.now)
    oids = {*(each.oid for each in made), *gone, *change.rewritten}
    async with store.begin() as connection:
        known = await commits.known(connection, project_id, oids)
    teller = _Teller(repo, items, known)
    hooks = project.config.hooks
    events = [
        *(event for each in made for event in teller.recorded(each, change) if _wanted(hooks, event)),
        *(event for each in made for event in teller.unknown(each) if hooks.commit),
    ]
    if not hooks.commit:
        return events
    there = {str(event.data.get("commit")) for event in events}
    there |= {oid for (_, oid), at in known.items() if not at.replaced}
    rewritten = [note for old, note in change.rewritten.items() if old in there]
    dropped = sorted(gone & there - set(change.rewritten))
    events += [teller.replaced(note.old, note.new, note.how) for note in rewritten]
    return [*events, *(teller.replaced(oid, "", "gone") for oid in dropped)]


def _wanted(hooks: Settings, event: Event) -> bool:
    return hooks.merge if event.type == "merge.recorded" else hooks.commit


@dataclass(frozen=True, slots=True)
class _Teller:
    """Makes events of commits."""

    repo: Repo
    items: _Items
    #: What is recorded already, by item and commit.
    known: Mapping[tuple[str, str], RecordedAt]

    def recorded(self, made: Made, change: _Change) -> Iterator[Event]:
        """The commit on every item that it is about."""
        named = [task for task in named_tasks(made.message) if task in self.items.epic_of]
        own = self.items.of_branch(made.branch)
        for item in dict.fromkeys([*named, *([own] if own and not named else [])]):
            yield from self._told("commit.recorded", item, made, named=item in named)
        if len(made.parents) > 1:
            for epic in self._merged(made, change):
                yield from self._told("merge.recorded", epic, made, named=False)

    def _merged(self, made: Made, change: _Change) -> list[str]:
        """Epics that a merge brought to its branch."""
        branches = [branch for parent in made.parents[1:] for branch in change.tips(parent)]
        prefix = re.escape(self.items.prefix)
        branches += re.findall(rf"(?:^|[\s'\"/])({prefix}[A-Za-z0-9][\w.-]*)", made.subject) if prefix else []
        found = [*_EPIC.findall(made.message), *map(self.items.of_branch, branches)]
        epics = [self.items.epic_of.get(item) or item for item in found if item in self.items.epic_of]
        return list(dict.fromkeys(epics))

    def _told(self, type_: str, item: str, made: Made, *, named: bool) -> Iterator[Event]:
        at = self.known.get((item, made.oid))
        if at is not None and (made.loose or not at.replaced):
            return
        session = sessions_of(made.message)
        data = {
            "commit": made.oid,
            "parents": list(made.parents),
            "subject": redact(made.subject)[:LONGEST_SUBJECT],
            "author": made.author,
            "writer": writer_of(made.message),
            "branch": made.branch,
            "named": named,
        }
        event = Event(type_, session=session[-1] if session else "", data=data, at=made.at)
        where = self.items.where(item)
        yield replace(
            event,
            epic=where["epic"],
            task=where.get("task", ""),
            id=self._id(type_, item, made.oid, str(at.changed) if at else ""),
        )

    def unknown(self, made: Made) -> Iterator[Event]:
        """A warning where a person names a task that is not in the plan."""
        if sessions_of(made.message):
            return
        for task in named_tasks(made.message):
            if task not in self.items.epic_of:
                reason = (
                    f"commit {made.oid[:12]} names task {redact(task)[:80]}, which the plan does not have"
                )
                yield Event(
                    "warning.raised",
                    data={"reason": reason, "hint": "`yoke plan show` lists the tasks"},
                    id=self._id("unknown", task, made.oid),
                )

    def replaced(self, old: str, new: str, how: str) -> Event:
        """A commit that no branch has any more."""
        items = sorted(item for item, oid in self.known if oid == old)
        where = self.items.where(items[0]) if items and items[0] in self.items.epic_of else {"epic": ""}
        changed = max((str(self.known[item, old].changed) for item in items), default="")
        data = {"commit": old, "how": how} | ({"by": new} if new else {})
        event = Event("commit.replaced", data=data, id=self._id("replaced", old, new, how, changed))
        return replace(event, epic=where["epic"], task=where.get("task", ""))

    def _id(self, *what: str) -> str:
        return event_id(self.repo, *what)


def event_id(repo: Repo, *what: str) -> str:
    """The id of a fact about this repository: the same whenever it is told."""
    return str(uuid5(NAMESPACE_OID, "\0".join((str(repo.common_dir), *what))))


def publish_tasks(repo: Repo, tasks: Iterable[str]) -> None:
    """Tell the hook that reads messages which tasks there are."""
    names = list(tasks)
    text = "".join(f"{name}\n" for name in sorted(names))
    _publish(repo.state_dir / "tasks", "" if len(names) > _MOST_TASKS else text)


async def publish_red(project: Project, store: Store, project_id: UUID) -> None:
    """Tell the hook that is asked before a push which commits are red, as far as the store can be asked."""
    repo = project.repo
    if not Hooks(repo).installed:
        return
    file, text = repo.state_dir / "red", ""
    with suppress(StoreError, OSError):
        if project.config.hooks.refuse_red_push:
            async with store.begin() as connection:
                red = await commits.red_tips(connection, project_id)
            text = "".join(f"{oid} {epic}\n" for epic, oid in sorted(red.items()))
        _publish(file, text)


def _publish(file: Path, text: str) -> None:
    """Write a small file that is not there when it is empty."""
    if not text:
        file.unlink(missing_ok=True)
    elif not file.is_file() or file.read_text(encoding="utf-8") != text:
        write_whole(file, text)
