"""The last word of a run: what landed, what did not and what to do about it, what it took."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.cli.advice import answer_lines, answers
from yokeflow.cli.graph import draw
from yokeflow.cli.live_items import Phase
from yokeflow.cli.output import clean, cut, style, width
from yokeflow.cli.words import clock, count, few, first_line, short, span, spent, waits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from yokeflow.cli.advice import Answer, Place
    from yokeflow.cli.live import LiveState
    from yokeflow.cli.live_items import LiveEpic
    from yokeflow.engine.report import RunReport, Waiting

_MARKS = {"completed": ("✔", "green"), "failed": ("✘", "red"), "cancelled": ("■", "yellow")}


def report_lines(
    state: LiveState,
    report: RunReport,
    columns: int,
    place: Place | None = None,
    *,
    advise: bool = True,
) -> list[str]:
    """The report, styled, for `output.line`. Lines of others' text are cut to `columns`.

    `place` is for advice on conflicts; without `advise` it does not tell what to type next.
    """
    idle = report.state == "completed" and not report.completed and not report.landed
    lines = ["", _idle(state) if idle else _verdict(report)]
    for block in (
        () if idle else _landed(state, report, columns),
        () if idle and state.done() == len(state.tasks) else _not_landed(state, report, columns),
        _waiting(state, report, columns, place),
        _failed(report, columns),
        _blocked(report, columns),
        () if idle else _figures(state, report),
        _next(report) if advise else (),
    ):
        section = list(block)
        if section:
            lines += ["", *section]
    return lines


def _idle(state: LiveState) -> str:
    """A run that had nothing to do."""
    everything = all(epic.settled for epic in state.epics.values())
    what = "everything" if everything else "all that was asked for"
    before = f"{count(state.done(), 'task')}, {count(state.landed(), 'epic')} landed before"
    return style(f"✔ {what} was done already: {before}", fg="green", bold=True)


def _verdict(report: RunReport) -> str:
    mark, colour = _MARKS.get(report.state, ("●", "cyan"))
    reason = f": {clean(first_line(report.reason))}" if report.reason else ""
    return style(f"{mark} {report.state}{reason}", fg=colour, bold=True)


def _landed(state: LiveState, report: RunReport, columns: int) -> Iterator[str]:
    if not report.landed:
        yield f"Nothing landed on {clean(report.target)}."
        return
    yield style(f"Landed on {clean(report.target)}", bold=True)
    landed = {entry.epic: entry for entry in report.landed}
    before = {name: [p for p in state.predecessors_of(name) if p in landed] for name in landed}
    drawn = draw(list(landed), before)
    graph = max(len(drawing) for drawing, _ in drawn)
    name_width = max(width(name) for name in landed)
    for drawing, name in drawn:
        if not name:
            yield f"  {style(drawing, fg='cyan')}"
            continue
        entry = landed[name]
        told = f"{clean(state.epics[name].epic.title)}  {style(count(len(entry.tasks), 'task'), dim=True)}"
        told += style(f", after {few(before[name], 3)}", dim=True) if before[name] else ""
        left = f"  {style(drawing.ljust(graph), fg='cyan')}  {style(short(entry.commit), fg='yellow')}"
        room = columns - graph - name_width - 15
        yield f"{left}  {name.ljust(name_width)}  {told if width(told) <= room else cut(told, room)}"


def _not_landed(state: LiveState, report: RunReport, columns: int) -> Iterator[str]:
    landed = {entry.epic for entry in report.landed}
    others = [epic for name, epic in state.epics.items() if name not in landed and not epic.settled]
    if not others:
        return
    yield style("Not landed", bold=True)
    size = max(width(epic.epic.id) for epic in others)
    for epic in others:
        text = f"{epic.epic.id.ljust(size)}  {epic.done()}/{len(epic.tasks)} tasks done{_why(state, epic)}"
        mark = style("✘", fg="red") if epic.troubled else style("○", dim=True)
        yield f"  {mark} {cut(clean(text), columns - 4)}"


def _why(state: LiveState, epic: LiveEpic) -> str:
    if epic.landing in ("rejected", "conflict"):
        return f", {epic.landing}: {first_line(epic.reason)}"
    if epic.landing or epic.finished:
        behind = state.lands_after(epic)
        return f", waits for {few(behind)} to land" if behind else ", ready to land"
    failed = [task.task.id for task in epic.tasks if task.phase is Phase.FAILED]
    if failed:
        return f", failed: {few(failed)}"
    names = state.epic_waits_for(epic)
    return f", {waits(names)}" if names else ""


def _waiting(state: LiveState, report: RunReport, columns: int, place: Place | None) -> Iterator[str]:
    if report.waiting:
        yield style("Waits for you", bold=True)
    for entry in report.waiting:
        epic = state.epics.get(entry.item)
        conflict = place and epic and entry.kind == epic.landing == "conflict"
        merge = [place.merge(entry.item)] if place and conflict else []
        yield from _question(entry, columns, merge, of_epic=epic is not None)


def _question(entry: Waiting, columns: int, first: Sequence[Answer], *, of_epic: bool) -> Iterator[str]:
    reason = cut(clean(first_line(entry.reason)), max(columns - width(entry.item) - 6, 20))
    yield f"  {style('!', fg='yellow', bold=True)} {style(clean(entry.item), bold=True)}  {reason}"
    offered = [*first, *answers(entry.item, entry.choices, of_epic=of_epic)]
    rows = [(answer.command, answer.effect) for answer in offered]
    rows.insert(0, (f"yoke show {entry.item}", "see what happened"))
    yield from answer_lines(rows, "      ", columns)


def _failed(report: RunReport, columns: int) -> Iterator[str]:
    asked = {entry.item for entry in report.waiting}
    silent = {task: reason for task, reason in report.failed.items() if task not in asked}
    if silent:
        yield style("Failed", bold=True)
    for task, reason in silent.items():
        mark = style("✘", fg="red")
        yield f"  {mark} {clean(task)}  {cut(clean(first_line(reason)), max(columns - width(task) - 6, 20))}"
        yield f"      {style(f'yoke retry {task}', fg='cyan')}"


def _blocked(report: RunReport, columns: int) -> Iterator[str]:
    if report.blocked:
        causes = dict.fromkeys(name for names in report.blocked.values() for name in names)
        roots = [name for name in causes if name not in report.blocked]
        tasks = sorted(_behind(report.blocked, roots))
        if roots:
            held = f"{count(len(tasks), 'task')} held up by {few(roots, 4)}"
            yield cut(f"{held}: {', '.join(tasks)}", columns)


def _behind(blocked: Mapping[str, tuple[str, ...]], roots: Iterable[str]) -> set[str]:
    """The tasks that wait for one of `roots`, also by way of others; the rest wait for something else."""
    found = set(roots)
    while more := {task for task, causes in blocked.items() if task not in found and found & {*causes}}:
        found |= more
    return found & blocked.keys()


def _figures(state: LiveState, report: RunReport) -> Iterator[str]:
    tasks = f"{state.done()} of {count(len(state.tasks), 'task')}"
    epics = f"{state.landed()} of {count(len(state.epics), 'epic')} landed"
    earlier = sum(task.earlier for task in state.tasks.values()), state.landed() - len(report.landed)
    notes = [f"{state.skipped()} skipped" if state.skipped() else ""]
    if any(earlier):
        notes.append(f"{count(earlier[0], 'task')} and {count(max(earlier[1], 0), 'epic')} of them before")
    yield f"  done     {', '.join(filter(None, (tasks, epics, *notes)))}"
    yield f"  time     {clock(report.seconds)}{_saved(report)}"
    yield f"  cost     {_cost(report)}"


def _saved(report: RunReport) -> str:
    gain = report.work_seconds - report.seconds
    if not report.completed:
        return ""
    alone = f", one by one {clock(report.work_seconds)}"
    if gain < 0.5:
        return f"{alone}: nothing saved"
    times = report.work_seconds / max(report.seconds, 0.001)
    return f"{alone}: {span(gain)} saved, {times:.1f} times as fast"


def _cost(report: RunReport) -> str:
    if report.cost_usd is None:
        return "unknown: the agents did not say" if report.unknown_costs else "none: no session ran"
    known = spent(report.cost_usd, unknown=report.unknown_costs > 0)
    return f"{known} for {count(report.unknown_costs, 'session')}" if report.unknown_costs else known


def _next(report: RunReport) -> Iterator[str]:
    rows: list[tuple[str, str]] = []
    if report.waiting:
        rows.append(("yoke attention", "what waits for you"))
    if report.state != "completed" and not report.waiting:
        rows.append(("yoke resume", "go on where it stopped"))
    if report.landed:
        rows.append((f"git log --first-parent {report.target}", "what landed"))
    rows.append(("yoke status", "where everything is"))
    size = max(len(command) for command, _ in rows)
    for command, effect in rows:
        yield f"  {style(command.ljust(size), fg='cyan')}  {style(effect, dim=True)}"
