"""Events as lines for people: for `yoke log`, and for `yoke run` where there is no terminal."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from yokeflow.cli.output import clean, style
from yokeflow.cli.words import amount, count, few, first_line, last_lines, money, short, span
from yokeflow.store.fold import TOLD_BY_GIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from yokeflow.events import Event

    Data = Mapping[str, Any]

_LONGEST = 200


def event_line(event: Event, *, date: bool = False) -> str:
    """One line: local time, what it is about, what happened."""
    at = event.at.astimezone()
    when = at.strftime("%Y-%m-%d %H:%M:%S" if date else "%H:%M:%S")
    subject = event.task or event.epic or "run"
    text, colour = describe(event)
    return f"{style(when, dim=True)}  {clean(subject)}: {style(text, fg=colour)}"


def event_lines(event: Event, *, date: bool = False) -> Iterator[str]:
    """The line of an event; a session that failed also tells the last lines that were printed."""
    yield event_line(event, date=date)
    if event.type == "session.finished" and event.data.get("state") == "failed":
        for said in last_lines(event.data):
            told = replace(event, type="session.output", data={"text": said})
            yield event_line(told, date=date)


def describe(event: Event) -> tuple[str, str | None]:
    """What happened in words, and the colour that fits; an unknown type is its own description."""
    known = _WORDS.get(event.type)
    if known is None:
        return event.type, None
    words, colour = known
    flat = " ".join(clean(words(event.data)).split())
    return (f"{flat[: _LONGEST - 1]}…" if len(flat) > _LONGEST else flat), colour


def _join(*parts: str) -> str:
    return ", ".join(filter(None, parts))


def _answered(data: Data) -> str:
    if data.get("choice") == "gone":
        return "is asked about no more: the plan does not have it"
    return f"answered with {data.get('choice', '')}{_by(data)}"


def _because(data: Data) -> str:
    reason = first_line(str(data.get("reason", "")))
    return f": {reason}" if reason else ""


def _by(data: Data) -> str:
    return f" by {data['by']}" if data.get("by") else ""


def _run_started(data: Data) -> str:
    onto = f"onto {data.get('target', '')}"
    if "batches" not in data:
        # Git does not know how much there was to do.
        return f"started, {onto}"
    tasks = sum(len(batch) for batch in data["batches"])
    return f"started: {count(tasks, 'task')}, {data.get('concurrency', 1)} at once, {onto}"


def _run_finished(data: Data) -> str:
    if data.get("reason") == TOLD_BY_GIT:
        return "was over by then (told by git)"
    return f"{data.get('state', 'finished')}{_because(data)}"


def _session_started(data: Data) -> str:
    # Git knows neither who nor where.
    who = " ".join(filter(None, (data.get("agent") or "an agent", data.get("model", ""))))
    attempt = data.get("attempt", 1)
    lane = f"lane {data['lane']}" if data.get("lane") else ""
    return _join(f"{who} started", f"attempt {attempt}" if attempt > 1 else "", lane)


def _session_finished(data: Data) -> str:
    took = "" if data.get("seconds") is None else f" after {span(data['seconds'])}"
    return _join(f"session {data.get('state', '')}{took}", _cost(data)) + _because(data)


def _check(data: Data) -> str:
    word = "passed" if data.get("passed") else f"failed ({data.get('exit_code')})"
    flaky = "flaky, " if data.get("flaky") else ""
    tries = f" at try {data['tries']}" if data.get("tries", 1) > 1 else ""
    reused = "known before" if data.get("reused") else span(data.get("seconds", 0.0))
    return f"check {flaky}{word}{tries}, {reused}: {data.get('command', '')}"


def _landed(data: Data) -> str:
    return f"landed on {data.get('target', 'the target')} as {short(str(data.get('commit', '')))}"


def _resolved(data: Data) -> str:
    sides = {"ours": "the target's lines were taken", "theirs": "the epic's lines were taken"}
    how = sides.get(data.get("how", ""), "an agent did it")
    return f"conflict resolved in {', '.join(data.get('files', ()))}: {how}"


def _undone(data: Data) -> str:
    landing, commit = short(str(data.get("landing", ""))), short(str(data.get("commit", "")))
    return f"landing {landing} undone by {commit}{_by(data)}"


def _rebased(data: Data) -> str:
    return f"rewritten as {short(str(data.get('commit', '')))}, was {short(str(data.get('was', '')))}"


def _plan(data: Data) -> str:
    told = ((name, data.get(name) or ()) for name in ("added", "changed", "gone"))
    return f"the plan changed: {_join(*(f'{name} {few(items, 5)}' for name, items in told if items))}"


def _control(data: Data) -> str:
    return f"asked to {data.get('action', '')} {data.get('item') or 'the run'}{_by(data)}"


def _applied(data: Data) -> str:
    ended = {"done": "did what was asked"}.get(str(data.get("outcome")), "could not do what was asked")
    return f"{ended} ({data.get('action', '')} {data.get('item') or 'the run'}){_because(data)}"


def _reserved(data: Data) -> str:
    dollars = "" if data.get("amount_usd") is None else money(data["amount_usd"])
    tokens = "" if data.get("tokens") is None else f"{data['tokens']:,} tokens"
    return f"reserved {_join(dollars, tokens) or 'a session'}"


def _warned(data: Data) -> str:
    share = f"{100 * data.get('mark', 0):.0f} %"
    whose = data.get("scope", "budget") + (f" {data['name']}" if data.get("name") else "")
    unit = str(data.get("unit"))
    used = amount(data.get("used"), unit).removesuffix(f" {unit}")
    return f"{share} of the budget of the {whose} is spent: {used} of {amount(data.get('limit'), unit)}"


def _asked(data: Data) -> str:
    return _join(f"asked {data.get('agent', 'an agent')} ({data.get('operation', '')})", _cost(data))


def _cost(data: Data) -> str:
    return "" if data.get("cost_usd") is None else money(data["cost_usd"])


def _other(data: Data) -> str:
    return str(data.get("with_epic") or data.get("target") or "the target")


def _foreseen(data: Data) -> str:
    more = f" and {data['more']} more" if data.get("more") else ""
    return f"will conflict with {_other(data)} in {', '.join(data.get('files', ()))}{more}"


def _not_taken_in(data: Data) -> str:
    what = f"the work of {data['with_epic']}" if data.get("with_epic") else f"what is on {_other(data)}"
    return f"cannot take in {what}: conflicts in {', '.join(data.get('files', ()))}"


def _plugin(data: Data) -> str:
    return f"plugin {data.get('plugin')} failed in {data.get('hook')}: {data.get('error')}"


def _rebuilt(data: Data) -> str:
    known = [count(data[f"{name}s"], name) for name in ("landing", "session") if data.get(f"{name}s")]
    return f"git told the store of {' and '.join(known) or 'tasks'} that it did not know"


def _learned(data: Data) -> str:
    items = data.get("items", 0)
    return f"learned {count(items if isinstance(items, int) else len(items), 'lesson')}"


def _revised(data: Data) -> str:
    gone, retired = (len(data.get(name) or ()) for name in ("validated", "pruned"))
    versions = [f"{domain} {number}" for domain, number in (data.get("versions") or {}).items()]
    did = _join(
        f"{count(gone, 'lesson')} of files that are gone" if gone else "",
        f"{count(retired, 'lesson')} of no more use" if retired else "",
        f"compiled {few(versions, 5)}" if versions else "",
    )
    return f"went through the lessons: {did or 'nothing has changed'}"


def _refused(data: Data) -> str:
    return f"a plugin's trigger refused {data.get('event_type')}: {data.get('error')}"


def _commit(data: Data) -> str:
    who = {"agent": "an agent", "yoke": "YokeFlow"}.get(str(data.get("writer")), str(data.get("author", "")))
    where = f" on {data['branch']}" if data.get("branch") else ""
    return f"{short(str(data.get('commit', '')))}{where} by {who}: {data.get('subject', '')}"


def _replaced(data: Data) -> str:
    by = f" by {short(str(data['by']))}" if data.get("by") else ""
    how = {"amend": "amended", "rebase": "rebased"}.get(str(data.get("how")), "gone from all branches")
    return f"commit {short(str(data.get('commit', '')))} {how}{by and f', replaced{by}'}"


_WORDS: dict[str, tuple[Callable[[Data], str], str | None]] = {
    "run.started": (_run_started, "cyan"),
    "run.paused": (lambda data: f"paused{_by(data)}", "yellow"),
    "run.continued": (lambda data: f"continued{_by(data)}", "cyan"),
    "run.finished": (_run_finished, "cyan"),
    "task.ready": (lambda _: "ready", None),
    "worktree.created": (lambda data: f"worktree made: {data.get('path', '')}", None),
    "worktree.removed": (lambda data: f"worktree removed: {data.get('path') or data.get('lane', '')}", None),
    "budget.reserved": (_reserved, None),
    "budget.warned": (_warned, "yellow"),
    "budget.exceeded": (lambda data: f"budget exceeded{_because(data)}", "red"),
    "session.started": (_session_started, "cyan"),
    "session.output": (lambda data: f"| {data.get('text', '')}", None),
    "session.finished": (_session_finished, None),
    "check.finished": (_check, None),
    "task.completed": (lambda data: f"completed {short(str(data.get('commit', '')))}", "green"),
    "task.rebased": (_rebased, "cyan"),
    "task.failed": (lambda data: f"failed{_because(data)}", "red"),
    "task.blocked": (lambda data: f"blocked by {', '.join(data.get('by', ()))}", "yellow"),
    "task.skipped": (lambda data: f"skipped{_by(data)}{_because(data)}", "yellow"),
    "task.reopened": (lambda data: f"reopened{_by(data)}{_because(data)}", "cyan"),
    "epic.completed": (lambda _: "all tasks completed", "green"),
    "landing.queued": (lambda _: "queued to land", None),
    "landing.testing": (lambda data: f"testing the merged tree {short(str(data.get('tree', '')))}", None),
    "landing.landed": (_landed, "green"),
    "landing.undone": (_undone, "yellow"),
    "plan.changed": (_plan, None),
    "landing.rejected": (lambda data: f"landing rejected{_because(data)}", "red"),
    "landing.conflicted": (lambda data: f"landing conflicts in {', '.join(data.get('files', ()))}", "red"),
    "forecast.conflicted": (_foreseen, "yellow"),
    "forecast.cleared": (lambda data: f"will not conflict with {_other(data)} any more", "green"),
    "handover.conflicted": (_not_taken_in, "red"),
    "handover.resolved": (_resolved, "green"),
    "landing.resolved": (_resolved, "green"),
    "intervention.opened": (lambda data: f"waits for you{_because(data)}", "yellow"),
    "intervention.resolved": (_answered, "cyan"),
    "expertise.recalled": (lambda data: f"was told {count(len(data.get('given', ())), 'lesson')}", None),
    "expertise.learned": (_learned, None),
    "expertise.revised": (_revised, None),
    "agent.asking": (
        lambda data: f"asks {data.get('agent', 'an agent')} ({data.get('operation', '')})",
        None,
    ),
    "agent.asked": (_asked, None),
    "control.requested": (_control, "cyan"),
    "control.applied": (_applied, "cyan"),
    "commit.recorded": (lambda data: f"commit {_commit(data)}", None),
    "commit.replaced": (_replaced, None),
    "merge.recorded": (lambda data: f"merged as {_commit(data)}", None),
    "store.lost": (lambda data: f"the store is down, the journal goes on{_because(data)}", "yellow"),
    "store.rebuilt": (_rebuilt, "cyan"),
    "store.found": (lambda _: "the store is back", "green"),
    "plugin.failed": (_plugin, "yellow"),
    "event.refused": (_refused, "yellow"),
    "warning.raised": (lambda data: f"warning{_because(data)}", "yellow"),
}
