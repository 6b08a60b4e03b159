"""The single lines of the live view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from yokeflow.cli.advice import answers
from yokeflow.cli.live_items import ACTIVE, Phase
from yokeflow.cli.output import clean
from yokeflow.cli.words import ago, clock, count, first_line, money, queued, short, shortened, waits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from yokeflow.cli.live import LiveState
    from yokeflow.cli.live_items import LiveEpic, LiveTask, Question

_TURNING = "◐◓◑◒"
_ICONS = {
    Phase.WAITING: ("○", "dim"),
    Phase.READY: ("◌", "cyan"),
    Phase.DONE: ("✔", "green"),
    Phase.FAILED: ("✘", "red"),
    Phase.BLOCKED: ("⊘", "yellow"),
    Phase.SKIPPED: ("–", "dim"),
}
_LANDING_ICONS = {
    "landed": ("✔", "green"),
    "rejected": ("✘", "red"),
    "conflict": ("✘", "red"),
    "queued": ("◌", "cyan"),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """Widths that all rows of one picture share."""

    width: int
    #: Column of the ids.
    name: int

    @classmethod
    def of(cls, state: LiveState, width: int) -> Shape:
        """Ids take what they need, up to a third of the line."""
        longest = max((len(name) for name in (*state.tasks, *state.epics)), default=8)
        return cls(width, min(longest, width // 3))


def epic_row(state: LiveState, epic: LiveEpic, now: datetime, shape: Shape) -> Text:
    """An epic: how many of its tasks are done, and where its landing is."""
    icon, look = _epic_icon(epic, now)
    left = Text.assemble((f" {icon} ", look), (_column(epic.epic.id, shape.name + 2), "bold"), "  ")
    left.append(clean(epic.epic.title), "dim" if epic.settled else "")
    status = _epic_status(state, epic, now)
    done = f"{epic.done()}/{len(epic.tasks)}"
    right = status.append("  ") if status else Text()
    return line(left, right.append(done, "default"), shape.width)


def task_row(state: LiveState, task: LiveTask, now: datetime, shape: Shape) -> Text:
    """A task: who does it since when, or what it waits for."""
    icon, look = (_turning(now), "cyan") if task.phase in ACTIVE else _ICONS[task.phase]
    look = "dim" if task.earlier else look
    left = Text.assemble((f"   {icon} ", look), _column(task.task.id, shape.name), "  ")
    left.append(clean(task.task.title), "" if task.phase in ACTIVE else "dim")
    return line(left, _task_status(state, task, now, shape), shape.width)


def summary(icon: str, look: str, epics: Sequence[LiveEpic], word: str, width: int) -> Text:
    """Many epics in one line."""
    tasks = sum(len(epic.tasks) for epic in epics)
    names = ", ".join(epic.epic.id for epic in epics)
    text = Text.assemble((f" {icon} ", look), f"{count(len(epics), 'epic')} {word} ")
    return fitted(text.append(f"({count(tasks, 'task')}): {names}", "dim"), width)


def question(asked: Question, now: datetime, width: int) -> Text:
    """What waits for a person, and the command that answers it."""
    command = answers(asked.item, asked.choices, of_epic=asked.of_epic)[0].command
    left = Text.assemble((" ! ", "bold yellow"), (f"{clean(asked.item)} ", "bold"))
    left.append(clean(first_line(asked.reason)))
    return line(left, Text.assemble((command, "cyan"), f"  {ago(asked.opened, now)}"), width)


def warning(text: str, hint: str, width: int) -> Text:
    """Something that is wrong without stopping anything."""
    said_ = Text.assemble((" ⚠ ", "yellow"), clean(first_line(text)))
    return fitted(said_.append(f"  {clean(hint)}", "dim") if hint else said_, width)


def rule(title: str, width: int) -> Text:
    """A line with a title in it."""
    return Text(f" {title} ".ljust(width - 1, "─"), "dim")


def said(task: str, text: str, name: int, width: int) -> Text:
    """A line that an agent printed."""
    return fitted(Text.assemble((f" {_column(task, name)} │ ", "dim"), _flat(text)), width)


def line(left: Text, right: Text, width: int) -> Text:
    """Left and right text in one line; the left one gives way, and the right one stays under two thirds."""
    right.truncate(width * 2 // 3, overflow="ellipsis")
    room = width - right.cell_len - 3
    left.truncate(max(room, 0), overflow="ellipsis", pad=True)
    return fitted(Text.assemble(left, "  ", right), width)


def fitted(text: Text, width: int) -> Text:
    """Text that cannot wrap."""
    text.truncate(width, overflow="ellipsis")
    text.no_wrap = True
    return text


def _column(text: str, size: int) -> str:
    return shortened(clean(text), size).ljust(size)


def _flat(text: str) -> str:
    return clean(text).replace("\t", "  ").replace("\n", " ")


def _turning(now: datetime) -> str:
    return _TURNING[now.second % len(_TURNING)]


def _epic_icon(epic: LiveEpic, now: datetime) -> tuple[str, str]:
    if epic.landing in _LANDING_ICONS:
        return _LANDING_ICONS[epic.landing]
    if epic.troubled:
        return "✘", "red"
    if epic.active:
        return _turning(now), "bold cyan"
    return ("–", "dim") if epic.settled else ("○", "dim")


def _epic_status(state: LiveState, epic: LiveEpic, now: datetime) -> Text | None:
    match epic.landing:
        case "landed":
            if not epic.commit:
                return Text("landed before", "dim")
            return Text.assemble(("landed ", "green"), (short(epic.commit), "yellow"))
        case "queued":
            return Text(queued(state.lands_after(epic)), "cyan")
        case "testing":
            since = (now - (epic.landing_started or now)).total_seconds()
            return Text(f"landing: checks {clock(since)}", "cyan")
        case "rejected":
            return Text(f"rejected: {_flat(first_line(epic.reason))}", "red")
        case "conflict":
            return Text(f"conflict: {_flat(epic.reason)}", "red")
    if epic.settled:
        return Text("skipped", "dim")
    names = state.epic_waits_for(epic)
    return Text(waits(names), "dim") if names else None


def _task_status(state: LiveState, task: LiveTask, now: datetime, shape: Shape) -> Text:
    match task.phase:
        case Phase.RUNNING | Phase.CHECKING:
            return _working(task, now, shape)
        case Phase.DONE if task.earlier:
            return Text("done before", "dim")
        case Phase.DONE:
            cost = f"{money(task.cost)}  " if task.cost is not None else ""
            tries = f"attempt {task.attempt}  " if task.attempt > 1 else ""
            return Text(f"{tries}{cost}{clock(task.seconds):>6}", "dim")
        case Phase.FAILED:
            return Text(_flat(first_line(task.reason)) or "failed", "red")
        case Phase.BLOCKED:
            return Text(waits(state.waits_for(task)) or "blocked", "yellow")
        case Phase.SKIPPED:
            return Text("skipped", "dim")
    return _not_yet(state, task)


def _working(task: LiveTask, now: datetime, shape: Shape) -> Text:
    who = " ".join(filter(None, (task.agent, task.model)))
    parts = ["checks" if task.phase is Phase.CHECKING else clean(who)]
    if task.lane and task.lane != task.task.epic and shape.width >= 100:
        parts.insert(0, f"lane {clean(task.lane)}")
    if task.attempt > 1:
        parts.append(f"attempt {task.attempt}")
    if task.cost is not None:
        parts.append(money(task.cost))
    running = (now - task.started).total_seconds() if task.started else 0.0
    spent = task.seconds if task.phase is Phase.CHECKING and not task.started else running
    return Text.assemble(("  ".join(parts), "cyan"), f"  {clock(spent):>6}")


def _not_yet(state: LiveState, task: LiveTask) -> Text:
    if any(asked.item == task.task.id for asked in state.questions.values()):
        return Text("waits for you", "yellow")
    if task.reason:
        return Text(f"again after: {_flat(first_line(task.reason))}", "yellow")
    if names := state.waits_for(task):
        return Text(waits(names), "dim")
    return Text("ready", "cyan") if task.phase is Phase.READY else Text("")
