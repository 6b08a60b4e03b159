"""Proofs that compare the store with git and with what the agents noted themselves."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.torture.facts import Facts, Stored


def _is_flaky(command: str) -> bool:
    return command.endswith(" flaky")


def completed_work_is_reachable(facts: Facts, stored: Stored) -> Iterator[str]:
    """Some ref leads to the commit of every task that was ever completed."""
    said = ""
    for event in stored.events:
        if event["type"] != "task.completed":
            continue
        task, commit = event["task"], event["payload"]["commit"]
        if commit in facts.reachable:
            continue
        said = said or facts.git("log", "--all", "--format=%(trailers:key=Yoke-Task,valueonly)")
        # A rebase by hand makes other commits of the same work.
        if facts.epic_of(task) not in facts.rebased or task not in said.split():
            yield f"{commit[:10]} of {task}"


def landed_trees_were_tested(facts: Facts, stored: Stored) -> Iterator[str]:
    """For every landing, undoing and command there is a green result on exactly its tree.

    Only of the check that is flaky, it may be flaky.
    """
    green = {
        (row["tree"], row["command"])
        for row in stored.checks
        if row["stage"] == "landing" and row["passed"] and (not row["flaky"] or _is_flaky(row["command"]))
    }
    for commit in (*facts.landed, *facts.undone):
        last, commands = facts.tested(commit)
        for command in commands:
            if last and (last.tree, command) not in green:
                yield f"no green result of `{command}` on {last.tree} ({last.oid[:10]})"


def store_and_git_agree_on_landings(facts: Facts, stored: Stored) -> Iterator[str]:
    """Both know the same landings, by epic and commit."""
    told = Counter((row["epic"], row["commit"]) for row in stored.landings if row["status"] == "landed")
    found = Counter(facts.standing.items())
    for epic, commit in told - found:
        yield f"the store says that {epic} landed as {commit[:10]}"
    for epic, commit in found - told:
        yield f"git says that {epic} landed as {commit[:10]}"
    there = {commit.oid for commit in facts.gained}
    for row in stored.landings:
        if row["status"] == "undone" and row["commit"] not in there:
            yield f"{row['epic']} landed as {row['commit'][:10]} and was undone, and is not on main"


def no_task_ran_twice_at_once(facts: Facts, stored: Stored) -> Iterator[str]:
    """By the events, and by a lock that every agent held as long as it lived."""
    yield from (line for line in facts.lines("sessions.log") if line.startswith("overlap"))
    running: dict[str, str] = {}
    for event in stored.events:
        task, session = event["task"], event["session"]
        if event["type"] == "session.started":
            if task in running:
                yield f"{task}: {session} began before {running[task]} ended"
            running[task] = session
        elif event["type"] == "session.finished" and running.pop(task, session) != session:
            yield f"{task}: {session} ended out of turn"
    for task, session in running.items():
        yield f"{task}: {session} never ended"


def nothing_is_done_twice(_facts: Facts, stored: Stored) -> Iterator[str]:
    """A task is completed again only after it was reopened, and an epic's landing too."""
    done: set[str] = set()
    for event in stored.events:
        match event["type"]:
            case "task.completed":
                if event["task"] in done:
                    yield f"{event['task']} was completed twice"
                done.add(event["task"])
            case "task.reopened":
                done.discard(event["task"])
            case "landing.landed":
                if event["epic"] in done:
                    yield f"{event['epic']} landed twice"
                done.add(event["epic"])
            case "landing.undone":
                done.discard(event["epic"])


def agents_are_in_the_books(facts: Facts, stored: Stored) -> Iterator[str]:
    """Every agent that started belongs to a session of its task, which is over."""
    told = {row["id"]: row for row in stored.sessions}
    for line in facts.lines("sessions.log"):
        word, task, session = line.split()
        if word == "start" and (session not in told or told[session]["task"] != task):
            yield f"an agent worked at {task} in {session}, which the store does not know"
    for row in stored.sessions:
        if row["state"] == "running":
            yield f"the session {row['id']} of {row['task']} is running for ever"
    for row in stored.runs:
        if row["state"] in {"running", "paused"}:
            yield f"the run {row['id']} is {row['state']} for ever"


def the_budget_held(facts: Facts, _stored: Stored) -> Iterator[str]:
    """By what the agents themselves say that they spent, before they told anybody."""
    spent = sum(int(line.split()[2]) for line in facts.lines("claims.log"))
    if facts.told["budget"] and spent > facts.told["budget"]:
        yield f"{spent} millionths of a dollar were spent, {facts.told['budget']} allowed"


def the_journal_is_in_the_store(facts: Facts, stored: Stored) -> Iterator[str]:
    """Every whole line of the journal is a row, and of what a crash has torn, none is."""
    known = {event["id"] for event in stored.events}
    lines = (facts.shop / ".git/yoke/journal.jsonl").read_text(errors="replace").splitlines()
    ids = [_id_in(line) for line in lines]
    torn: set[int] = set()
    for number, line in enumerate(lines, 1):
        names = _names(line)
        found = [oid[:8] == name for oid, name in zip(ids[number:], names, strict=False)]
        if sum(found) < len(names):
            torn |= {number + at for at, is_there in enumerate(found) if is_there}
    whole = {oid for number, oid in enumerate(ids) if oid and number not in torn}
    yield from (f"{oid} is not there" for oid in whole - known)
    yield from (f"{oid} is there, and was torn" for oid in ({ids[number] for number in torn} - whole) & known)


def _id_in(line: str) -> str:
    with suppress(ValueError):
        return str(json.loads(line).get("id", ""))
    return ""


def _names(line: str) -> list[str]:
    """The events that a line says to follow."""
    with suppress(ValueError):
        return list(map(str, json.loads(line).get("batch", ())))
    return []


def all_is_done_but_for_a_reason(facts: Facts, stored: Stored) -> Iterator[str]:
    """What was asked for is done and landed, unless a budget or a clash of two epics stands against it."""
    kinds = {row["kind"] for row in stored.questions}
    open_items = [row["key"] for row in stored.items if row["status"] != "completed"]
    if facts.told["ended"]:
        if open_items or kinds:
            yield f"a run left with 0, and {open_items} are open, {kinds} wait"
        return
    conflict = "" if facts.told["solved"] else "conflict"
    clash = {"conflict": conflict, "red": "red_check"}.get(facts.told["clash"])
    if (clash and clash in kinds) or facts.told["budget"]:
        return
    asked = [f"{row['kind']} of {row['item']}: {row['reason']}" for row in stored.questions]
    yield f"exit codes {facts.told['exit_codes']}; {open_items} are not done: {asked}"


def rebuilt_items_are_the_same(lost: Stored, found: Stored) -> Iterator[str]:
    """Git alone tells what is done, and with which commit."""
    before, after = ({row["key"]: row for row in stored.items} for stored in (lost, found))
    for key, row in before.items():
        if (told := after.get(key)) != row:
            yield f"{key} was {row} and is {told}"


def rebuilt_landings_are_the_same(lost: Stored, found: Stored) -> Iterator[str]:
    """All of them, in their order."""
    before, after = (
        [(row["epic"], row["commit"], row["tree"]) for row in stored.landings if row["status"] == "landed"]
        for stored in (lost, found)
    )
    if sorted(before) != sorted(after):
        yield f"they were {before} and are {after}"


REBUILT_PROOFS: tuple[Callable[[Stored, Stored], Iterator[str]], ...] = (
    rebuilt_items_are_the_same,
    rebuilt_landings_are_the_same,
)

STORE_PROOFS: tuple[Callable[[Facts, Stored], Iterator[str]], ...] = (
    completed_work_is_reachable,
    landed_trees_were_tested,
    store_and_git_agree_on_landings,
    no_task_ran_twice_at_once,
    nothing_is_done_twice,
    agents_are_in_the_books,
    the_budget_held,
    the_journal_is_in_the_store,
    all_is_done_but_for_a_reason,
)
