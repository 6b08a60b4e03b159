"""One picture of a run, made to fit a terminal: lines of text from a state, a time and a size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from yokeflow.cli import live_rows as rows
from yokeflow.cli.live_items import ACTIVE, Phase
from yokeflow.cli.output import clean
from yokeflow.cli.words import clock, count, money, spent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from yokeflow.cli.live import LiveState
    from yokeflow.cli.live_items import LiveEpic, LiveTask

_MOST_OUTPUT = 10
_LEAST_OUTPUT = 3
_MOST_QUESTIONS = 3
FOOTER = "^C stops the running sessions, twice kills them"


@dataclass(frozen=True, slots=True)
class Fold:
    """How much of the epics is left out to save lines; each field leaves out more."""

    #: Tasks of epics that are over.
    over: bool = False
    #: Tasks of epics that have not begun.
    untouched: bool = False
    #: Epics that are over become one line together.
    all_over: bool = False
    #: Epics that have not begun become one line together, but for as many as there is room for.
    all_untouched: bool = False
    #: Tasks that are neither active nor failed.
    quiet: bool = False
    #: Every epic that is neither active nor in trouble goes into those lines.
    all_idle: bool = False


FOLDS = (
    Fold(),
    Fold(over=True),
    Fold(over=True, untouched=True),
    Fold(over=True, untouched=True, all_over=True),
    Fold(over=True, untouched=True, all_over=True, all_untouched=True),
    Fold(over=True, untouched=True, all_over=True, all_untouched=True, quiet=True),
    Fold(over=True, untouched=True, all_over=True, all_untouched=True, quiet=True, all_idle=True),
)


def frame(state: LiveState, now: datetime, width: int, height: int, notice: str = "") -> list[Text]:
    """At most `height` lines, none wider than `width`."""
    head = [_head(state, now, width), _bar(state, width)]
    questions = _questions(state, now, width, height)
    saying = [(task, text) for task, text in state.output if task in state.tasks]
    reserved = min(len(saying), _LEAST_OUTPUT) + 1 if saying and height >= 16 else 0
    room = height - len(head) - len(questions) - 1 - reserved
    body = _epics(state, now, width, max(room, 1))
    spare = height - len(head) - len(questions) - 1 - len(body)
    said = _output(saying, width, min(spare - 1, _MOST_OUTPUT))
    blank = [Text() for _ in range(spare - len(said))]
    lines = [*head, *body, *questions, *blank, *said, _footer(state, notice, width)]
    return lines[:height]


def _head(state: LiveState, now: datetime, width: int) -> Text:
    started = state.started or now
    known, unknown = state.cost()
    skipped = state.skipped()
    facts = [f"{state.done()}/{len(state.tasks)} tasks", f"{state.landed()}/{len(state.epics)} landed"]
    if skipped:
        facts[0] += f" ({skipped} skipped)"
    if known is not None or state.budget is not None:
        of = "" if state.budget is None else f" of {money(state.budget)}"
        facts.append(spent(known if unknown else known or 0.0, unknown=unknown) + of)
    facts.append(clock(((state.finished or now) - started).total_seconds()))
    left = Text.assemble((" yoke run", "bold"), ("  onto ", "dim"), clean(state.target or "…"))
    running = len(state.running())
    if running and width >= 70:
        left.append(f"  {running} of {state.concurrency} busy" if state.concurrency else "", "dim")
    return rows.line(left, Text(" · ".join(facts)), width)


def _bar(state: LiveState, width: int) -> Text:
    total, size = max(len(state.tasks), 1), width - 2
    ends = []
    reached = 0
    for phases, look in (
        ((Phase.DONE, Phase.SKIPPED), "green"),
        ((Phase.FAILED,), "red"),
        (tuple(ACTIVE), "cyan"),
    ):
        reached += sum(task.phase in phases for task in state.tasks.values())
        ends.append((reached * size // total, look))
    bar, start = Text(" "), 0
    for end, look in ends:
        bar.append("━" * (end - start), look)
        start = end
    return bar.append("─" * (size - start), "dim")


def _epics(state: LiveState, now: datetime, width: int, room: int) -> list[Text]:
    lines: list[Text] = []
    for fold in FOLDS:
        lines = _folded(state, now, width, fold)
        if len(lines) <= room:
            return _folded(state, now, width, fold, spare=room - len(lines))
    hidden = len(lines) - room + 1
    more = Text(f"   … {count(hidden, 'line')} more: make the window higher", "dim")
    return [*lines[: room - 1], rows.fitted(more, width)]


def _folded(state: LiveState, now: datetime, width: int, fold: Fold, spare: int = 0) -> list[Text]:
    shape = rows.Shape.of(state, width)
    lines: list[Text] = []
    over: list[LiveEpic] = []
    idle: list[LiveEpic] = []
    for epic in state.epics.values():
        quiet = fold.all_idle and not epic.active and not epic.troubled
        if fold.all_over and epic.settled:
            over.append(epic)
        elif spare < 1 and ((fold.all_untouched and epic.untouched) or quiet):
            idle.append(epic)
        else:
            spare -= epic.untouched or quiet
            lines.append(rows.epic_row(state, epic, now, shape))
            lines += (rows.task_row(state, task, now, shape) for task in _shown(epic, fold))
    if over:
        lines.insert(0, rows.summary("✔", "green", over, "over", width))
    if idle:
        lines.append(rows.summary("○", "dim", idle, "waiting", width))
    return lines


def _shown(epic: LiveEpic, fold: Fold) -> Iterable[LiveTask]:
    if (fold.over and epic.settled) or (fold.untouched and epic.untouched):
        return ()
    if fold.quiet:
        return [task for task in epic.tasks if task.phase in ACTIVE or task.phase is Phase.FAILED]
    return epic.tasks


def _questions(state: LiveState, now: datetime, width: int, height: int) -> list[Text]:
    lines = [rows.question(question, now, width) for question in state.questions.values()]
    most = min(_MOST_QUESTIONS, max(height // 6, 1))
    if len(lines) > most:
        lines = [*lines[: most - 1], Text(f" ! {len(lines) - most + 1} more: yoke attention", "yellow")]
    if state.warnings:
        text, hint = state.warnings[-1]
        lines.append(rows.warning(text, hint, width))
    return lines


def _output(saying: Sequence[tuple[str, str]], width: int, most: int) -> list[Text]:
    if most < 1 or not saying:
        return []
    shown = saying[-most:]
    name = min(max(len(task) for task, _ in shown), width // 4)
    lines = [rows.rule("what the agents say", width)]
    return [*lines, *(rows.said(task, text, name, width) for task, text in shown)]


def _footer(state: LiveState, notice: str, width: int) -> Text:
    parts: list[tuple[Callable[[], bool], str, str]] = [
        (lambda: bool(notice), notice, "bold yellow"),
        (lambda: state.store_lost, "the store is down; all is kept in the journal", "yellow"),
        (lambda: state.paused, "paused: `yoke resume` goes on", "yellow"),
    ]
    for applies, text, look in parts:
        if applies():
            return rows.fitted(Text(f" {text}", look), width)
    return rows.fitted(Text(f" {FOOTER}", "dim"), width)
