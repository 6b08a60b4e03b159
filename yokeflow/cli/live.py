"""What a run looks like right now, folded from its events. No input, no output, no clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from yokeflow.model import Strength

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from yokeflow.events import Event
    from yokeflow.model import Dependency, Epic, Plan, Task

_OUTPUT_LINES = 40


class Phase(StrEnum):
    """Where a task is on its way."""

    OUTSIDE = "outside"
    """Not part of this run: finished before, or not asked for."""
    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    CHECKING = "checking"
    DONE = "done"
    FAILED = "failed"
    BLOCKED = "blocked"
    SKIPPED = "skipped"


OVER = frozenset({Phase.OUTSIDE, Phase.DONE, Phase.FAILED, Phase.BLOCKED, Phase.SKIPPED})
ACTIVE = frozenset({Phase.RUNNING, Phase.CHECKING})
#: A hard successor need not wait for a task in one of these.
SATISFIED = frozenset({Phase.OUTSIDE, Phase.DONE, Phase.SKIPPED})


@dataclass(slots=True)
class LiveTask:
    """One task of the plan as far as the run got with it."""

    task: Task
    #: Predecessors as the plan names them, those of its epic too.
    predecessors: tuple[str, ...]
    phase: Phase = Phase.WAITING
    attempt: int = 0
    agent: str = ""
    model: str = ""
    lane: str = ""
    #: When the session in progress started.
    started: datetime | None = None
    #: Seconds of all finished sessions.
    seconds: float = 0.0
    #: Dollars of all finished sessions whose cost is known; None while there is none.
    cost: float | None = None
    #: At least one finished session did not say what it cost.
    cost_unknown: bool = False
    #: Why the last attempt did not count, or what blocks it.
    reason: str = ""
    commit: str = ""


@dataclass(slots=True)
class LiveEpic:
    """One epic and its way onto the target branch."""

    epic: Epic
    tasks: list[LiveTask]
    #: A LandingStatus, or empty before it is queued.
    landing: str = ""
    #: When it became that.
    landing_started: datetime | None = None
    commit: str = ""
    reason: str = ""

    @property
    def settled(self) -> bool:
        """Nothing more happens to it by itself."""
        return self.landing == "landed" or not self.in_run

    @property
    def in_run(self) -> bool:
        """This run is about it: about its tasks, or at least its landing."""
        return bool(self.landing) or any(task.phase is not Phase.OUTSIDE for task in self.tasks)

    @property
    def active(self) -> bool:
        """A session or its landing is under way."""
        return self.landing in ("queued", "testing") or any(task.phase in ACTIVE for task in self.tasks)

    @property
    def troubled(self) -> bool:
        """Somebody has to look at it."""
        lost = any(task.phase is Phase.FAILED for task in self.tasks)
        return lost or self.landing in ("rejected", "conflict")

    @property
    def untouched(self) -> bool:
        """Nothing of it has started."""
        idle = (Phase.WAITING, Phase.OUTSIDE, Phase.BLOCKED)
        return not self.landing and all(task.phase in idle for task in self.tasks)

    def done(self) -> int:
        """Number of its tasks that nothing waits for any more."""
        return sum(task.phase in SATISFIED for task in self.tasks)


@dataclass(frozen=True, slots=True)
class Landing:
    """An epic that reached the target branch in this run."""

    epic: str
    commit: str
    at: datetime
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """An open intervention."""

    id: str
    kind: str
    item: str
    #: The item is an epic, not a task.
    of_epic: bool
    reason: str
    choices: tuple[str, ...]
    opened: datetime


@dataclass(slots=True)
class LiveState:
    """All of a run; `apply` takes one event after another."""

    epics: dict[str, LiveEpic]
    tasks: dict[str, LiveTask]
    run: str = ""
    target: str = ""
    concurrency: int = 0
    started: datetime | None = None
    finished: datetime | None = None
    #: State the run ended in, and why.
    outcome: str = ""
    outcome_reason: str = ""
    paused: bool = False
    store_lost: bool = False
    landings: list[Landing] = field(default_factory=list)
    questions: dict[str, Question] = field(default_factory=dict)
    #: Warnings as (text, hint), oldest first.
    warnings: list[tuple[str, str]] = field(default_factory=list)
    #: What agents said last, as (task, text), oldest first.
    output: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=_OUTPUT_LINES))

    @classmethod
    def of(cls, plan: Plan) -> LiveState:
        """The state before the first event."""
        tasks = {task.id: LiveTask(task, _named(plan.epic[task.epic], task)) for task in plan.tasks.values()}
        epics = {epic.id: LiveEpic(epic, [tasks[task.id] for task in epic.tasks]) for epic in plan.epics}
        return cls(epics, tasks)

    def apply(self, event: Event) -> None:
        """Take in one event; unknown types, and items that are not in the plan, change nothing."""
        change = _CHANGES.get(event.type)
        if change is not None:
            change(self, event)

    def running(self) -> list[LiveTask]:
        """Tasks with a session or checks under way, the longest first."""
        active = [task for task in self.tasks.values() if task.phase in ACTIVE]
        return sorted(active, key=lambda task: (task.started is None, task.started))

    def in_run(self) -> list[LiveTask]:
        """Tasks that this run is about."""
        return [task for task in self.tasks.values() if task.phase is not Phase.OUTSIDE]

    def waits_for(self, task: LiveTask) -> list[str]:
        """Predecessors that hold a task up; in a shared lane, the task that has it."""
        open_ones = [name for name in task.predecessors if not self._satisfied(name)]
        if open_ones or task.phase is not Phase.READY:
            return open_ones
        return [other.task.id for other in self.epics[task.task.epic].tasks if other.phase in ACTIVE]

    def epic_waits_for(self, epic: LiveEpic) -> list[str]:
        """Predecessors outside an epic that hold all of its unfinished tasks up."""
        own = {task.task.id for task in epic.tasks} | {epic.epic.id}
        names = [name for task in epic.tasks for name in self.waits_for(task) if name not in own]
        return list(dict.fromkeys(names))

    def predecessors_of(self, epic: str) -> list[str]:
        """Epics of which something has to be done before something of this one."""
        names = [name for task in self.epics[epic].tasks for name in task.predecessors]
        found = [self.tasks[name].task.epic if name in self.tasks else name for name in names]
        return [name for name in dict.fromkeys(found) if name != epic]

    def cost(self) -> tuple[float | None, bool]:
        """Known dollars (None when there are none), and whether some are unknown."""
        known = [task.cost for task in self.tasks.values() if task.cost is not None]
        return (sum(known) if known else None), any(task.cost_unknown for task in self.tasks.values())

    def _satisfied(self, name: str) -> bool:
        if name in self.epics:
            return all(task.phase in SATISFIED for task in self.epics[name].tasks)
        return name not in self.tasks or self.tasks[name].phase in SATISFIED


def _named(epic: Epic, task: Task) -> tuple[str, ...]:
    def hard(edges: tuple[Dependency, ...]) -> Iterator[str]:
        return (edge.predecessor for edge in edges if edge.strength is Strength.HARD)

    return tuple(dict.fromkeys((*hard(task.depends_on), *hard(epic.depends_on))))


def _run_started(state: LiveState, event: Event) -> None:
    state.run, state.started = event.run, event.at
    state.target = event.data.get("target", "")
    state.concurrency = event.data.get("concurrency", 0)
    batches = event.data.get("batches")
    if batches is not None:
        included = {task for batch in batches for task in batch}
        for task in state.tasks.values():
            task.phase = Phase.WAITING if task.task.id in included else Phase.OUTSIDE


def _run_finished(state: LiveState, event: Event) -> None:
    state.finished = event.at
    state.outcome = event.data.get("state", "")
    state.outcome_reason = event.data.get("reason", "")


def _pause(*, paused: bool) -> Callable[[LiveState, Event], None]:
    def change(state: LiveState, _: Event) -> None:
        state.paused = paused

    return change


def _store(*, lost: bool) -> Callable[[LiveState, Event], None]:
    def change(state: LiveState, _: Event) -> None:
        state.store_lost = lost

    return change


def _on_task(change: Callable[[LiveTask, Event], None]) -> Callable[[LiveState, Event], None]:
    def apply(state: LiveState, event: Event) -> None:
        task = state.tasks.get(event.task)
        if task is not None:
            change(task, event)

    return apply


def _on_epic(change: Callable[[LiveEpic, Event], None]) -> Callable[[LiveState, Event], None]:
    def apply(state: LiveState, event: Event) -> None:
        epic = state.epics.get(event.epic)
        if epic is not None:
            change(epic, event)

    return apply


def _phase(phase: Phase) -> Callable[[LiveState, Event], None]:
    def change(task: LiveTask, event: Event) -> None:
        task.phase, task.started = phase, None
        earlier = task.reason if phase is Phase.READY else ""
        task.reason = str(event.data.get("reason", earlier))
        task.commit = str(event.data.get("commit", task.commit))

    return _on_task(change)


def _blocked(task: LiveTask, event: Event) -> None:
    task.phase, task.started = Phase.BLOCKED, None
    task.reason = ", ".join(event.data.get("by", ()))


def _session_started(task: LiveTask, event: Event) -> None:
    data = event.data
    task.phase, task.started = Phase.RUNNING, event.at
    task.attempt, task.lane = data.get("attempt", 1), data.get("lane", "")
    task.agent, task.model = data.get("agent", ""), data.get("model", "")


def _session_finished(task: LiveTask, event: Event) -> None:
    data = event.data
    task.started = None
    task.seconds += data.get("seconds", 0.0)
    cost = data.get("cost_usd")
    task.cost_unknown = task.cost_unknown or cost is None
    if cost is not None:
        task.cost = (task.cost or 0.0) + cost
    if task.phase not in ACTIVE:
        return
    succeeded = data.get("state") == "completed"
    task.phase = Phase.CHECKING if succeeded else Phase.WAITING
    task.reason = "" if succeeded else str(data.get("reason", ""))


def _check_finished(state: LiveState, event: Event) -> None:
    task = state.tasks.get(event.task)
    if task is not None and event.data.get("stage") == "task" and task.phase is Phase.RUNNING:
        task.phase = Phase.CHECKING


def _session_output(state: LiveState, event: Event) -> None:
    text = str(event.data.get("text", ""))
    state.output.extend((event.task, line) for line in text.splitlines()[-_OUTPUT_LINES:] if line.strip())


def _landing(status: str) -> Callable[[LiveState, Event], None]:
    def change(epic: LiveEpic, event: Event) -> None:
        data: dict[str, Any] = dict(event.data)
        epic.landing = status
        epic.landing_started = event.at
        epic.commit = data.get("commit", "") if status == "landed" else ""
        epic.reason = data.get("reason", "") or ", ".join(data.get("files", ()))

    return _on_epic(change)


def _landed(state: LiveState, event: Event) -> None:
    _landing("landed")(state, event)
    commit, tasks = str(event.data.get("commit", "")), tuple(event.data.get("tasks", ()))
    state.landings.append(Landing(event.epic, commit, event.at, tasks))


def _opened(state: LiveState, event: Event) -> None:
    data = event.data
    name = str(data.get("intervention", event.id))
    choices = tuple(data.get("choices", ()))
    item, of_epic = event.task or event.epic, not event.task
    state.questions[name] = Question(
        name, data.get("kind", ""), item, of_epic, data.get("reason", ""), choices, event.at
    )


def _resolved(state: LiveState, event: Event) -> None:
    state.questions.pop(str(event.data.get("intervention", "")), None)


def _warning(state: LiveState, event: Event) -> None:
    state.warnings.append((str(event.data.get("reason", "")), str(event.data.get("hint", ""))))


def _plugin_failed(state: LiveState, event: Event) -> None:
    data = event.data
    text = f"plugin {data.get('plugin')} failed in {data.get('hook')}: {data.get('error')}"
    state.warnings.append((text, "the run goes on without it"))


_CHANGES: dict[str, Callable[[LiveState, Event], None]] = {
    "run.started": _run_started,
    "run.paused": _pause(paused=True),
    "run.continued": _pause(paused=False),
    "run.finished": _run_finished,
    "task.ready": _phase(Phase.READY),
    "task.completed": _phase(Phase.DONE),
    "task.failed": _phase(Phase.FAILED),
    "task.blocked": _on_task(_blocked),
    "task.skipped": _phase(Phase.SKIPPED),
    "task.reopened": _phase(Phase.WAITING),
    "session.started": _on_task(_session_started),
    "session.output": _session_output,
    "session.finished": _on_task(_session_finished),
    "check.finished": _check_finished,
    "landing.queued": _landing("queued"),
    "landing.testing": _landing("testing"),
    "landing.landed": _landed,
    "landing.rejected": _landing("rejected"),
    "landing.conflicted": _landing("conflict"),
    "intervention.opened": _opened,
    "intervention.resolved": _resolved,
    "store.lost": _store(lost=True),
    "store.found": _store(lost=False),
    "warning.raised": _warning,
    "plugin.failed": _plugin_failed,
}
