"""What the plugin knows while a run goes on: evidence as it was at the start, and what was seen since."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from yoke_models.complexity import complexity
from yoke_models.evidence import Cell, Evidence, Tally
from yoke_models.tiers import kind_of, tier_of_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yokeflow.config import Config
    from yokeflow.events import Event
    from yokeflow.model import Plan, Task

_BLAME = ("red_check", "taken_back")


@dataclass(frozen=True, slots=True)
class Group:
    """Sessions that are alike, counted by the store."""

    agent: str
    model: str
    #: As it was stored with the sessions; empty for those that were started without the plugin.
    tier: str
    category: str
    size: str
    #: True and False by what became of the work; None while that is open.
    landed: bool | None
    #: Whether other attempts at their tasks came before.
    again: bool
    sessions: int
    cost: float
    priced: int
    #: Of completed sessions whose landing can still change what is known of them; else empty.
    epic: str = ""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A session, or several alike, whose work has not landed."""

    cell: Cell
    again: bool
    count: int = 1
    #: Counted as failures already.
    blamed: bool = False

    def failures(self, sign: int = 1) -> Tally:
        """What it is to count them as failures, or no longer."""
        return Tally(failures=sign * self.count, again=sign * self.count if self.again else 0)


@dataclass(slots=True)
class Memory:
    """Evidence and failures in one run."""

    config: Config
    tasks: Mapping[str, Task] = field(default_factory=dict)
    evidence: Evidence = field(default_factory=Evidence)
    #: Tiers that failed at a task since it was last opened, by its id.
    failed: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    #: Running sessions.
    _running: dict[str, _Seen] = field(default_factory=dict)
    #: By epic.
    _unlanded: dict[str, list[_Seen]] = field(default_factory=lambda: defaultdict(list))

    def load(self, group: Group) -> None:
        """Count what the store knows."""
        cell = self._cell(group.agent, group.model, group.tier, group.category, group.size)
        if cell is None:
            return
        seen = _Seen(cell, group.again, group.sessions, blamed=group.landed is False)
        self.evidence.add(cell, Tally(cost=group.cost, priced=group.priced))
        if group.landed:
            self.evidence.add(cell, Tally(successes=group.sessions))
        elif seen.blamed:
            self.evidence.add(cell, seen.failures())
        if group.epic:
            self._unlanded[group.epic].append(seen)

    def load_failure(self, task: str, agent: str, model: str, tier: str) -> None:
        """A session failed at a task that is still to be done."""
        if tier := tier_of_session(agent, model, tier, self.config):
            self.failed[task].append(tier)

    def see(self, event: Event) -> None:
        """Take in what happens in the run."""
        match event.type:
            case "session.started":
                self._started(event)
            case "session.finished":
                self._finished(event)
            case "task.reopened":
                self.failed.pop(event.task, None)
            case "landing.landed":
                self._landed(event.epic)
            case "intervention.opened" if event.data.get("kind") in _BLAME and event.epic:
                self._rejected(event.epic)

    def _started(self, event: Event) -> None:
        data, task = event.data, self.tasks.get(event.task)
        if task is None:
            return
        size = data.get("choice", {}).get("size") or complexity(task, self.config.models).size
        words = {name: data.get(name) or "" for name in ("agent", "model", "tier")}
        cell = self._cell(category=task.category, size=size, **words)
        if cell is not None:
            self._running[event.session] = _Seen(cell, again=data.get("attempt", 1) > 1)

    def _finished(self, event: Event) -> None:
        seen, data = self._running.pop(event.session, None), event.data
        state = data.get("state")
        if seen is None or state not in {"completed", "failed"}:
            return
        cost: Any = data.get("cost_usd")
        if cost is not None:
            self.evidence.add(seen.cell, Tally(cost=float(cost), priced=1))
        if state == "failed":
            self.evidence.add(seen.cell, seen.failures())
            self.failed[event.task].append(seen.cell.tier)
        else:
            self._unlanded[event.epic].append(seen)

    def _landed(self, epic: str) -> None:
        for seen in self._unlanded.pop(epic, ()):
            self.evidence.add(seen.cell, Tally(successes=seen.count))
            if seen.blamed:
                self.evidence.add(seen.cell, seen.failures(-1))

    def _rejected(self, epic: str) -> None:
        """What was rejected may be mended and land after all, so it stays in mind."""
        waiting = self._unlanded.get(epic, [])
        for seen in waiting:
            if not seen.blamed:
                self.evidence.add(seen.cell, seen.failures())
        if waiting:
            self._unlanded[epic] = [replace(seen, blamed=True) for seen in waiting]

    def _cell(self, agent: str, model: str, tier: str, category: str, size: str) -> Cell | None:
        tier = tier_of_session(agent, model, tier, self.config)
        return Cell(kind_of(agent, self.config), tier, category, size) if tier else None


def of_plan(config: Config, plan: Plan) -> Memory:
    """A memory of nothing but the plan."""
    return Memory(config, plan.tasks)
