"""`yoke show ITEM`: all about one task or epic."""

from __future__ import annotations

import asyncio
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from yokeflow.cli import options, output
from yokeflow.cli.advice import answers
from yokeflow.cli.opened import answered
from yokeflow.cli.origin import origin_lines
from yokeflow.cli.output import clean, cut, style, width
from yokeflow.cli.words import moment, money, short, span, spent
from yokeflow.engine.reports.past import item_told
from yokeflow.errors import UsageError
from yokeflow.store import history

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from yokeflow.cli.opened import Opened

    Data = Mapping[str, Any]

_TAIL = 20
_INDENT = "  "
_TRANSCRIPT = "output.log"
#: Where a cost comes from, where it is not the agent's own word.
_SOURCES = {"prices": " by the price list", "least": " by the price list, or more"}
_COLOURS = {"completed": "green", "failed": "red", "blocked": "yellow", "in_progress": "cyan"}


@click.command(
    epilog=options.examples("yoke show auth.model", "yoke show auth", "yoke show auth.model --transcript")
)
@options.item
@options.as_json
@click.option("--transcript", is_flag=True, help="Print all that the last attempt printed.")
@click.option(
    "--attempt", type=click.IntRange(1), metavar="N", help="Print all that the Nth attempt printed."
)
def command(*, item: str, as_json: bool, transcript: bool, attempt: int | None) -> None:
    """Show ITEM, a task or an epic: attempts, cost, checks, commits, and the end of the transcript."""
    data = asyncio.run(_read(item))
    if as_json:
        output.data(data)
        return
    session = _session(data, attempt)
    if transcript or attempt:
        for line in _transcript(session):
            output.line(line)
        return
    columns = output.columns() if output.is_terminal(sys.stdout) else None
    for line in item_lines(data, columns):
        output.line(line)
    for line in _tail(session):
        output.line(line)


async def _read(item: str) -> dict[str, Any]:
    async def ask(place: Opened) -> tuple[dict[str, Any] | None, list[str]]:
        state = await place.status()
        async with place.store.begin() as connection:
            data = await history.show(connection, place.id, item)
        known = [each["id"] for each in state["items"]]
        return (None if data is None else {**data, "source": state["source"]}), known

    data, known = await answered(ask, lambda failure: item_told(Path.cwd(), failure, item))
    if data is None:
        near = get_close_matches(item, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "`yoke status` lists them"
        raise UsageError(f"there is no item {item}", hint=hint)
    return data


def _session(data: Data, number: int | None) -> Data | None:
    sessions: list[Data] = data["sessions"]
    if number is None:
        return sessions[-1] if sessions else None
    if number > len(sessions):
        raise UsageError(f"{data['id']} has no attempt {number}", hint=f"`yoke show {data['id']}` lists them")
    return sessions[number - 1]


def item_lines(data: Data, columns: int | None = None) -> Iterator[str]:
    """All about an item but its transcript.

    Rows of a table are cut to `columns`, if there are so few; what is told in sentences stays whole.
    """
    room = None if columns is None else columns - len(_INDENT)
    yield from origin_lines(data.get("source", {}))
    state = style(data["status"], fg=_COLOURS.get(data["status"]), bold=True)
    yield f"{style(data['id'], bold=True)}  {clean(data['title'])}"
    epic = f" of {data['epic']}" if data["epic"] else ""
    cost = spent(data["cost_usd"], unknown=data["unknown_costs"] > 0)
    yield f"{data['kind']}{epic}, {state}{_because(data)}, cost {cost}"
    checks = [_check(check) for check in data["checks"]]
    for title, rows in (
        ("Depends on", _aligned((_dependency(data["id"], each) for each in data["depends_on"]), room)),
        ("Tasks", _aligned(map(_task, data["tasks"]), room)),
        ("Attempts", [_attempt(n, session) for n, session in enumerate(data["sessions"], 1)]),
        ("Checks", checks),
        ("Landings", [_landing(landing) for landing in data["landings"]]),
        ("Commits", _commits(data)),
    ):
        # Only a check has lines of its own.
        yield from _section(title, rows if rows is checks else [_flat(row) for row in rows])
    yield from _section("Waits for you", _questions(data))


def _because(data: Data) -> str:
    return f": {clean(data['reason'])}" if data["reason"] else ""


def _section(title: str, rows: Sequence[str]) -> Iterator[str]:
    if rows:
        yield ""
        yield style(title, bold=True)
        for row in rows:
            first, *rest = clean(row).split("\n")
            yield f"{_INDENT}{first}"
            yield from (f"    {line}".rstrip() for line in rest)


def _flat(text: str) -> str:
    return " ".join(text.split("\n"))


def _dependency(item: str, edge: Data) -> tuple[str, str, str]:
    inherited = f"of its epic {edge['of']}" if edge.get("of", item) != item else ""
    return edge["id"], f"{edge['type']}, {edge['status']}", inherited


def _task(task: Data) -> tuple[str, ...]:
    return task["id"], task["status"], short(task["commit"] or ""), task["title"]


def _aligned(rows: Iterable[Sequence[str]], room: int | None) -> list[str]:
    """Cells in columns, where every row stays on one line."""
    cleaned = [[clean(cell) for cell in row] for row in rows]
    sizes = [max(width(cell) for cell in column) for column in zip(*cleaned, strict=True)]
    lines = [
        "  ".join(cell + " " * (size - width(cell)) for cell, size in zip(row, sizes, strict=True)).rstrip()
        for row in cleaned
    ]
    return lines if room is None else [cut(_flat(line), room) for line in lines]


def _attempt(number: int, session: Data) -> str:
    role = f"as {session['profile']}" if session.get("profile") else ""
    # Git does not know which.
    who = " ".join(filter(None, (session["agent"] or "an agent", role, session["model"])))
    took = "" if session["seconds"] is None else f" after {span(session['seconds'])}"
    kept = f"; its work is kept at {session['kept_ref']}" if session["kept_ref"] else ""
    cost = money(session["cost_usd"])
    listed = _SOURCES.get(session.get("cost_source") or "", "")
    return f"{number}. {who} {session['state']}{took}, cost {cost}{listed}{_because(session)}{kept}"


def _check(check: Data) -> str:
    reused = check["reused"]
    how = _found(reused) if reused else f" in {span(check['seconds'] or 0)}"
    on = f"on tree {short(check['tree'])}, environment {check['environment'][:8] or 'unknown'}"
    path = check["log"] or (reused["log"] if reused else "")
    told = f"{check['stage']}: {_word(check)}{how}: {_flat(check['command'])}"
    return "\n".join([told, f"{on}, {moment(check['at'])}", *([f"log: {path}"] if path else [])])


def _word(check: Data) -> str:
    if not check["passed"]:
        return f"{'flaky, failed' if check['flaky'] else 'failed'} ({check['exit_code']}){_tries(check)}"
    return f"flaky, passed{_tries(check)}" if check["flaky"] else "passed"


def _tries(check: Data) -> str:
    return f" at try {check['tries']}" if check["tries"] > 1 else ""


def _found(reused: Data) -> str:
    """Where evidence was found that was reused."""
    by = f"attempt {reused['attempt']} at" if reused["attempt"] else "the landing of"
    return f" as known from {by} {reused['item']}, {moment(reused['at'])}"


def _landing(landing: Data) -> str:
    commit = f" as {short(landing['commit'])}" if landing["commit"] and landing["status"] == "landed" else ""
    listed = ", ".join(landing["files"])
    files = f" in {listed}" if listed else ""
    onto = f" on {landing['target']}" if landing["target"] else ""
    because = "" if listed and landing["reason"] == f"conflict in {listed}" else _because(landing)
    return f"{landing['status']}{onto}{commit}{files}{because}"


def _commits(data: Data) -> list[str]:
    """Where the work ended, and what git hooks recorded."""
    told = [_recorded(each) for each in data["recorded"]]
    known = {each["commit"] for each in data["recorded"]}
    return [*told, *(short(commit) for commit in data["commits"] if commit not in known)]


def _recorded(each: Data) -> str:
    who = {"agent": "an agent", "yoke": "YokeFlow"}.get(each["writer"], each["author"])
    where = f" on {each['branch']}" if each["branch"] else ""
    merged = "merged " if each["kind"] == "merge" else ""
    how = {"amend": "amended", "rebase": "rebased", "gone": "on no branch any more"}.get(
        each["replaced_how"], ""
    )
    by = f", now {short(each['replaced_by'])}" if each["replaced_by"] else ""
    return f"{short(each['commit'])} {each['subject']} ({merged}by {who}{where}{how and f'; {how}{by}'})"


def _questions(data: Data) -> list[str]:
    rows = []
    for entry in data["interventions"]:
        if entry["resolved"]:
            continue
        offered = answers(data["id"], entry["choices"], of_epic=data["kind"] == "epic")
        reason, typed = entry["reason"].strip(), " or ".join(answer.command for answer in offered)
        # Below the first line there may be output of git and commands to type, each on a line of its own.
        rows.append(f"{reason}\n{typed}" if "\n" in reason else f"{reason}: {typed}")
    return rows


def _transcript(session: Data | None) -> list[str]:
    if session is None or not session["folder"]:
        return []
    path = Path(session["folder"]) / _TRANSCRIPT
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return [clean(line) for line in text.splitlines()]


def _tail(session: Data | None) -> Iterator[str]:
    lines = _transcript(session)
    if session is None or not lines:
        return
    yield ""
    left_out = f", its last {_TAIL} lines (--transcript shows all)" if len(lines) > _TAIL else ""
    yield style(f"Transcript of the last attempt{left_out}", bold=True)
    for line in lines[-_TAIL:]:
        yield f"  {style('│', dim=True)} {line}"
