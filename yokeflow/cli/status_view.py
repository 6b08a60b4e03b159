"""The state of a project in words: the lines of `yoke status`."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from yokeflow.cli.output import clean, cut, style, width
from yokeflow.cli.words import clock, count, few, first_line, money, short

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Data = Mapping[str, Any]

_MARKS = {
    "proposed": ("○", None),
    "pending": ("○", None),
    "in_progress": ("●", "cyan"),
    "blocked": ("⊘", "yellow"),
    "completed": ("✔", "green"),
    "failed": ("✘", "red"),
    "cancelled": ("–", None),
}
#: Begun, unfinished, and nothing of it runs.
_BEGUN = ("◐", None)


def status_lines(state: Data, columns: int, *, everything: bool = False) -> Iterator[str]:
    """The state in words; tasks of landed epics are left out unless everything is asked for."""
    yield from _head(state)
    live = state["run"] is not None and state["run"]["state"] in {"running", "paused"}
    epics = [item for item in state["items"] if item["kind"] == "epic"]
    landings = {entry["epic"]: entry for entry in state["landings"]}
    asked = {entry["id"] for entry in state["interventions"]}
    name = max((width(item["id"]) for item in state["items"]), default=0)
    tasks_of: defaultdict[str, list[Data]] = defaultdict(list)
    for item in state["items"]:
        tasks_of[item["epic"] or ""].append(item)
    for epic in epics:
        tasks = tasks_of[epic["id"]]
        landing = landings.get(epic["id"], {})
        yield _epic_line(epic, tasks, landing, asked, name, columns, live=live)
        if everything or landing.get("status") != "landed":
            for task in tasks:
                yield _line("   ", task, name, _task_state(task, asked, live=live), columns, live=live)
    yield from _waiting(state, columns)


def _head(state: Data) -> Iterator[str]:
    run = state["run"]
    name = style(clean(state["project"]), bold=True)
    if run is None:
        yield f"{name}: nothing was run yet; `yoke run` starts"
    else:
        run_id = style(run["id"], dim=True)
        yield f"{name}: run {run['state']}, {clock(run['elapsed'])}, cost {money(run['cost_usd'])}  {run_id}"
    tasks = [item for item in state["items"] if item["kind"] != "epic"]
    done = sum(item["status"] == "completed" for item in tasks)
    landed = sum(entry["status"] == "landed" for entry in state["landings"])
    yield f"{done} of {count(len(tasks), 'task')} done, {count(landed, 'epic')} landed"
    yield ""


def _epic_line(
    epic: Data,
    tasks: Sequence[Data],
    landing: Data,
    asked: set[str],
    name: int,
    columns: int,
    *,
    live: bool,
) -> str:
    done = sum(task["status"] in ("completed", "cancelled") for task in tasks)
    match landing.get("status"):
        case "landed":
            told = f"landed {short(landing['commit'] or '')}"
        case "rejected" | "conflict" as status:
            told = f"{status}: {first_line(landing['reason'] or '')}"
        case None:
            told = _waits(epic, asked) or _stopped(epic, tasks, live=live)
        case status:
            told = f"landing: {status}"
    told = f"{told}  {done}/{len(tasks)}" if told else f"{done}/{len(tasks)}"
    works = landing.get("status") in {"queued", "testing"} or any(
        task["status"] == "in_progress" for task in tasks
    )
    return _line("", epic, name + 2, told, columns, live=live and works)


def _stopped(epic: Data, tasks: Sequence[Data], *, live: bool) -> str:
    """What became of an epic that was begun, when no run is going on."""
    if live or epic["status"] != "in_progress":
        return ""
    failed = sum(task["status"] == "failed" for task in tasks)
    return f"stopped, {failed} failed" if failed else "stopped"


def _line(indent: str, item: Data, name: int, told: str, columns: int, *, live: bool) -> str:
    """`live` is whether something of the item may be running."""
    mark, colour = _MARKS[item["status"]]
    if item["status"] == "in_progress" and not live:
        mark, colour = _BEGUN
    told = cut(clean(told), columns // 2)
    size = name if indent else name + 1
    left = f"{indent}{style(mark, fg=colour)} {item['id'].ljust(size)}  "
    # Without the colour, since measuring it is most of the work for thousands of items.
    free = columns - len(indent) - len(mark) - max(width(item["id"]), size) - 3 - width(told)
    title = cut(clean(item["title"]), free - 3) if free > 6 else ""
    space = " " * max(free - width(title) - 1, 1)
    looks: dict[str, Any] = {"bold": True} if not indent else {"dim": True}
    return f"{left}{style(title, **looks)}{space}{style(told, fg=colour) if colour else told}"


def _task_state(task: Data, asked: set[str], *, live: bool) -> str:
    tries = f", attempt {task['attempts']}" if task["attempts"] > 1 else ""
    cost = "" if task["cost_usd"] is None else f"  {money(task['cost_usd'])}"
    match task["status"]:
        case "completed":
            return f"{short(task['commit'] or '')}{cost}"
        case "in_progress":
            return f"{'runs' if live else 'interrupted'}{tries}{cost}"
        case "cancelled":
            return "left out"
        case "failed":
            return f"failed{tries}{cost}"
    return _waits(task, asked)


def _waits(item: Data, asked: set[str]) -> str:
    names = ["you" if name in asked else name for name in item["waits_for"]]
    return f"waits for {few(names)}" if names else ""


def _waiting(state: Data, columns: int) -> Iterator[str]:
    if not state["interventions"]:
        return
    yield ""
    for entry in state["interventions"]:
        item = clean(entry["item"] or "the run")
        reason = cut(clean(first_line(entry["reason"])), max(columns - width(item) - 6, 20))
        yield f"{style('!', fg='yellow', bold=True)} {style(item, bold=True)}  {reason}"
    yield f"  {style('yoke attention', fg='cyan')}  {style('how to answer', dim=True)}"
