"""`yoke status`: what is done, what runs, what waits."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yokeflow.cli import options, output
from yokeflow.cli.output import clean, cut, style, width
from yokeflow.cli.words import clock, count, few, first_line, money, short
from yokeflow.engine.glance import glance

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
#: Seconds between two looks of --watch.
_TICK = 1.0


@click.command(
    epilog=options.examples("yoke status", "yoke status --watch", "yoke status --json | jq .items")
)
@options.as_json
@click.option("--watch", is_flag=True, help="Show it again whenever something happens, until ^C.")
@click.option("--all", "everything", is_flag=True, help="Show the tasks of landed epics too.")
def command(*, as_json: bool, watch: bool, everything: bool) -> None:
    """Show every epic and task: how far it is, what it waits for, what it cost."""
    asyncio.run(_status(as_json=as_json, watch=watch, everything=everything))


async def _status(*, as_json: bool, watch: bool, everything: bool) -> None:
    seen: object = None
    over = watch and output.is_terminal(sys.stdout) and not as_json
    while True:
        state = await _state()
        # Time passes always; that alone is news only where it is painted over.
        news = {**state, "run": {**(state["run"] or {}), "elapsed": None}}
        if over or news != seen:
            _show(state, as_json=as_json, everything=everything, over=over)
        if not watch:
            return
        seen = news
        await asyncio.sleep(_TICK)


async def _state() -> dict[str, Any]:
    state = await glance(Path.cwd())
    if state is None:
        # Loaded by name since it takes longer than all the rest, and is seldom needed.
        state = await import_module("yokeflow.cli.opened").project_status()
    return state


def _show(state: Data, *, as_json: bool, everything: bool, over: bool = False) -> None:
    if as_json:
        output.data(state)
    elif over:
        output.repaint(list(status_lines(state, output.columns(), everything=everything)))
    else:
        for line in status_lines(state, output.columns(), everything=everything):
            output.line(line)


def status_lines(state: Data, columns: int, *, everything: bool = False) -> Iterator[str]:
    """The state in words; tasks of landed epics are left out unless everything is asked for."""
    yield from _head(state)
    epics = [item for item in state["items"] if item["kind"] == "epic"]
    landings = {entry["epic"]: entry for entry in state["landings"]}
    asked = {entry["id"] for entry in state["interventions"]}
    name = max((width(item["id"]) for item in state["items"]), default=0)
    for epic in epics:
        tasks = [item for item in state["items"] if item["epic"] == epic["id"]]
        landing = landings.get(epic["id"], {})
        yield _epic_line(epic, tasks, landing, asked, name, columns)
        if everything or landing.get("status") != "landed":
            for task in tasks:
                yield _line("   ", task, name, _task_state(task, asked), columns)
    yield from _waiting(state, columns)


def _head(state: Data) -> Iterator[str]:
    run = state["run"]
    name = style(clean(state["project"]), bold=True)
    if run is None:
        yield f"{name}: nothing was run yet; `yoke run` starts"
    else:
        # The sum of costs that nobody told is 0 in the store, and unknown to people.
        cost = money(run["cost_usd"] or None)
        run_id = style(run["id"], dim=True)
        yield f"{name}: run {run['state']}, {clock(run['elapsed'])}, cost {cost}  {run_id}"
    tasks = [item for item in state["items"] if item["kind"] != "epic"]
    done = sum(item["status"] == "completed" for item in tasks)
    landed = sum(entry["status"] == "landed" for entry in state["landings"])
    yield f"{done} of {count(len(tasks), 'task')} done, {count(landed, 'epic')} landed"
    yield ""


def _epic_line(
    epic: Data, tasks: Sequence[Data], landing: Data, asked: set[str], name: int, columns: int
) -> str:
    done = sum(task["status"] in ("completed", "cancelled") for task in tasks)
    match landing.get("status"):
        case "landed":
            told = f"landed {short(landing['commit'] or '')}"
        case "rejected" | "conflict" as status:
            told = f"{status}: {first_line(landing['reason'] or '')}"
        case None:
            told = _waits(epic, asked)
        case status:
            told = f"landing: {status}"
    return _line(
        "", epic, name + 2, f"{told}  {done}/{len(tasks)}" if told else f"{done}/{len(tasks)}", columns
    )


def _line(indent: str, item: Data, name: int, told: str, columns: int) -> str:
    mark, colour = _MARKS[item["status"]]
    told = cut(clean(told), columns // 2)
    size = name if indent else name + 1
    left = f"{indent}{style(mark, fg=colour)} {item['id'].ljust(size)}  "
    room = columns - width(left) - width(told) - 3
    title = cut(clean(item["title"]), max(room, 0)) if room > 3 else ""
    space = " " * max(columns - width(left) - width(title) - width(told) - 1, 1)
    looks: dict[str, Any] = {"bold": True} if not indent else {"dim": True}
    return f"{left}{style(title, **looks)}{space}{style(told, fg=colour) if colour else told}"


def _task_state(task: Data, asked: set[str]) -> str:
    tries = f", attempt {task['attempts']}" if task["attempts"] > 1 else ""
    cost = f"  {money(task['cost_usd'])}" if task["cost_usd"] else ""
    match task["status"]:
        case "completed":
            return f"{short(task['commit'] or '')}{cost}"
        case "in_progress":
            return f"runs{tries}{cost}"
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
