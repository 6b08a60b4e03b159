"""The second copy: what the store has lost, or never had, comes back from the journal and from git.

The journal tells more than git, as far as it reaches back, so it goes first. Whatever comes back is an event:
it goes through the journal and the projection like any other, and only once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from yokeflow.engine.facts.claims import closed_by_people
from yokeflow.engine.facts.git_facts import Facts, named
from yokeflow.errors import DocumentError, RepositoryError
from yokeflow.events import Event
from yokeflow.git import evidence
from yokeflow.git.history import History, newest_landing, read_history
from yokeflow.store import items, projects
from yokeflow.store import rebuild as known_facts
from yokeflow.store.drain import drain
from yokeflow.store.projection import apply
from yokeflow.store.rebuild import Known, Lost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from uuid import UUID

    from yokeflow.engine.project import Project
    from yokeflow.git.repo import Repo
    from yokeflow.model import Plan
    from yokeflow.store.connection import Store
    from yokeflow.store.journal import Journal

    Record = Callable[[Event], None]

_NEVER: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What came back, or would."""

    runs: int = 0
    sessions: int = 0
    tasks: int = 0
    landings: int = 0
    checks: int = 0
    undone: int = 0
    #: Items that the plan does not have.
    items: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.sessions or self.landings or self.tasks or self.items)

    @classmethod
    def of(cls, events: Sequence[Event], lost: Sequence[Lost]) -> Rebuilt:
        """The numbers of some events."""
        count = Counter(event.type for event in events)
        return cls(
            runs=count["run.started"],
            sessions=count["session.finished"],
            tasks=len({event.task for event in events if event.type == "task.completed"}),
            landings=count["landing.landed"],
            checks=count["check.finished"],
            undone=count["landing.undone"],
            items=tuple(item.key for item in lost),
        )

    def told(self, older: Rebuilt) -> dict[str, Any]:
        """As the event `store.rebuilt` carries it, with what was told before the journal."""
        return {
            "landings": older.landings + self.landings,
            "sessions": older.sessions + self.sessions,
            "items": list(self.items),
        }


@dataclass(frozen=True, slots=True)
class Missing:
    """What git knows and a store does not."""

    rebuilt: Rebuilt
    #: Whether the store knows anything of the project; then it is for a person to say that more comes in.
    store_knows: bool


async def find_missing(project: Project) -> Missing:
    """What `rebuild` would bring back; changes nothing. Raises StoreError, RepositoryError."""
    history = await history_of(project)
    store = await project.connect()
    try:
        async with store.begin() as connection:
            project_id = await projects.find(connection, str(project.repo.common_dir))
            known = Known()
            if project_id is not None:
                known = await known_facts.known(connection, project_id, set(named(history)))
    finally:
        await store.close()
    plan = plan_of(project)
    facts = await facts_of(project, plan, history, known, lost=not known.items)
    return Missing(Rebuilt.of(facts.events(), _lost(facts, plan)), bool(known.items))


async def rebuild(project: Project, store: Store, project_id: UUID, *, lost: bool = False) -> Rebuilt:
    """Bring into the store what git knows and the store does not; nothing that is there is changed.

    Commits by which people complete tasks are looked at where the store was `lost`; else they were before.
    The caller has drained the journal. Raises RepositoryError when there is no target branch.
    """
    plan = plan_of(project)
    history = await history_of(project)
    async with store.begin() as connection:
        known = await known_facts.known(connection, project_id, set(named(history)))
    facts = await facts_of(project, plan, history, known, lost=lost)
    items_lost, events = _lost(facts, plan), facts.events()
    if events or items_lost:
        async with store.begin() as connection:
            if plan and not known.items:
                await items.sync_plan(connection, project_id, plan)
            await known_facts.restore_items(connection, project_id, items_lost)
        project.journal.append(*events)
        await drain(store, project_id, project.journal, must_finish=True)
        async with store.begin() as connection:
            await known_facts.show_finished(connection, project_id, items_lost)
    return Rebuilt.of(events, items_lost)


def _lost(facts: Facts, plan: Plan | None) -> list[Lost]:
    """Items that neither the store nor, where it is empty, the plan has."""
    there = facts.known.items or (plan.ids if plan else frozenset[str]())
    return [item for name, item in facts.items().items() if name not in there]


async def bring_in(project: Project, store: Store, project_id: UUID, record: Record) -> None:
    """Give a store that knows no item of the project what the journal and git know of it.

    A journal that was replayed without items would leave no trace, and never be read again.
    """
    plan, lost = plan_of(project), _named_items(project.journal)
    older = Rebuilt()
    if lost:
        events, more = await _older(project, plan)
        planned = plan.ids if plan else frozenset[str]()
        named = {item.key: item for item in (*lost, *more)}
        lost = [item for key, item in named.items() if key not in planned]
        older = Rebuilt.of(events, ())
        async with store.begin() as connection:
            if plan:
                await items.sync_plan(connection, project_id, plan)
            await known_facts.restore_items(connection, project_id, lost)
            await apply(connection, project_id, _with_begun(events, _begun_runs(project.journal)))
    await drain(store, project_id, project.journal)
    async with store.begin() as connection:
        await known_facts.show_finished(connection, project_id, lost)
    # Where nothing is checked out there is no target yet.
    with suppress(RepositoryError):
        found = await rebuild(project, store, project_id, lost=True)
        if found or older:
            record(Event("store.rebuilt", data=found.told(older)))
            await drain(store, project_id, project.journal)


async def _older(project: Project, plan: Plan | None) -> tuple[list[Event], list[Lost]]:
    """What landed or was undone before the journal begins, and items: told later, it would seem newer."""
    with suppress(RepositoryError):
        history = await history_of(project)
        known = known_to(project.journal.events())
        told = known.landings | known.undos
        times = [each.at for each in history.landings if each.commit in told]
        times += [each.at for each in history.undos if each.commit in told]
        facts = await facts_of(project, plan, history, known)
        return facts.events(min(times, default=_NEVER)), list(facts.items().values())
    return [], []


def _with_begun(events: Sequence[Event], begun: Sequence[Event]) -> list[Event]:
    """The events, with the start of runs before whatever else is told of them."""
    told = list(events)
    for start in begun:
        place = next((at for at, event in enumerate(told) if event.run == start.run), len(told))
        told.insert(place, start)
    return told


async def catch_up(project: Project, store: Store, project_id: UUID, target: str, record: Record) -> None:
    """Take over landings that came onto the target without this store, as with `git pull`.

    Looks only at what came there since the store last looked. The caller has drained the journal.
    """
    repo = project.repo
    async with store.begin() as connection:
        landed = await known_facts.landed_commits(connection, project_id, target)
        undos = await known_facts.undo_commits(connection, project_id, target)
        seen = await known_facts.last_target_commit(connection, project_id, target)
    since = await _first_on(repo, target, [*landed[:1], *([seen] if seen else [])])
    newest = await newest_landing(repo, target, since)
    if newest is None or newest in {*landed, *undos}:
        return
    if found := await rebuild(project, store, project_id):
        record(Event("store.rebuilt", data=found.told(Rebuilt())))


async def _first_on(repo: Repo, target: str, commits: Sequence[str]) -> str:
    """The first of some commits that the target has; empty for none."""
    tip = await repo.branch(target)
    for commit in commits:
        if tip and await repo.resolve(commit) and await repo.is_ancestor(commit, tip):
            return commit
    return ""


def plan_of(project: Project) -> Plan | None:
    """The configured plan; None where it is missing or wrong, which whoever needs it will tell."""
    with suppress(DocumentError, OSError):
        return project.load_plan()
    return None


async def history_of(project: Project) -> History:
    """What git knows of a project. Raises RepositoryError when there is no target branch."""
    config = project.config.project
    target = await project.repo.target_branch(config.target)
    return await read_history(project.repo, target, config.branch_prefix)


async def facts_of(
    project: Project, plan: Plan | None, history: History, known: Known, *, lost: bool = True
) -> Facts:
    """The same, ready to be told; with tasks that people's commits completed where the store was `lost`."""
    repo = project.repo
    proofs = await evidence.read(repo) if history.landings else {}
    folder = project.session_folder("")
    closed = await closed_by_people(project, plan, history) if lost else ()
    return Facts(history, plan, str(repo.common_dir), folder, known, proofs, closed)


def known_to(events: Iterable[Event]) -> Known:
    """What git need not tell beside some events."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    attempts: Counter[str] = Counter()
    for event in events:
        found["runs"].add(event.run)
        if event.type == "session.started":
            found["sessions"].add(event.session)
            attempts[event.task] += 1
        elif event.type in {"landing.landed", "landing.undone"}:
            name = "landings" if event.type == "landing.landed" else "undos"
            found[name].add(str(event.data.get("commit")))
        elif event.type in {"task.completed", "task.reopened"}:
            found["turned"].add(event.task)
    return Known(attempts=attempts, **{name: frozenset(ids) for name, ids in found.items()})


def _named_items(journal: Journal) -> list[Lost]:
    """Every item that the journal tells of."""
    found: dict[str, Lost] = {}
    for event in journal.events():
        if event.epic:
            found.setdefault(event.epic, Lost(event.epic, "", is_epic=True))
        if event.task:
            found.setdefault(event.task, Lost(event.task, "", event.epic))
    return list(found.values())


def _begun_runs(journal: Journal) -> list[Event]:
    """The start of runs of which the journal has only the end: no session would find its run."""
    first: dict[str, Event] = {}
    whole: set[str] = set()
    for event in journal.events():
        if event.type == "session.started":
            first.setdefault(event.run, event)
        if event.type == "run.started":
            whole.add(event.run)
    return [Event("run.started", run, at=event.at) for run, event in first.items() if run not in whole]
