"""Random plans: epics, tasks, who waits for whom, what each writes, and how its agents misbehave."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from random import Random

#: Ways to do a task that must succeed.
GOOD = (
    *("good", "uncommitted", "slow", "twice", "elsewhere", "detached", "daemon", "flood", "ignored"),
    *("nested", "prune", "good", "good"),
)
#: Ways that cost an attempt at most.
BAD = (
    *("crash", "die", "orphaned", "hang", "wipe", "nogit", "index", "head", "locked", "merging"),
    *("rebasing", "orphan", "empty", "target", "merge-main", "push"),
)
#: Seconds for a task one of whose agents hangs.
HANGS = "3s"


@dataclass
class Work:
    """A random plan and all that its agents do."""

    epics: list[dict[str, Any]]
    #: Shell commands by task.
    commands: dict[str, str]
    #: By task: how its starts go, one after the other; all further ones go well.
    behaviour: dict[str, list[str]]
    #: By task: the file that holds its id once it is done.
    files: dict[str, str]
    #: What each session of a task spends, in millionths of a dollar.
    costs: dict[str, int] = field(default_factory=dict)
    #: Whether two epics cannot both land.
    clash: str = ""

    @property
    def tasks(self) -> list[str]:
        """All task ids."""
        return list(self.commands)


def random_work(chance: Random, *, misbehave: float, clash: str) -> Work:
    """A plan of up to four epics; `misbehave` is the share of starts that go wrong.

    `clash` makes two epics that conflict (`conflict`) or are green alone and red together (`red`).
    """
    work = Work([], {}, {}, {}, clash=clash)
    count = chance.choice((1, 2, 2, 3, 3, 4)) if not clash else chance.choice((2, 3))
    for number in range(count):
        work.epics.append(_epic(chance, work, f"e{number}", misbehave))
    if clash:
        _clash(work, clash)
    return work


def _epic(chance: Random, work: Work, name: str, misbehave: float) -> dict[str, Any]:
    earlier = work.tasks
    tasks: list[dict[str, Any]] = []
    for number in range(chance.choice((1, 1, 2, 2, 3))):
        tasks.append(_task(chance, work, name, number, tasks, misbehave))
    epic: dict[str, Any] = {"id": name, "title": f"Epic {name}", "tasks": tasks}
    if earlier and not work.clash and chance.random() < 0.4:
        needed = chance.choice(earlier)
        where = epic if chance.random() < 0.4 else tasks[0]
        where.setdefault("depends_on", []).append(needed)
    if chance.random() < 0.3:
        tasks[0]["priority"] = chance.randrange(10)
    return epic


def _task(
    chance: Random, work: Work, epic: str, number: int, before: list[dict[str, Any]], misbehave: float
) -> dict[str, Any]:
    name = f"{epic}.t{number}"
    shared = chance.random() < 0.5
    file = f"{epic}.txt" if shared else f"own/{name}.txt"
    task: dict[str, Any] = {"id": name, "title": f"Do {name}", "prompt": f"Do {name}.", "files": [file]}
    task["model"] = "torture"
    task["verify"] = [f"grep -qxF {name} {file}"]
    # Those that append to one file do so one after the other, in the order of the plan.
    last = [each for each in before if shared and each["files"] == [file]]
    if last or (before and chance.random() < 0.3):
        task["depends_on"] = [(last or before)[-1]["id"]]
    work.commands[name] = f"mkdir -p own; echo {name} >>{file}\n"
    work.files[name] = file
    starts = [chance.choice(BAD) for _ in range(2) if chance.random() < misbehave]
    work.behaviour[name] = [*starts, *(chance.choice(GOOD) for _ in range(3))]
    if "hang" in starts:
        task["timeout"] = HANGS
    return task


def clash_of_files(work: Work) -> None:
    """Let the first two epics conflict, which would not have and may have waited for each other."""
    work.clash = "conflict"
    first, second = work.epics[:2]
    for item in (second, *second["tasks"]):
        waits_for = [name for name in item.pop("depends_on", ()) if name.partition(".")[0] != first["id"]]
        item.update({"depends_on": waits_for} if waits_for else {})
    _clash(work, work.clash)


def _clash(work: Work, clash: str) -> None:
    """Let the first tasks of the first two epics not go together."""
    for number, side in enumerate("ab"):
        first = work.epics[number]["tasks"][0]
        path = "shared.txt" if clash == "conflict" else f"red-{side}.txt"
        work.commands[first["id"]] += f"echo {first['id']} >{path}\n"
        first["files"].append(path if clash == "red" else f"shared-{side}.txt")
