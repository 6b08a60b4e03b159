"""What git knows, told as events: the same every time, so that telling them twice changes nothing."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from yokeflow.events import Event
from yokeflow.git.history import Undo
from yokeflow.store.fold import TOLD_BY_GIT
from yokeflow.store.rebuild import Known, Lost

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from yokeflow.git.evidence import Evidence
    from yokeflow.git.history import History, Landing, Work
    from yokeflow.model import Plan

_NOBODY: Final = "a run of which git knows no name"
_TICK: Final = timedelta(microseconds=1)
#: A landing and what landed may share a second, and git knows no less.
_SLACK: Final = timedelta(seconds=1)
_BEFORE: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Closed:
    """A task that a person's commit completed."""

    task: str
    commit: str
    at: datetime
    #: What says so.
    events: tuple[Event, ...]


@dataclass(frozen=True)
class Facts:
    """What git knows of a project that its store does not."""

    history: History
    #: None where the plan cannot be read.
    plan: Plan | None
    #: What makes two checkouts the same project; ids are its own.
    repo_key: str
    #: Where sessions have their folders.
    folder: Path
    known: Known = field(default_factory=Known)
    #: By landing commit.
    evidence: Mapping[str, Evidence] = field(default_factory=dict)
    closed: Sequence[Closed] = ()

    def items(self) -> dict[str, Lost]:
        """The items that git knows, epics in the order in which they landed."""
        found: dict[str, Lost] = {}
        for landing in self.history.landings:
            found[landing.epic] = Lost(landing.epic, landing.title, is_epic=True)
            for task, title in landing.tasks.items():
                found[task] = Lost(task, title, landing.epic)
        for work in self.history.work:
            found.setdefault(work.task, Lost(work.task, ""))
        return found

    def events(self, until: datetime | None = None) -> list[Event]:
        """What the store does not know yet, in order; with `until` only what the target had before it."""
        return _Teller(self, {name: item.epic for name, item in self.items().items()}).tell(until)


class _Teller:
    """Tells the facts once, from the first landing to what is not landed yet."""

    def __init__(self, facts: Facts, epics: Mapping[str, str]) -> None:
        self._facts = facts
        self._space = uuid5(NAMESPACE_URL, facts.repo_key)
        #: Epic of tasks that the plan does not have.
        self._epics = epics
        self._events: list[Event] = []
        #: The commit that has the work of each task that is done.
        self._done: dict[str, str] = {}
        #: Landings by the commit that brought them on the target, and by the one that took them back.
        self._standing: dict[str, list[Landing]] = {}
        self._gone: dict[str, list[tuple[Landing, dict[str, str]]]] = {}
        self._runs: set[str] = set()
        self._attempts = dict(facts.known.attempts or {})
        self._work: defaultdict[str, list[Work]] = defaultdict(list)
        for work in facts.history.work:
            self._work[work.task].append(work)
        self._undos = facts.history.undos
        #: Sessions by their last commits, and when the commits of the target came there.
        self._sessions = {work.head: work for work in facts.history.work}
        self._places = {landing.commit: landing.at for landing in facts.history.landings}
        self._places |= {undo.commit: undo.at for undo in self._undos}

    def tell(self, until: datetime | None) -> list[Event]:
        history = self._facts.history
        last = {landing.run: landing for landing in history.landings}
        facts: list[Landing | Undo | Closed] = [*self._facts.closed, *history.landings, *history.undos]
        for fact in sorted(facts, key=lambda each: each.at):
            if until is not None and fact.at >= until:
                return self._events
            if isinstance(fact, Undo):
                self._tell_undo(fact)
                continue
            if isinstance(fact, Closed):
                self._tell_closed(fact)
                continue
            # Whoever knows a landing knows more of it than git does.
            if fact.commit not in self._facts.known.landings:
                self._tell_landing(fact)
            for task in self._tasks(fact):
                self._done.setdefault(task, fact.commit)
            self._standing[fact.commit] = [fact]
            if last[fact.run] is fact:
                self._end_run(fact.run, fact.at)
        if until is None:
            self._tell_rest()
        return self._events

    def _tell_closed(self, closed: Closed) -> None:
        """An agent that did it too has the last word."""
        if self._facts.known.turned & {closed.task} or any(each.counts for each in self._work[closed.task]):
            return
        if self._done.setdefault(closed.task, closed.commit) == closed.commit:
            self._events += closed.events

    def _tell_landing(self, landing: Landing) -> None:
        tasks = [task for task in self._tasks(landing) if task not in self._done]
        work = {task: self._take(task, landing) for task in tasks}
        begun = min([landing.at, *(each.at for found in work.values() for each in found)])
        run = self._begin_run(landing.run, begun, landing.old_commit)
        for task, found in work.items():
            for each in found:
                self._tell_work(each, run, landing.epic)
            if not any(each.counts for each in found):
                # Its own commits are gone with a squash, or it changed nothing.
                key = f"{task} {landing.commit}"
                self._say("task.completed", key, landing.at, run, landing.epic, task, commit=landing.commit)
        told: dict[str, Any] = {
            "commit": landing.commit,
            "tree": landing.tree,
            "old_commit": landing.old_commit,
            "epic_commit": landing.epic_commit or None,
            "target": self._facts.history.target,
        }
        key, at, epic = landing.commit, landing.at, landing.epic
        for task in landing.skipped:
            self._say("task.skipped", f"{task} {key}", at, run, epic, task, by="git", reason="")
        self._say("epic.completed", key, at, run, epic)
        self._say("landing.queued", key, at, run, epic)
        self._say("landing.testing", key, at, run, epic, **told)
        self._tell_checks(landing, run)
        strategy = _strategy(landing)
        self._say("landing.landed", key, at, run, epic, **told, strategy=strategy, tasks=list(landing.tasks))

    def _tell_checks(self, landing: Landing, run: str) -> None:
        evidence = self._facts.evidence.get(landing.commit)
        for proof in evidence.proofs if evidence else ():
            self._say(
                "check.finished",
                f"{landing.commit} {proof}",
                landing.at,
                run,
                landing.epic,
                stage="landing",
                command=proof.command,
                tree=landing.tree,
                environment=proof.environment,
                passed=True,
                flaky=proof.outcome == "flaky",
                exit_code=0,
                seconds=proof.seconds,
                log="",
                reused=False,
            )

    def _tell_rest(self) -> None:
        """What is on no landing: on an epic's branch, brought to the target by a person, or taken back."""
        known = self._facts.known.sessions
        rest = {
            task: [each for each in work if not known & {each.session, self._own(each.session)}]
            for task, work in self._work.items()
        }
        rest = {task: work for task, work in rest.items() if work}
        if not rest:
            return
        times = [each.at for work in rest.values() for each in work]
        run = self._begin_run("", min(times), None)
        for task, work in rest.items():
            for each in sorted(work, key=_order):
                self._tell_work(each, run, self._epic(task))
            if task in self._done and not any(each.counts for each in work):
                # It was done all the same.
                key, commit = f"{task} {max(times)}", self._done[task]
                self._say("task.completed", key, max(times), run, self._epic(task), task, commit=commit)
        self._end_run("", max(times))

    def _tell_undo(self, undo: Undo) -> None:
        """Landings that were taken back and are to be done again; or that are there again."""
        # Told as they landed; the commit names the newest first.
        for oid in reversed(undo.undoes):
            for landing in self._standing.pop(oid, ()):
                tasks = self._tell_undone(landing, oid, undo)
                self._gone.setdefault(undo.commit, []).append((landing, tasks))
            for landing, tasks in self._gone.pop(oid, ()):
                self._standing.setdefault(undo.commit, []).append(landing)
                self._tell_brought_back(landing, tasks, oid, undo)

    def _tell_undone(self, landing: Landing, commit: str, undo: Undo) -> dict[str, str]:
        """Gives the tasks that have to be done again, with the commits that did them."""
        elsewhere = {
            task
            for each in chain.from_iterable(self._standing.values())
            if each.epic == landing.epic
            for task in self._tasks(each)
        }
        tasks = {
            task: self._done.pop(task)
            for task in self._tasks(landing)
            if task not in elsewhere and task in self._done
        }
        if undo.commit in self._facts.known.undos:
            return tasks
        where, by = (undo.at, undo.operation, landing.epic), f"human:{undo.author}"
        target = self._facts.history.target
        self._say(
            "landing.undone",
            # One commit may have brought several epics back.
            f"{commit} {undo.commit} {landing.epic}",
            *where,
            commit=undo.commit,
            landing=commit,
            target=target,
            by=by,
            reason="",
            tasks=tasks,
        )
        reason = f"its landing {commit[:12]} was undone"
        for task in tasks:
            self._say("task.reopened", f"{task} {undo.commit}", *where, task, by=by, reason=reason)
        return tasks

    def _tell_brought_back(self, landing: Landing, tasks: Mapping[str, str], by: str, undo: Undo) -> None:
        self._done.update(tasks)
        if undo.commit in self._facts.known.landings:
            return
        where, key = (undo.at, undo.operation, landing.epic), f"{landing.commit} {undo.commit}"
        for task, commit in tasks.items():
            self._say("task.completed", f"{task} {undo.commit}", *where, task, commit=commit)
        self._say("landing.queued", key, *where)
        self._say(
            "landing.landed",
            key,
            *where,
            commit=undo.commit,
            tree=undo.tree,
            old_commit=undo.old_commit,
            epic_commit=landing.epic_commit or None,
            target=self._facts.history.target,
            strategy=_strategy(landing),
            tasks=list(self._tasks(landing)),
            brings_back=by,
            by=f"human:{undo.author}",
        )

    def _tasks(self, landing: Landing) -> Sequence[str]:
        """The tasks that landed: as its message lists them, else as the plan has them."""
        if landing.tasks:
            return list(landing.tasks)
        epic = self._facts.plan.epic.get(landing.epic) if self._facts.plan else None
        return [task.id for task in epic.tasks] if epic else []

    def _epic(self, task: str) -> str:
        plan = self._facts.plan
        return plan.tasks[task].epic if plan and task in plan.tasks else self._epics.get(task, "")

    def _take(self, task: str, landing: Landing) -> list[Work]:
        """The sessions of a task up to a landing, in order; they are told once."""
        undone = min((undo.at for undo in self._undos if landing.commit in undo.undoes), default=None)
        until = landing.at + _SLACK if undone is None else min(landing.at + _SLACK, undone - _TICK)
        work = self._work[task]
        taken = [each for each in work if each.at <= until and not self._began_after(each, undone)]
        self._work[task] = [each for each in work if each not in taken]
        return sorted(taken, key=_order)

    def _began_after(self, work: Work, undone: datetime | None) -> bool:
        """Whether a session, or one that it was built on, started from the undo of a landing, or later."""
        start = work.base
        while start in self._sessions:
            start = self._sessions[start].base
        return undone is not None and self._places.get(start, _BEFORE) >= undone

    def _tell_work(self, work: Work, run: str, epic: str) -> None:
        if self._facts.known.sessions & {work.session, self._own(work.session)}:
            return
        attempt = self._attempts[work.task] = self._attempts.get(work.task, 0) + 1
        session = self._mine(work.session)
        folder = self._facts.folder / work.session
        state = "completed" if work.counts else "failed"
        where = (work.at, run, epic, work.task, session)
        self._say(
            "session.started",
            session,
            *where,
            attempt=attempt,
            agent="",
            base_commit=work.base or None,
            folder=str(folder) if folder.is_dir() else "",
        )
        self._say(
            "session.finished",
            session,
            *where,
            state=state,
            reason="" if work.counts else f"taken back ({TOLD_BY_GIT})",
            cost_usd=None,
            cost_source="unknown",
            usage=[],
            head_commit=work.head,
            kept_ref=work.kept_ref,
            recovered=True,
        )
        if work.counts:
            self._done[work.task] = work.commit
            self._say("task.completed", work.session, *where[:-1], commit=work.commit)

    def _begin_run(self, name: str, at: datetime, commit: str | None) -> str:
        run = self._run(name)
        if run not in self._runs:
            self._runs.add(run)
            if not self._facts.known.runs & {run, name}:
                target = self._facts.history.target
                self._say("run.started", run, at - _TICK, run, target=target, target_commit=commit)
        return run

    def _end_run(self, name: str, at: datetime) -> None:
        run = self._run(name)
        if run not in self._runs or self._facts.known.runs & {run, name}:
            return
        state = "completed" if name and self._nothing_left(name) else "interrupted"
        self._say("run.finished", run, at, run, state=state, reason=TOLD_BY_GIT)

    def _nothing_left(self, name: str) -> bool:
        """Whether a run can have done everything: a later one followed, or all of the plan has landed."""
        if self._facts.history.landings[-1].run != name:
            return True
        return self._facts.plan is None or self._facts.plan.tasks.keys() <= self._done.keys()

    def _run(self, name: str) -> str:
        """The id of a run, of which git may know no name."""
        return self._mine(name) if _is_uuid(name) else str(uuid5(self._space, name or _NOBODY))

    def _mine(self, identity: str) -> str:
        """An id as it is, unless another clone has brought it into the same store."""
        return self._own(identity) if identity in self._facts.known.others else identity

    def _own(self, identity: str) -> str:
        return str(uuid5(self._space, identity))

    def _say(
        self,
        type_: str,
        key: str,
        at: datetime,
        run: str,
        epic: str = "",
        task: str = "",
        session: str = "",
        **data: Any,
    ) -> None:
        identity = str(uuid5(self._space, f"{type_} {key}"))
        self._events.append(Event(type_, run, epic, task, session, data, identity, at))


def _order(work: Work) -> tuple[bool, datetime]:
    """What counts comes last, whatever the clocks said."""
    return work.counts, work.at


def _strategy(landing: Landing) -> str:
    return "squash" if landing.squashed else "merge"


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def named(history: History) -> Iterator[str]:
    """The ids of runs and sessions that git knows."""
    yield from (landing.run for landing in history.landings if _is_uuid(landing.run))
    yield from (work.session for work in history.work if _is_uuid(work.session))
