"""What a seed decides beside the first of it: what persons ask of `yoke`, approvals, questions, flaky checks.

All of it is drawn by a generator of its own, so that the rest of a round is the same whatever is added here.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from tests.torture.kills import NO_KILL, Kill, of_a_command
from tests.torture.plans import HANGS, clash_of_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.torture.plans import Work

#: Hooks that the user has already: none, some in the usual place, or in a folder that the settings name.
HOOKS = ("none", "own", "path")
#: Ways to resolve a conflict that must succeed.
RESOLVING = ("well", "committed", "elsewhere")
#: Those that must change nothing.
SPOILING = ("nothing", "markers", "drop", "abort", "crash", "die", "orphaned", "hang", "wipe", "target")
#: What `landing.conflicts` says, and whose lines a person takes then.
CONFLICTS = ("manual", "agent", "retry_later")
SIDES = ("ours", "theirs")
#: Who has to approve: of a task or an epic, before it starts or after it is done.
APPROVALS = ("task:before", "task:after", "epic:before", "epic:after")
#: All kinds of what is added here.
EXTRA_KINDS = (
    *("undo", "undo-last", "undo-killed", "undo-undone", "hooks-killed", "flaky", "rejected", "question"),
    "answer",
    *(f"hooks:{name}" for name in HOOKS),
    *(f"conflicts:{name}" for name in (*CONFLICTS, *SIDES) if name != "manual"),
    *(f"resolve:{name}" for name in (*RESOLVING, *SPOILING)),
    *(f"approve:{name}" for name in APPROVALS),
)


@dataclass(frozen=True)
class Undo:
    """The person undoes something."""

    #: After how many runs; at the end if there are not so many.
    after: int
    #: An epic, `last` for what the last run landed, or empty for the last that can be undone.
    what: str
    kill: Kill
    #: Undoes the undo then.
    again: bool

    @property
    def kinds(self) -> Iterator[str]:
        """The faults that occur here."""
        yield "undo-last" if self.what in {"", "last"} else "undo"
        if self.again:
            yield "undo-undone"
        if self.kill != NO_KILL:
            yield "undo-killed"

    def __str__(self) -> str:
        again = " twice" if self.again else ""
        return f"undo {self.what}".strip() + f"@{self.after}{again}/{self.kill}"


@dataclass(frozen=True)
class Extras:
    """Nothing of it, unless the seed says so."""

    undos: tuple[Undo, ...] = ()
    #: One of HOOKS where ours are installed, and how the first `yoke hooks install` ends.
    hooks: str = ""
    hooks_kill: Kill = NO_KILL
    #: How often a check that fails first on every tree is tried again; 0 for no such check.
    retries: int = 0
    #: One of CONFLICTS, and one of SIDES where a person knows what to do.
    conflicts: str = "manual"
    side: str = ""
    #: How agents resolve conflicts, one after the other; all further ones do it well.
    resolving: tuple[str, ...] = ()
    #: `before` or `after` by item that has to be approved, and those that are rejected the first time.
    approvals: dict[str, str] = field(default_factory=dict)
    rejected: frozenset[str] = frozenset()
    #: Tasks whose first agent asks something.
    asking: frozenset[str] = frozenset()
    #: Whether a person answers as soon as a run has ended, however it did.
    prompt: bool = False
    #: After how many records of a run a person answers while it goes on; 0 for never.
    meanwhile: int = 0

    @property
    def kinds(self) -> set[str]:
        """The faults that occur here."""
        found = {kind for undo in self.undos for kind in undo.kinds}
        found |= {f"resolve:{how}" for how in self._reached}
        found |= {f"approve:{_level(item)}:{when}" for item, when in self.approvals.items()}
        for there, kind in (
            (self.hooks, f"hooks:{self.hooks}"),
            (self.hooks_kill != NO_KILL, "hooks-killed"),
            (self.retries, "flaky"),
            (self.conflicts != "manual", f"conflicts:{self.conflicts}"),
            (self.side, f"conflicts:{self.side}"),
            (self.rejected, "rejected"),
            (self.asking, "question"),
            (self.meanwhile and self.answers, "answer"),
        ):
            found |= {kind} if there else set()
        return found

    @property
    def _reached(self) -> tuple[str, ...]:
        """How agents resolve conflicts, up to the first who does it well."""
        well = next((number for number, how in enumerate(self.resolving, 1) if how in RESOLVING), 0)
        return self.resolving[:well]

    @property
    def solved(self) -> bool:
        """Whether somebody resolves every conflict in the end."""
        return self.conflicts == "agent" or bool(self.side)

    @property
    def answers(self) -> int:
        """About how often something waits for a person's answer."""
        asked = 2 * len(self.approvals) + len(self.rejected) + len(self.asking)
        return asked + len(self.resolving) + bool(self.side)

    def configured(self, config: dict[str, Any]) -> dict[str, Any]:
        """The settings of a round with what this needs."""
        made = deepcopy(config)
        if self.conflicts != "manual":
            made["landing"]["conflicts"] = self.conflicts
        if self.conflicts != "manual" or self.side:
            # One after the other, epics build on what has landed, and do not conflict.
            made["parallel"]["max_concurrency"] = max(2, made["parallel"]["max_concurrency"])
        if self.retries:
            stages = made["checks"]
            last = stages["task"] if stages["landing"] is None else stages["landing"]
            stages["landing"] = [*last, "flaky"]
        return made

    def __str__(self) -> str:
        words = sorted(self.kinds - {kind for undo in self.undos for kind in undo.kinds})
        return " ".join([*map(str, self.undos), *words])


def _level(item: str) -> str:
    return "task" if "." in item else "epic"


def extras_of(seed: int, work: Work, *, conflicts: bool) -> Extras:
    """What else happens in the round of a seed, whose work gets what this needs.

    `conflicts` says whether there may be some that the seed itself does not make.
    """
    chance = Random(f"extras of {seed}")
    return Extras(
        undos=_undos(chance, work),
        **_hooks(chance),
        retries=chance.choice((1, 2)) if chance.random() < 0.15 else 0,
        **_conflicts(chance, work, more=conflicts),
        **_approvals(chance, work),
        asking=_asking(chance, work),
        prompt=chance.random() < 0.5,
        meanwhile=chance.randint(4, 25) if chance.random() < 0.5 else 0,
    )


def _undos(chance: Random, work: Work) -> tuple[Undo, ...]:
    count = chance.choice((1, 1, 2)) if chance.random() < 0.25 else 0
    names = ["", "last", *(epic["id"] for epic in work.epics)]
    return tuple(sorted((_undo(chance, names) for _ in range(count)), key=lambda undo: undo.after))


def _undo(chance: Random, names: list[str]) -> Undo:
    killed = chance.random() < 0.4
    kill = of_a_command(chance, records=5, changes=60, calls=45)
    return Undo(
        chance.choice((1, 2, 9, 9)), chance.choice(names), kill if killed else NO_KILL, chance.random() < 0.4
    )


def _hooks(chance: Random) -> dict[str, Any]:
    hooks = chance.choice(HOOKS) if chance.random() < 0.25 else ""
    kill = of_a_command(chance, records=0, changes=25, calls=0)
    return {"hooks": hooks, "hooks_kill": kill if hooks and chance.random() < 0.4 else NO_KILL}


def _conflicts(chance: Random, work: Work, *, more: bool) -> dict[str, Any]:
    """Decide what is done about epics that conflict, and let more of them do so."""
    more = chance.random() < 0.12 and more and not work.clash and len(work.epics) > 1
    conflicts = chance.choice((*CONFLICTS, "agent", "agent", "agent"))
    side = chance.choice(("", *SIDES)) if conflicts != "agent" else ""
    spoiled = chance.sample(SPOILING, chance.choice((0, 1, 2, 3)))
    resolving = (*spoiled, *(chance.choice(RESOLVING) for _ in range(2)))
    if more:
        clash_of_files(work)
    if work.clash != "conflict":
        return {}
    if "hang" in spoiled:
        # Whoever resolves a conflict has the time of the epic's last task.
        for epic in work.epics[:2]:
            epic["tasks"][-1]["timeout"] = HANGS
    return {
        "conflicts": conflicts,
        "side": side,
        "resolving": resolving if conflicts == "agent" else (),
    }


def _approvals(chance: Random, work: Work) -> dict[str, Any]:
    wanted: dict[str, str] = {}
    if chance.random() < 0.18:
        for epic in work.epics:
            for item in (epic, *epic["tasks"]):
                if chance.random() < 0.35:
                    item["approve"] = wanted[item["id"]] = chance.choice(("before", "after"))
    after = [item for item, when in wanted.items() if when == "after" and "." in item]
    return {"approvals": wanted, "rejected": frozenset(item for item in after if chance.random() < 0.4)}


def _asking(chance: Random, work: Work) -> frozenset[str]:
    """Tasks whose first agent asks, which also their instructions say."""
    asking = [task for task in work.tasks if chance.random() < 0.4] if chance.random() < 0.15 else []
    for task in asking:
        work.behaviour[task].insert(0, "ask")
    return frozenset(asking)
