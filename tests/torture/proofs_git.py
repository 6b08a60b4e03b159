"""Proofs that need git and the agents' own notes alone. Each gives a sentence for whatever is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.torture.look import belongings, digest
from tests.torture.shell import attempt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.torture.facts import Facts

#: What git and we may have in a git folder and in our part of it.
_OF_GIT = frozenset(
    (
        *("HEAD", "ORIG_HEAD", "COMMIT_EDITMSG", "config", "description", "hooks", "index", "info", "logs"),
        *("objects", "packed-refs", "refs", "branches", "yoke", "gc.log", "gc.pid"),
    )
)
_OURS = frozenset(
    (
        *("journal.jsonl", "run.lock", "worktrees.lock", "sessions", "status.json", "notices.json"),
        *("session-hooks", "session.gitconfig", "program", "settings.good", "spool.lock", "guarded"),
    )
)


def every_commit_is_a_landing_or_a_persons(facts: Facts) -> Iterator[str]:
    """Nothing else moves the target."""
    for commit in facts.gained:
        if commit.oid not in facts.persons and "Yoke-Epic" not in commit.trailers:
            yield f"{commit.oid[:10]} “{commit.subject}” is on the target"


def landings_say_what_was_tested(facts: Facts) -> Iterator[str]:
    """The trailer names the tree itself, of what landed and of what was undone."""
    for commit in (*facts.landed, *facts.undone):
        last, commands = facts.tested(commit)
        word = "batched" if last != commit else "passed" if commands else "none"
        words = {word, "flaky"} if word == "passed" and facts.told["retries"] else {word}
        tree, _, said = commit.trailers.get("Yoke-Checks", "").partition("=")
        if last is None or tree != commit.tree or said not in words:
            yield f"{commit.oid[:10]} has {commit.trailers} and tree {commit.tree}"


def epics_land_once(facts: Facts) -> Iterator[str]:
    """And once more each time they were undone."""
    there: dict[str, str] = {}
    for number, commit in enumerate(facts.gained):
        until = facts.until(number)
        if "Yoke-Epic" not in commit.trailers or commit.undoes:
            continue
        epic = commit.trailers["Yoke-Epic"]
        if epic in there and until.stands_by(there[epic]):
            yield f"{epic} landed as {there[epic][:10]} and again as {commit.oid[:10]}"
        there[epic] = commit.oid


def nothing_is_rewritten(facts: Facts) -> Iterator[str]:
    """Where the target was before and after an undo, it still has; one that failed made no commit."""
    gained = {commit.oid: commit for commit in facts.gained}
    for line in facts.lines("undo.log"):
        before, after, code = line.split()
        for oid in (before, after):
            mark = "%(trailers:key=Yoke-Checks,valueonly)"
            if oid not in gained and facts.git("log", "-1", f"--format={mark}", oid).strip():
                yield f"{oid[:10]} was the tip of main, and is not in it any more"
        if code in {"1", "2"} and before != after and after in gained and gained[after].undoes:
            yield f"an undo left with {code} and made {after[:10]}"


def checks_saw_what_landed(facts: Facts) -> Iterator[str]:
    """By the notes of the checks themselves: each passed on exactly the landed tree, nothing beside it."""
    passed = set()
    for line in facts.lines("checks.log"):
        name, tree, verdict, changed = line.split(" ", 3)
        if verdict == "passed" and not changed:
            passed.add((name, tree))
    for commit in (*facts.landed, *facts.undone):
        last, _ = facts.tested(commit)
        for command in facts.told["landing_checks"]:
            if last and (command.split()[-1], last.tree) not in passed:
                yield f"{command.split()[-1]} did not pass on {last.tree[:10]}, landed as {last.oid[:10]}"


def evidence_is_with_the_landings(facts: Facts) -> Iterator[str]:
    """Git keeps what proved a landing, for every landing that was tested and for nothing else."""
    kept = set(facts.git("for-each-ref", "--format=%(refname:lstrip=3)", "refs/yoke/evidence/").split())
    tested = [*facts.landed, *facts.undone]
    for commit in tested:
        last, commands = facts.tested(commit)
        if last == commit and commands and commit.oid not in kept:
            yield f"there is none for {commit.oid[:10]}"
    for oid in kept - {commit.oid for commit in tested}:
        yield f"{oid[:10]} is no landing"


def work_is_there_once(facts: Facts) -> Iterator[str]:
    """What the tasks of a landed epic wrote is on the target, once; nothing that failed or was undone is."""
    names = set(facts.git("ls-tree", "-r", "--name-only", "refs/heads/main").splitlines())
    for epic in {commit.trailers["Yoke-Epic"] for commit in facts.landed}:
        for task in facts.told["epics"][epic]:
            file = facts.told["tasks"][task]
            text = facts.git("show", f"refs/heads/main:{file}") if file in names else ""
            if (count := text.split("\n").count(task)) != (epic in facts.standing):
                yield f"{file} on main names {task} {count} times"
    for name in names:
        if name.startswith("half-"):
            yield f"{name} of an attempt that failed is on main"


def agents_commits_are_kept(facts: Facts) -> Iterator[str]:
    """Whatever an agent committed can be found below some ref.

    What an agent made of a conflict becomes one commit with its session's name, whatever it made itself. And
    git lets `git gc --prune=now` take what is committed at the same time: then the attempt must have failed.
    """
    said = facts.git("log", "--all", "--format=%B")
    pruned = bool(facts.lines("pruned.log"))
    for token in facts.lines("commits.log"):
        session = f"Yoke-Session: {token.removeprefix('torture-').rpartition('-')[0]}\n"
        taken = pruned and session not in said
        if token not in said and f"{session}Yoke-Resolves: " not in said and not taken:
            yield f"the commit {token} is gone"


def the_repository_is_whole(facts: Facts) -> Iterator[str]:
    """Every ref leads to objects that are there."""
    done = attempt(facts.shop, "fsck", "--connectivity-only", "--no-dangling", "--no-progress")
    if done.returncode or done.stderr.strip():
        yield f"git fsck: {done.stdout}{done.stderr}"


def nothing_of_the_users_changed(facts: Facts) -> Iterator[str]:
    """Files, index entries, stash, branches, settings and hooks are as they were."""
    before, after = facts.told["before"], belongings(facts.shop)
    later = dict(line.split(" ", 1) for line in facts.lines("mine.log"))
    before["status"] = sorted([*before["status"], *(f"?? {path}" for path in later)])
    before["files"] |= later
    after["files"] |= {path: digest(facts.shop / path) for path in before["files"]}
    for what in sorted({*before, *after}):
        if what != "index" and before[what] != after[what]:
            yield f"{what} was {before[what]} and is {after[what]}"
    for entry in before["index"]:
        if entry not in after["index"]:
            yield f"the index had {entry}"
    yield from facts.lines("excused.log")


def nothing_is_left(facts: Facts) -> Iterator[str]:
    """No lock, temporary file, process, and nothing in git's folders that belongs to no one."""
    git_dir = facts.shop / ".git"
    for lock in git_dir.rglob("*.lock"):
        if lock.parent != git_dir / "yoke":
            yield f"the lock {lock.relative_to(git_dir)}"
    for path in git_dir.iterdir():
        empty = path.name == "worktrees" and (_open_epics(facts) or not any(path.iterdir()))
        if path.name not in _OF_GIT and not empty:
            yield f"{path.name} in .git"
    yoke = git_dir / "yoke"
    for path in yoke.iterdir() if yoke.is_dir() else ():
        if path.name not in _OURS:
            yield f"{path.name} in .git/yoke"
    for path in (facts.folder / "tmp").iterdir():
        yield f"the temporary file {path.name}"
    for line in facts.lines("processes.log"):
        yield f"process {line}"


def only_open_epics_have_branches(facts: Facts) -> Iterator[str]:
    """Branches and worktrees of what landed are gone; a branch stays if a person added something later."""
    left = _open_epics(facts)
    for ref in facts.git("for-each-ref", "--format=%(refname)").splitlines():
        if ref.startswith("refs/heads/epic/") and ref.removeprefix("refs/heads/epic/") not in left:
            beside = facts.git("log", "--format=%s", ref, "^refs/heads/main").splitlines()
            if not any(subject.startswith("Person ") for subject in beside):
                yield f"the branch {ref}"
        if (
            ref.startswith("refs/heads/lane/")
            and ref.removeprefix("refs/heads/lane/").split(".")[0] not in left
        ):
            yield f"the branch {ref}"
        if ref.startswith("refs/yoke/") and not ref.startswith(("refs/yoke/keep/", "refs/yoke/evidence/")):
            yield f"the ref {ref}"
    folder = facts.shop / ".worktrees"
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name.split(".")[0] not in left:
            yield f"the worktree {path.name}"


def _open_epics(facts: Facts) -> set[str]:
    return set(facts.told["epics"]) - set(facts.standing)


GIT_PROOFS: tuple[Callable[[Facts], Iterator[str]], ...] = (
    every_commit_is_a_landing_or_a_persons,
    landings_say_what_was_tested,
    epics_land_once,
    nothing_is_rewritten,
    checks_saw_what_landed,
    evidence_is_with_the_landings,
    work_is_there_once,
    agents_commits_are_kept,
    the_repository_is_whole,
    nothing_of_the_users_changed,
    nothing_is_left,
    only_open_epics_have_branches,
)
