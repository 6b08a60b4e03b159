"""Proofs of what a person is asked and asks for: hooks, flaky checks, approvals, questions, conflicts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.torture.facts import Facts, Stored


def hooks_noted_everything(facts: Facts, stored: Stored) -> Iterator[str]:
    """What they noted was read, and every commit that names its task is recorded once."""
    if not facts.told["hooks"]:
        return
    for line in filter(None, facts.lines("spool.log")):
        yield f"nobody read `{line}`"
    rows = Counter((row["item"], row["commit"]) for row in stored.commits if row["kind"] == "commit")
    told = Counter(
        (event["task"], event["payload"]["commit"])
        for event in stored.events
        if event["type"] == "commit.recorded" and event["task"]
    )
    # What is rebased away, or taken off the target for a moment, and comes back is told again.
    replaced = Counter(
        (event["task"], event["payload"]["commit"])
        for event in stored.events
        if event["type"] == "commit.replaced"
    )
    form = "%H %(trailers:key=Yoke-Task,valueonly,separator=%x20)"
    for line in facts.git("log", f"--format={form}", "refs/heads/main").splitlines():
        commit, *tasks = line.split()
        for task in dict.fromkeys(tasks):
            times = range(1, 2 + replaced[task, commit])
            if rows[task, commit] != 1 or told[task, commit] not in times:
                counts = f"{rows[task, commit]} times, and told {told[task, commit]} times"
                yield f"{commit[:10]} is recorded for {task} {counts}"


def the_users_hooks_ran(facts: Facts, _stored: Stored) -> Iterator[str]:
    """Once for every commit of the person's."""
    if facts.told["hooks"] not in {"own", "path"}:
        return
    ran = Counter(facts.lines("hooks.log"))
    for line in facts.lines("named.log"):
        commit = line.split()[0]
        if (count := ran[f"post-commit {commit}"]) != 1:
            yield f"post-commit ran {count} times for {commit[:10]}"


def flaky_checks_prove_nothing(facts: Facts, stored: Stored) -> Iterator[str]:
    """A check that failed first is recorded as flaky; only what is green without that is used again."""
    told = [row["payload"] for row in stored.events if row["type"] == "check.finished"]
    by_id = {row["id"]: row["payload"] for row in stored.events if row["type"] == "check.finished"}
    told = [each for each in told if each["command"].endswith(" flaky")]
    for each in told:
        if each["reused"] and each["flaky"] != by_id[each["source"]]["flaky"]:
            yield f"a flaky result on {each['tree'][:10]} was used as a green one"
    ran = _flaky_runs(facts)
    recorded = Counter(
        (each["tree"], each["flaky"]) for each in told if each["passed"] and not each["reused"]
    )
    for (tree, flaky), count in recorded.items():
        if count > ran[tree, flaky]:
            word = "flaky" if flaky else "green"
            yield f"{tree[:10]} is {word} {count} times, and was {ran[tree, flaky]} times"


def _flaky_runs(facts: Facts) -> Counter[tuple[str, bool]]:
    """By tree, how often the check passed at once, and how often only when it was tried again."""
    verdicts: dict[tuple[str, str], set[str]] = {}
    for line in facts.lines("flaky.log"):
        tree, mark, verdict = line.split()
        verdicts.setdefault((tree, mark), set()).add(verdict)
    passed = ((tree, "failed" in said) for (tree, _), said in verdicts.items() if "passed" in said)
    return Counter(passed)


def landings_say_how_their_checks_went(facts: Facts, stored: Stored) -> Iterator[str]:
    """In git, too, what only a flaky result let through is told from others: by trailer and evidence."""
    rows = [row for row in stored.checks if row["command"].endswith(" flaky") and row["passed"]]
    green = {row["tree"] for row in rows if not row["flaky"]}
    form = "%(refname:lstrip=3) %(trailers:key=Yoke-Checks,valueonly,separator=%x20)"
    refs = facts.git("for-each-ref", f"--format={form}", "refs/yoke/evidence/").splitlines()
    said = dict(line.split(" ", 1) for line in refs)
    for commit in (*facts.landed, *facts.undone):
        if commit.oid not in said:
            continue
        if said[commit.oid] != commit.trailers["Yoke-Checks"]:
            yield f"the evidence of {commit.oid[:10]} says {said[commit.oid]}, its trailer another thing"
        if facts.told["retries"] and commit.tree not in green and not said[commit.oid].endswith("=flaky"):
            yield f"{commit.oid[:10]} calls passed what was flaky"


def nothing_counts_before_it_is_approved(facts: Facts, stored: Stored) -> Iterator[str]:
    """Nothing starts, is completed or lands before a person said so; what is done again is asked again."""
    before, after = (
        {item for item, when in facts.told["approvals"].items() if when == word}
        for word in ("before", "after")
    )
    given, about, commits = Counter[str](), dict[str, str](), set[str]()
    for event in stored.events:
        told, task, epic = event["payload"], event["task"], event["epic"]
        match event["type"]:
            case "intervention.opened":
                about[told["intervention"]] = task or epic
            case "intervention.resolved" if told["choice"] in {"approve", "land"}:
                given[about[told["intervention"]]] += 1
            case "session.started":
                early = [item for item in (task, epic) if item in before and not given[item]]
                yield from (f"{task} started, and nobody had approved {item}" for item in early)
            case "task.completed" if task in after and told["commit"] not in commits:
                commits.add(told["commit"])
                yield from _use(given, task)
            case "landing.landed" if epic in after and not told.get("brings_back"):
                yield from _use(given, epic)


def _use(given: Counter[str], item: str) -> Iterator[str]:
    given[item] -= 1
    if given[item] < 0:
        yield f"{item} was completed, and nobody had approved that"


def questions_get_answers(facts: Facts, stored: Stored) -> Iterator[str]:
    """What an agent asked came to a person, and the answer to every agent until the task was done."""
    states = {row["id"]: row["state"] for row in stored.sessions}
    opened = Counter(
        event["task"]
        for event in stored.events
        if event["type"] == "intervention.opened" and event["payload"]["kind"] == "question"
    )
    for line in facts.lines("asked.log"):
        task, session = line.split()
        if states.get(session) != "interrupted" and not opened[task]:
            yield f"{task} asked something in {session}, and no person was"
    heard, started = set(facts.lines("answered.log")), set(facts.lines("sessions.log"))
    answered = set()
    for event in stored.events:
        if event["type"] == "intervention.resolved" and event["payload"]["choice"] == "answer":
            answered.add(event["task"])
        elif event["type"] == "task.completed":
            answered.discard(event["task"])
        key = f"{event['task']} {event['session']}"
        begun = event["type"] == "session.started" and f"start {key}" in started
        if begun and event["task"] in answered and key not in heard:
            yield f"{key} was not told the answer"


def resolved_conflicts_have_both_sides(facts: Facts, stored: Stored) -> Iterator[str]:
    """Whatever was merged by an agent has the lines of both, and passed the checks of its epic."""
    green = {(row["tree"], row["command"]) for row in stored.checks if row["passed"]}
    said = [f"<%(trailers:key={key},valueonly,separator=)>" for key in ("Yoke-Resolves", "Yoke-Taken")]
    form = " ".join(("%H %T", *said))
    for line in facts.git("log", "--branches", f"--format={form}").splitlines():
        commit, tree, other, taken = (word.strip("<>") for word in line.split(" ", 3))
        if not other:
            continue
        if facts.told["conflicts"] == "agent":
            have = _shared(facts, commit)
            if {*_shared(facts, f"{commit}^1"), *_shared(facts, other)} - set(have):
                yield f"{commit[:10]} has {have} in shared.txt"
        # What a task starts from has passed those of tasks.
        for command in () if taken else facts.told["landing_checks"]:
            if (tree, command) not in green:
                yield f"`{command}` never passed on {tree[:10]} of {commit[:10]}"
    if facts.git("ls-tree", "--name-only", "refs/heads/main", "half-resolve.txt"):
        yield "what an agent spoiled is on main"


def _shared(facts: Facts, commit: str) -> list[str]:
    return facts.git("show", f"{commit}:shared.txt", ok=(0, 128)).split()


EXTRA_PROOFS: tuple[Callable[[Facts, Stored], Iterator[str]], ...] = (
    hooks_noted_everything,
    the_users_hooks_ran,
    flaky_checks_prove_nothing,
    landings_say_how_their_checks_went,
    nothing_counts_before_it_is_approved,
    questions_get_answers,
    resolved_conflicts_have_both_sides,
)
