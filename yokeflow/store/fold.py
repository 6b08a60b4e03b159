"""The state of a project without its store: what was seen last, and the events since.

A small twin of the projection, for the object of `yoke status --json` alone. Does not import SQLAlchemy.
"""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from yokeflow.events import Event
    from yokeflow.model import Plan

#: What an item becomes by an event about it.
_STATUS: Final = {
    "task.ready": "pending",
    "task.completed": "completed",
    "task.failed": "failed",
    "task.blocked": "blocked",
    "task.skipped": "cancelled",
    "task.reopened": "pending",
    "session.started": "in_progress",
    "epic.completed": "completed",
}
#: What a landing becomes by an event about it.
LANDINGS: Final = {
    "landing.queued": "queued",
    "landing.testing": "testing",
    "landing.landed": "landed",
    "landing.rejected": "rejected",
    "landing.conflicted": "conflict",
    "landing.undone": "undone",
}
#: Why something is as it is, where only git can tell.
TOLD_BY_GIT: Final = "told by git"
_OVER: Final = frozenset({"completed", "cancelled"})
_WAITING: Final = frozenset({"proposed", "pending", "blocked"})


def of_plan(plan: Plan | None, name: str) -> dict[str, Any]:
    """The state of a plan of which nothing was done yet."""
    items: list[dict[str, Any]] = []
    for epic in plan.epics if plan else ():
        items.append(blank_item(epic.id, "epic", None, epic.title))
        items += [blank_item(task.id, "task", epic.id, task.title) for task in epic.tasks]
    lists: tuple[str, ...] = ("landings", "interventions", "forecasts", "hot_files")
    return {"project": name, "run": None, "items": items, **{key: [] for key in lists}}


def blank_item(key: str, kind: str, epic: str | None, title: str) -> dict[str, Any]:
    """An item of the state of which nothing was done yet."""
    return {
        "id": key,
        "kind": kind,
        "epic": epic,
        "title": title,
        "status": "pending",
        "attempts": 0,
        "cost_usd": None,
        "commit": None,
        "waits_for": [],
    }


def fold(
    state: Mapping[str, Any], events: Iterable[Event], *, needs: Mapping[str, Iterable[str]] | None = None
) -> dict[str, Any]:
    """The state after some more events; `needs` are the hard predecessors of items, where they are known."""
    folded = _Fold(deepcopy(dict(state)))
    for event in events:
        folded.apply(event)
    return folded.result(needs)


class _Fold:
    """A state that grows by events."""

    def __init__(self, state: dict[str, Any]) -> None:
        self._state = state
        self._items: dict[str, dict[str, Any]] = {item["id"]: item for item in state["items"]}
        self._landings: dict[str, dict[str, Any]] = {entry["epic"]: entry for entry in state["landings"]}
        self._interventions: dict[str, dict[str, Any]] = {
            entry["id"]: entry for entry in state["interventions"]
        }
        self._started: set[str] = set()

    def apply(self, event: Event) -> None:
        if event.type.startswith("run."):
            self._of_run(event)
        elif event.type.startswith("intervention."):
            self._of_intervention(event)
        elif event.type in LANDINGS:
            self._of_landing(event)
        elif item := self._items.get(event.task or event.epic):
            self._of_item(item, event)

    def result(self, needs: Mapping[str, Iterable[str]] | None) -> dict[str, Any]:
        # Who waits for something that is over by now waits for less.
        over = {key for key, item in self._items.items() if item["status"] in _OVER}
        for item in self._items.values():
            waits = item["waits_for"] if needs is None else self._needed(item, needs)
            open_ones = [name for name in waits if name not in over and self._is_known(name)]
            asked = [key for key, entry in self._interventions.items() if entry["item"] == item["id"]]
            waiting = item["status"] in _WAITING
            item["waits_for"] = sorted({*(open_ones if waiting else ()), *asked})
        self._state["landings"] = list(self._landings.values())
        self._state["interventions"] = list(self._interventions.values())
        return self._state

    def _needed(self, item: Mapping[str, Any], needs: Mapping[str, Iterable[str]]) -> list[str]:
        return [*needs.get(item["id"], ()), *needs.get(item["epic"] or "", ())]

    def _is_known(self, name: str) -> bool:
        """Whether it is an item, not a question that was answered meanwhile."""
        return name in self._items

    def _of_item(self, item: dict[str, Any], event: Event) -> None:
        data = event.data
        if event.type == "session.started":
            if event.session in self._started:
                return
            self._started.add(event.session)
            item["attempts"] = max(item["attempts"] + 1, int(data.get("attempt") or 0))
            epic = self._items.get(item["epic"] or "")
            if epic and epic["status"] not in _OVER:
                epic["status"] = "in_progress"
        if status := _STATUS.get(event.type):
            item["status"] = status
        if event.type in {"task.completed", "task.rebased"}:
            item["commit"] = data.get("commit")
        if event.type == "task.reopened":
            self._reopened(item)
        if event.type == "session.finished":
            self._finished(item, data)

    def _reopened(self, item: dict[str, Any]) -> None:
        item["commit"] = None
        epic = self._items.get(item["epic"] or "")
        if epic and epic["status"] in {*_OVER, "failed", "blocked"}:
            epic["status"] = "in_progress"

    def _finished(self, item: dict[str, Any], data: Mapping[str, Any]) -> None:
        if data.get("state") == "interrupted" and item["status"] == "in_progress":
            item["status"] = "pending"
        cost = data.get("cost_usd")
        run = self._state["run"]
        if cost is None and run is not None:
            run["unknown_costs"] += 1
        for spender in (item, self._items.get(item["epic"] or ""), run):
            if spender is not None and cost is not None:
                spender["cost_usd"] = (spender["cost_usd"] or 0.0) + cost

    def _of_landing(self, event: Event) -> None:
        if event.epic not in self._items:
            return
        data = event.data
        if event.type == "landing.queued":
            # The newest is the last.
            self._landings.pop(event.epic, None)
        entry = self._landings.setdefault(
            event.epic,
            {"epic": event.epic, "status": "", "commit": None, "reason": "", "waits_for": []},
        )
        reason = data.get("reason") or ""
        if event.type == "landing.conflicted":
            reason = f"conflict in {', '.join(data.get('files') or ())}"
        if event.type == "landing.undone":
            reason = f"taken back by {data['commit'][:12]}"
            self._items[event.epic].update(status="in_progress", commit=None)
        entry.update(status=LANDINGS[event.type], reason=reason)
        if event.type in {"landing.testing", "landing.landed"}:
            entry["commit"] = data.get("commit")
        if event.type == "landing.landed":
            self._items[event.epic].update(status="completed", commit=data.get("commit"))

    def _of_run(self, event: Event) -> None:
        run = self._state["run"]
        at = event.at.isoformat()
        if event.type == "run.started":
            strategy = event.data.get("strategy") or ""
            self._state["run"] = {
                "id": event.run, "state": "running", "reason": "", "strategy": strategy, "started": at,
                "elapsed": 0.0, "cost_usd": None, "unknown_costs": 0,
            }  # fmt: skip
        elif run is not None and run["id"] == event.run:
            states = {"run.paused": "paused", "run.continued": "running"}
            run["state"] = states.get(event.type, event.data.get("state") or run["state"])
            if event.type == "run.finished":
                run["reason"] = event.data.get("reason") or ""
            began = datetime.fromisoformat(run["started"])
            run["elapsed"] = max((event.at - began).total_seconds(), 0.0)

    def _of_intervention(self, event: Event) -> None:
        data = event.data
        identity = str(data.get("intervention"))
        if event.type == "intervention.resolved":
            self._interventions.pop(identity, None)
        elif event.type == "intervention.opened":
            self._interventions[identity] = {
                "id": identity, "kind": data.get("kind"), "item": event.task or event.epic or None,
                "reason": data.get("reason") or "", "opened": event.at.isoformat(),
                "choices": list(data.get("choices") or ()),
            }  # fmt: skip
