"""All about one item without its store: what is known of its state, and the events since.

A small twin of the projection, for the object of `yoke show --json` alone. Does not import SQLAlchemy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from yokeflow.store.fold import LANDINGS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from yokeflow.events import Event
    from yokeflow.model import Dependency, Plan, Task

    Data = Mapping[str, Any]

#: What the plan says of a task, and what holds of everything else.
_PLANNED: Final = {"prompt": "", "run": "", "category": "", "priority": 5, "estimate": None}
_OVER: Final = frozenset({"completed", "cancelled"})
_LANDING_OVER: Final = frozenset({"landed", "rejected", "conflict", "undone"})
#: What is left out where it is empty.
_UNSAID: Final = frozenset({"profile", "tier", "model_reason", "cost_source"})
#: By these an item is done, or need not be.
_ENDS: Final = frozenset({"task.completed", "task.skipped", "epic.completed", "landing.landed"})
_OF_SESSION: Final[tuple[tuple[str, Any], ...]] = (
    ("agent", ""), ("model", ""), ("profile", None), ("tier", None), ("model_reason", None),
    ("base_commit", None), ("folder", ""), ("attempt", 1),
)  # fmt: skip
_OF_END: Final[tuple[tuple[str, Any], ...]] = (
    ("state", "running"), ("reason", ""), ("exit_code", None), ("seconds", None), ("cost_usd", None),
    ("cost_source", None), ("usage", []), ("head_commit", None), ("kept_ref", None), ("answer", ""),
)  # fmt: skip
_BLANK_LANDING: Final[Mapping[str, Any]] = {
    "status": "queued", "commit": None, "target": "", "strategy": "", "reason": "", "output": "",
    "files": [], "seconds": None, "queued": None, "finished": None,
}  # fmt: skip


def fold_item(state: Data, plan: Plan | None, events: Sequence[Event], key: str) -> dict[str, Any] | None:
    """The object of `yoke show --json`; None for an item that the state does not have.

    `state` is the object of `yoke status --json`. What nobody knows is empty.
    """
    known = {item["id"]: item for item in state["items"]}
    item = known.get(key)
    if item is None:
        return None
    task = plan.tasks.get(key) if plan else None
    own = [event for event in events if (event.task or event.epic) == key]
    tasks = [each for each in state["items"] if each["epic"] == key]
    family = {key, *(each["id"] for each in tasks)}
    sessions = _sessions(events, key)
    commits = [each["commit"] for each in (*tasks, item) if each["commit"]]
    return {
        **{name: item[name] for name in ("id", "kind", "epic", "title", "status")},
        "reason": _reason(own, item["status"]),
        **{name: getattr(task, name, blank) for name, blank in _PLANNED.items()},
        **{name: item[name] for name in ("attempts", "cost_usd", "commit")},
        "unknown_costs": _unknown_costs(events, family),
        "started": _started(events, family),
        "completed": _ended(own) if item["status"] in _OVER else None,
        "in_plan": plan is not None and key in plan.ids,
        "depends_on": _depends_on(plan, task, item, known),
        "tasks": [{name: each[name] for name in ("id", "title", "status", "commit")} for each in tasks],
        "sessions": sessions,
        "checks": _checks(own, events, {each["id"]: each["attempt"] for each in sessions}),
        "commits": commits,
        "recorded": _recorded(own, events),
        "landings": _landings(own, state, key),
        "interventions": _interventions(own, events, state, key),
    }


def _reason(own: Sequence[Event], status: str) -> str:
    """Why it is blocked or failed, or was left out."""
    ends = {"failed": "task.failed", "blocked": "task.blocked", "cancelled": "task.skipped"}
    for event in reversed(own):
        if event.type == ends.get(status):
            by = event.data.get("by")
            blocked = f"waits for {', '.join(by or ())}"
            return blocked if status == "blocked" else str(event.data.get("reason") or "")
    return ""


def _unknown_costs(events: Sequence[Event], family: set[str]) -> int:
    """How many of the sessions that are over have told no cost."""
    ends = (event for event in events if event.type == "session.finished" and event.task in family)
    return sum(event.data.get("cost_usd") is None for event in ends)


def _started(events: Sequence[Event], family: set[str]) -> str | None:
    starts = (event.at for event in events if event.type == "session.started" and event.task in family)
    first = min(starts, default=None)
    return first.isoformat() if first else None


def _ended(own: Sequence[Event]) -> str | None:
    last = max((event.at for event in own if event.type in _ENDS), default=None)
    return last.isoformat() if last else None


def _depends_on(
    plan: Plan | None, task: Task | None, item: Data, known: Mapping[str, Data]
) -> list[dict[str, Any]]:
    """What has to be done before, by the plan: what it says of the item, then of its epic."""
    if plan is None:
        return []
    epic = plan.epic.get(item["epic"] or item["id"])
    edges: list[tuple[str, Sequence[Dependency]]] = [(task.id, task.depends_on)] if task else []
    edges += [(epic.id, epic.depends_on)] if epic else []
    return [
        {
            "id": edge.predecessor,
            "type": edge.strength.value,
            "reason": edge.reason,
            "status": known.get(edge.predecessor, {"status": "pending"})["status"],
            "of": of,
        }
        for of, found in edges
        for edge in sorted(found, key=lambda each: each.predecessor)
    ]


def _sessions(events: Sequence[Event], key: str) -> list[dict[str, Any]]:
    """Its attempts; every one has the place among all sessions of the project that are known."""
    found: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.type == "session.started":
            found.setdefault(event.session, _begun(event, len(found) + 1))
        elif event.type == "session.finished" and event.session in found:
            session = found[event.session]
            session |= _said(event.data, _OF_END)
            session["finished"] = event.at.isoformat()
    return [
        {name: value for name, value in session.items() if name != "task"}
        for session in found.values()
        if session["task"] == key
    ]


def _begun(event: Event, number: int) -> dict[str, Any]:
    return {
        "id": event.session,
        "task": event.task,
        "run": event.run,
        "number": number,
        "started": event.at.isoformat(),
        "finished": None,
        **_said(event.data, (*_OF_SESSION, *_OF_END)),
    }


def _said(data: Data, names: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """What an event says, or a blank for what it leaves out."""
    said = {name: data.get(name, blank) for name, blank in names}
    return {name: None if value == "" and name in _UNSAID else value for name, value in said.items()}


def _checks(
    own: Sequence[Event], events: Sequence[Event], attempts: Mapping[str, int]
) -> list[dict[str, Any]]:
    made = {event.id: event for event in events if event.type == "check.finished"}
    found: list[dict[str, Any]] = []
    landing: str | None = None
    for event in own:
        if event.type == "landing.queued":
            landing = event.id
        elif event.type == "check.finished":
            found.append(_check(event, made.get(str(event.data.get("source"))), attempts, landing))
    return found


def _check(
    event: Event, source: Event | None, attempts: Mapping[str, int], landing: str | None
) -> dict[str, Any]:
    data = event.data
    names = ("stage", "command", "tree", "passed", "exit_code", "seconds")
    return {
        "session": event.session or None,
        "landing": landing if data.get("stage") == "landing" else None,
        **{name: data.get(name) for name in names},
        "environment": data.get("environment") or "",
        "flaky": bool(data.get("flaky")),
        "tries": data.get("tries", int(not data.get("reused"))),
        "log": data.get("log") or "",
        "at": event.at.isoformat(),
        "reused": _reused(source, attempts) if source else None,
    }


def _reused(source: Event, attempts: Mapping[str, int]) -> dict[str, Any]:
    return {
        "check": source.id,
        "item": source.task or source.epic,
        "session": source.session or None,
        "attempt": attempts.get(source.session),
        "landing": None,
        "at": source.at.isoformat(),
        "seconds": source.data.get("seconds"),
        "log": source.data.get("log") or "",
    }


def _recorded(own: Sequence[Event], events: Sequence[Event]) -> list[dict[str, Any]]:
    """Commits that git hooks told of."""
    replaced = {event.data.get("commit"): event for event in events if event.type == "commit.replaced"}
    found: dict[str, dict[str, Any]] = {}
    for event in own:
        if event.type in {"commit.recorded", "merge.recorded"}:
            data, by = event.data, replaced.get(event.data.get("commit"))
            found[str(data.get("commit"))] = {
                "commit": data.get("commit"),
                "kind": event.type.partition(".")[0],
                **{name: data.get(name) or "" for name in ("subject", "author", "writer", "branch")},
                "session": event.session,
                "at": event.at.isoformat(),
                "replaced": by.at.isoformat() if by else None,
                "replaced_by": by.data.get("by") if by else None,
                "replaced_how": by.data.get("how") or "gone" if by else "",
            }
    return list(found.values())


def _landings(own: Sequence[Event], state: Data, key: str) -> list[dict[str, Any]]:
    """Every time it was to land; of the last one the state alone may know."""
    found: list[dict[str, Any]] = []
    for event in own:
        if event.type == "landing.queued":
            if found and found[-1]["status"] not in _LANDING_OVER:
                found[-1] |= {"status": "rejected", "reason": "queued again"}
            found.append(_queued(event))
        elif event.type == "landing.undone":
            _take_back(found, event)
        elif event.type in LANDINGS and found:
            found[-1] |= _landing_change(event)
    told = next((entry for entry in state["landings"] if entry["epic"] == key), None)
    if not found and told:
        found = [
            {"id": None, **_BLANK_LANDING, **{name: told[name] for name in ("status", "commit", "reason")}}
        ]
    return found


def _queued(event: Event) -> dict[str, Any]:
    return {"id": event.id, **_BLANK_LANDING, "queued": event.at.isoformat()}


def _landing_change(event: Event) -> dict[str, Any]:
    data, status = event.data, LANDINGS[event.type]
    names = ("commit", "target", "strategy", "seconds", "reason", "output", "files")
    change = {name: data[name] for name in names if name in data} | {"status": status}
    if status == "conflict":
        files = ", ".join(data.get("files") or ())
        change["reason"] = f"conflict in {files}" if files else "conflict"
    if status in _LANDING_OVER:
        change["finished"] = event.at.isoformat()
    return change


def _take_back(found: Sequence[dict[str, Any]], event: Event) -> None:
    for landing in found:
        if landing["status"] == "landed" and landing["commit"] == event.data.get("landing"):
            landing |= {"status": "undone", "reason": f"taken back by {event.data['commit'][:12]}"}


def _interventions(
    own: Sequence[Event], events: Sequence[Event], state: Data, key: str
) -> list[dict[str, Any]]:
    """What was asked about it; that something still waits, the state knows as well."""
    found = {
        entry["id"]: {**_asked(entry), "opened": entry["opened"]}
        for entry in state["interventions"]
        if entry["item"] == key
    }
    for event in own:
        if event.type == "intervention.opened":
            name = str(event.data.get("intervention"))
            found[name] = {**_asked({**event.data, "id": name}), "opened": event.at.isoformat()}
    for event in events:
        entry = found.get(str(event.data.get("intervention")))
        if event.type == "intervention.resolved" and entry and not entry["resolved"]:
            told = {"choice": event.data.get("choice"), "by": event.data.get("by")}
            entry |= {"resolved": event.at.isoformat(), **told}
    return sorted(found.values(), key=lambda entry: (entry["opened"], entry["id"]))


def _asked(entry: Data) -> dict[str, Any]:
    told = {"id": entry["id"], "kind": entry.get("kind"), "reason": entry.get("reason") or ""}
    return {**told, "choices": list(entry.get("choices") or ()), "resolved": None, "choice": None, "by": None}
