"""`yoke attention`: what waits for a person, and their answers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from yokeflow.cli import options, output
from yokeflow.cli.advice import answer_lines, answers, consequence
from yokeflow.cli.origin import origin_lines
from yokeflow.cli.output import clean, style
from yokeflow.cli.words import ago, first_line
from yokeflow.engine.people.consequence import Held

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from yokeflow.cli.advice import Answer
    from yokeflow.cli.waiting import Waiting
    from yokeflow.errors import ExitCode

_NOTHING = Held((), ())


@click.group(
    invoke_without_command=True,
    epilog=options.examples(
        "yoke attention", "yoke attention answer auth.model approve", "yoke attention --json"
    ),
)
@options.as_json
@click.pass_context
def command(context: click.Context, *, as_json: bool) -> None:
    """Show what waits for you: why, since when, what it holds up, and the commands that answer it.

    What holds up most comes first, the oldest of equals.
    """
    if context.invoked_subcommand is not None:
        return
    # By name, here and below: who only wants to read the help waits for no store.
    module: Any = import_module("yokeflow.cli.waiting")
    read: Waiting = asyncio.run(module.read())
    state, held = read.state, read.held
    now = datetime.now(UTC)
    waiting = sorted(state["interventions"], key=lambda entry: _rank(entry, held))
    if as_json:
        source = {"source": state["source"]}
        output.data([_told(entry, held.get(entry["id"], _NOTHING), now) | source for entry in waiting])
        return
    for line in origin_lines(state["source"]):
        output.line(line)
    if not waiting:
        output.line("Nothing waits for you.")
    else:
        epics = {item["id"] for item in state["items"] if item["kind"] == "epic"}
        conflicts = {entry["epic"] for entry in state["landings"] if entry["status"] == "conflict"}
        for entry in waiting:
            item = entry["item"]
            merge = [read.place.merge(item)] if entry["kind"] == "conflict" and item in conflicts else []
            what = held.get(entry["id"], _NOTHING)
            for line in _lines(entry, now, merge, what, of_epic=item in epics):
                output.line(line)


@command.command(
    epilog=options.examples(
        "yoke attention answer auth.model approve",
        "yoke attention answer auth reject --text 'the form has no labels'",
        "yoke attention answer auth.captcha --text 'Use the one of the shop.'",
    )
)
@click.argument("item", metavar="ITEM|ID")
@click.argument("choice", required=False, default="")
@click.option("--text", default="", help="What you have to say; an agent reads it.")
@options.plan
def answer(*, item: str, choice: str, text: str, plan: Path | None) -> ExitCode:
    """Answer what is asked about ITEM, or the question with this ID (its beginning is enough).

    `yoke attention` shows the choices: CHOICE is one of them, and need not be said with --text for a question
    of an agent. `reject` needs --text as well, since somebody is to do better. A run that is going on acts at
    once; otherwise the next `yoke run` does.
    """
    module: Any = import_module("yokeflow.cli.answering")
    done: ExitCode = asyncio.run(module.give(item, choice, text, plan))
    return done


def _rank(entry: Mapping[str, Any], held: Mapping[str, Held]) -> tuple[int, str]:
    what = held.get(entry["id"], _NOTHING)
    return -len(what.tasks) - len(what.landings), entry["opened"]


def _told(entry: Mapping[str, Any], held: Held, now: datetime) -> dict[str, Any]:
    age = (now - datetime.fromisoformat(entry["opened"])).total_seconds()
    waiting = {"tasks": list(held.tasks), "landings": list(held.landings)}
    return {**entry, "age_seconds": round(max(age, 0.0), 3), "waiting": waiting}


def _lines(
    entry: Mapping[str, Any], now: datetime, first: Sequence[Answer], held: Held, *, of_epic: bool
) -> Iterator[str]:
    item = entry["item"] or "the run"
    age = ago(datetime.fromisoformat(entry["opened"]), now)
    mark = style("!", fg="yellow", bold=True)
    yield f"{mark} {style(clean(item), bold=True)}  {clean(first_line(entry['reason']))}"
    if entry["kind"] == "question":
        for said in entry["reason"].strip().splitlines()[1:]:
            yield f"    {style('│', dim=True)} {clean(said)}"
    about = style(f"{entry['kind']} {entry['id'][:8]}", dim=True)
    yield f"    waits for {age}; {consequence(held)}  {about}"
    rows = [(f"yoke show {item}", "see what happened")] if entry["item"] else []
    offered = [*first, *answers(item, entry["choices"], of_epic=of_epic)]
    rows += [(answer.command, answer.effect) for answer in offered]
    yield from answer_lines(rows, "    ", output.columns())
    yield ""
