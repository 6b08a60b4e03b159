"""The state of a project in words: the lines of `yoke status`."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING, Any

from yokeflow.cli.forecast_view import forecast_lines
from yokeflow.cli.origin import origin_lines
from yokeflow.cli.output import clean, cut, style, width
from yokeflow.cli.words import clock, count, first_line, money, number_done, queued, short, spent, waits
from yokeflow.store.fold import TOLD_BY_GIT

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
#: Of epics, whose work counts only where it landed.
_LANDINGS = {
    "landed": ("✔", "green"),
    "rejected": ("✘", "red"),
    "conflict": ("✘", "red"),
    "queued": ("◌", "cyan"),
    "testing": ("●", "cyan"),
}
_DONE = frozenset({"completed", "cancelled"})
_IDLE = frozenset({"proposed", "pending", "blocked"})
#: What comes before and after the title of an epic, and of a task.
_EPIC = style("|", bold=True).split("|")
_TASK = style("|", dim=True).split("|")
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
                told = _task_state(task, asked, _lane(state, tasks) if live else [], live=live)
                yield _line("   ", task, name, told, columns, _mark(task, live=live))
    yield from forecast_lines(state, columns)
    yield from _waiting(state, columns)


def _head(state: Data) -> Iterator[str]:
    yield from origin_lines(state.get("source", {}))
    run = state["run"]
    name = style(clean(state["project"]), bold=True)
    if run is None:
        yield f"{name}: nothing was run yet; `yoke run` starts"
    elif run.get("reason") == TOLD_BY_GIT:
        yield f"{name}: rebuilt from git, which knows no costs and no times of runs"
    else:
        run_id = style(run["id"], dim=True)
        cost = spent(run["cost_usd"], unknown=run["unknown_costs"] > 0)
        yield f"{name}: run {run['state']}, {clock(run['elapsed'])}, cost {cost}  {run_id}"
    tasks = [item for item in state["items"] if item["kind"] != "epic"]
    done = sum(item["status"] in _DONE for item in tasks)
    skipped = sum(item["status"] == "cancelled" for item in tasks)
    landed = sum(entry["status"] == "landed" for entry in state["landings"])
    yield f"{number_done(done, skipped, len(tasks), 'task')}, {count(landed, 'epic')} landed"
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
    done = sum(task["status"] in _DONE for task in tasks)
    match landing.get("status"):
        case "landed":
            told = f"landed {short(landing['commit'] or '')}"
        case "rejected" | "conflict" as status:
            told = f"{status}: {first_line(landing['reason'] or '').removeprefix('conflict in ')}"
        case "undone":
            told = _epic_waits(epic, tasks, asked) or "undone"
        case None:
            told = _epic_waits(epic, tasks, asked) or _stopped(epic, tasks, live=live)
        case "queued" if asked.intersection(epic["waits_for"]):
            told = "waits for you to land"
        case "queued":
            told = queued(landing.get("waits_for", ()))
        case _:
            told = "landing: checks"
    told = f"{told}  {done}/{len(tasks)}" if told else f"{done}/{len(tasks)}"
    return _line("", epic, name + 2, told, columns, _epic_mark(epic, tasks, landing, live=live))


def _epic_mark(epic: Data, tasks: Sequence[Data], landing: Data, *, live: bool) -> tuple[str, str | None]:
    """The same as in the live view."""
    if landing and landing["status"] != "undone":
        return _LANDINGS[landing["status"]]
    states = {task["status"] for task in tasks}
    if states == {"cancelled"}:
        return _MARKS["cancelled"]
    if "failed" in states:
        return _MARKS["failed"]
    return _mark(epic, live=live and "in_progress" in states)


def _mark(item: Data, *, live: bool) -> tuple[str, str | None]:
    """`live` is whether something of the item may be running."""
    return _BEGUN if item["status"] == "in_progress" and not live else _MARKS[item["status"]]


def _epic_waits(epic: Data, tasks: Sequence[Data], asked: set[str]) -> str:
    """What is outside an epic and holds it up, when nothing of it can start."""
    open_ones = [task for task in tasks if task["status"] not in _DONE]
    if not all(task["status"] in _IDLE and task["waits_for"] for task in open_ones):
        return ""
    own = {task["id"] for task in tasks} | {epic["id"]}
    return _waits({"waits_for": sorted({name for t in open_ones for name in t["waits_for"]} - own)}, asked)


def _lane(state: Data, tasks: Sequence[Data]) -> list[str]:
    """The tasks that have the lane of their epic, where epics have one each."""
    shared = (state["run"] or {}).get("strategy") == "by_epic"
    return [task["id"] for task in tasks if task["status"] == "in_progress"] if shared else []


def _stopped(epic: Data, tasks: Sequence[Data], *, live: bool) -> str:
    """What became of an epic that was begun, when no run is going on."""
    if live or epic["status"] != "in_progress":
        return ""
    failed = sum(task["status"] == "failed" for task in tasks)
    return f"stopped, {failed} failed" if failed else "stopped"


def _line(indent: str, item: Data, name: int, told: str, columns: int, look: tuple[str, str | None]) -> str:
    mark, colour = look
    size = name if indent else name + 1
    taken = len(indent) + max(width(item["id"]), size)
    told, told_width = _fitted(told, max(min(columns // 2, columns - taken - 5), 12))
    free = columns - len(mark) - taken - 3 - told_width
    title, title_width = _fitted(item["title"], free - 3) if free > 6 else ("", 0)
    left = f"{indent}{_coloured(mark, colour)} {item['id'].ljust(size)}  "
    before, after = _TASK if indent else _EPIC
    if not told:
        return f"{left}{before}{title}{after}" if title else left.rstrip()
    space = " " * max(free - title_width - 1, 1)
    return f"{left}{before}{title}{after}{space}{style(told, fg=colour) if colour else told}"


def _fitted(text: str, room: int) -> tuple[str, int]:
    """Text of others in a room of so many columns, and its width."""
    # Most texts are innocent and short: to see that at once is most of the work saved for thousands of items.
    if len(text) <= room and text.isascii() and text.isprintable():
        return text, len(text)
    text = cut(clean(text), room)
    return text, width(text)


@cache
def _coloured(mark: str, colour: str | None) -> str:
    return style(mark, fg=colour)


def _task_state(task: Data, asked: set[str], lane: Sequence[str], *, live: bool) -> str:
    tries = f", attempt {task['attempts']}" if task["attempts"] > 1 else ""
    cost = "" if task["cost_usd"] is None else f"  {money(task['cost_usd'])}"
    match task["status"]:
        case "completed":
            return f"{short(task['commit'] or '')}{cost}"
        case "in_progress":
            return f"{'runs' if live else 'interrupted'}{tries}{cost}"
        case "cancelled":
            return "skipped"
        case "failed":
            return f"failed{tries}{cost}"
    names = task["waits_for"] or lane
    return _waits({"waits_for": names}, asked) or ("ready" if live else "")


def _waits(item: Data, asked: set[str]) -> str:
    return waits(list(dict.fromkeys("you" if name in asked else name for name in item["waits_for"])))


def _waiting(state: Data, columns: int) -> Iterator[str]:
    if not state["interventions"]:
        return
    yield ""
    for entry in state["interventions"]:
        item = clean(entry["item"] or "the run")
        reason = cut(clean(first_line(entry["reason"])), max(columns - width(item) - 6, 20))
        yield f"{style('!', fg='yellow', bold=True)} {style(item, bold=True)}  {reason}"
    yield f"  {style('yoke attention', fg='cyan')}  {style('how to answer', dim=True)}"
