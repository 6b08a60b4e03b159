"""What a run looks like right now, folded from its events. No input, no output, no clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from yokeflow.cli.lines import describe
from yokeflow.cli.live_items import ACTIVE, SATISFIED, Landing, LiveEpic, LiveTask, Phase, Question
from yokeflow.cli.words import last_lines
from yokeflow.engine.landing.order import landing_order
from yokeflow.model import Strength

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from yokeflow.engine.landing.order import LandingOrder
    from yokeflow.events import Event
    from yokeflow.model import Dependency, Epic, Plan, Task

_OUTPUT_LINES = 40


@dataclass(slots=True)
class LiveState:
    """All of a run; `apply` takes one event after another."""

    epics: dict[str, LiveEpic]
    tasks: dict[str, LiveTask]
    order: LandingOrder
    run: str = ""
    target: str = ""
    strategy: str = ""
    concurrency: int = 0
    #: Dollars the run may spend; None for no limit.
    budget: float | None = None
    started: datetime | None = None
    finished: datetime | None = None
    #: State the run ended in, and why.
    outcome: str = ""
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
        return cls(epics, tasks, landing_order(plan))

    def apply(self, event: Event) -> None:
        """Take in one event; unknown types, and items that are not in the plan, change nothing."""
        change = _CHANGES.get(event.type)
        if change is not None:
            change(self, event)

    def running(self) -> list[LiveTask]:
        """Tasks with a session or checks under way, the longest first."""
        active = [task for task in self.tasks.values() if task.phase in ACTIVE]
        return sorted(active, key=lambda task: (task.started is None, task.started))

    def done(self) -> int:
        """Number of tasks that nothing waits for any more, whichever run did them."""
        return sum(epic.done() for epic in self.epics.values())

    def skipped(self) -> int:
        """Number of tasks that were left out."""
        return sum(task.phase is Phase.SKIPPED for task in self.tasks.values())

    def landed(self) -> int:
        """Number of epics on the target branch, whichever run landed them."""
        return sum(epic.landing == "landed" for epic in self.epics.values())

    def waits_for(self, task: LiveTask) -> list[str]:
        """Predecessors that hold an unfinished task up; in a lane of its epic, the task that has it."""
        if task.phase in SATISFIED:
            return []
        open_ones = sorted(name for name in task.predecessors if not self._satisfied(name))
        if open_ones or task.phase is not Phase.READY or self.strategy != "by_epic":
            return open_ones
        return [other.task.id for other in self.epics[task.task.epic].tasks if other.phase in ACTIVE]

    def epic_waits_for(self, epic: LiveEpic) -> list[str]:
        """What is outside an epic and holds it up, when nothing of it can start."""
        if not epic.stalled:
            return []
        own = {task.task.id for task in epic.tasks} | {epic.epic.id}
        return sorted({name for task in epic.tasks for name in self.waits_for(task)} - own)

    def lands_after(self, epic: LiveEpic) -> list[str]:
        """Epics that must land before this one."""
        finished = {name for name, each in self.epics.items() if each.finished}
        landed = {name for name, each in self.epics.items() if each.settled}
        return self.order.waits_for(epic.epic.id, finished, landed)

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
            return self.epics[name].finished
        return name not in self.tasks or self.tasks[name].phase in SATISFIED


def _named(epic: Epic, task: Task) -> tuple[str, ...]:
    def hard(edges: tuple[Dependency, ...]) -> Iterator[str]:
        return (edge.predecessor for edge in edges if edge.strength is Strength.HARD)

    return tuple(dict.fromkeys((*hard(task.depends_on), *hard(epic.depends_on))))


def _run_started(state: LiveState, event: Event) -> None:
    state.run, state.started = event.run, event.at
    state.target = event.data.get("target", "")
    state.strategy = event.data.get("strategy", "")
    state.concurrency = event.data.get("concurrency", 0)
    state.budget = event.data.get("budget_usd")
    batches = event.data.get("batches")
    if batches is not None:
        included = {task for batch in batches for task in batch}
        _take_over_tasks(state, included, event.data.get("before", {}))
        _take_over_epics(state, event)


def _take_over_tasks(state: LiveState, included: set[str], before: Mapping[str, Any]) -> None:
    """What is not in any batch was done in an earlier run."""
    skipped, failed = set(before.get("skipped", ())), before.get("failed", {})
    for name, task in state.tasks.items():
        task.earlier = name not in included
        task.phase = Phase.WAITING
        if task.earlier:
            task.phase = Phase.SKIPPED if name in skipped else Phase.DONE
        elif name in failed:
            task.phase, task.reason = Phase.FAILED, str(failed[name])


def _take_over_epics(state: LiveState, event: Event) -> None:
    before = event.data.get("before", {})
    for name, epic in state.epics.items():
        if name in before.get("held", {}):
            held = before["held"][name]
            epic.landing = "conflict" if held["kind"] == "conflict" else "rejected"
            epic.reason = str(held["reason"])
        elif name in before.get("landed", ()) and not all(t.phase is Phase.SKIPPED for t in epic.tasks):
            epic.landing = "landed"
        elif epic.finished and not epic.settled:
            epic.landing, epic.landing_started = "queued", event.at


def _run_finished(state: LiveState, event: Event) -> None:
    state.finished = event.at
    state.outcome = event.data.get("state", "")


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


def _session_finished(state: LiveState, event: Event) -> None:
    task, data = state.tasks.get(event.task), event.data
    if task is None:
        return
    if data.get("state") == "failed":
        shown = {text for name, text in state.output if name == event.task}
        state.output.extend((event.task, line) for line in last_lines(data) if line not in shown)
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


#: Kinds of questions after which a task is neither at work nor failed.
_WORDS_WANTED = {"approval", "question"}


def _opened(state: LiveState, event: Event) -> None:
    data = event.data
    name = str(data.get("intervention", event.id))
    choices = tuple(data.get("choices", ()))
    item, of_epic = event.task or event.epic, not event.task
    task = state.tasks.get(event.task)
    if task is not None and data.get("kind") in _WORDS_WANTED:
        task.phase, task.started, task.reason = Phase.WAITING, None, ""
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


def _budget_warned(state: LiveState, event: Event) -> None:
    state.warnings.append((describe(event)[0], "`yoke cost` shows what was spent on what"))


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
    "session.finished": _session_finished,
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
    "budget.warned": _budget_warned,
    "plugin.failed": _plugin_failed,
}
