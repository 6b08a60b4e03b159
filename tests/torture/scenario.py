"""Everything about a round that its seed decides."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.torture.extras import Extras, extras_of
from tests.torture.kills import NO_KILL, of_a_run
from tests.torture.plans import GOOD, Work, random_work

if TYPE_CHECKING:
    from random import Random

    from tests.torture.kills import Kill

_PERSON = (
    *("commit", "commit", "amend", "switch", "edit", "lock", "rebase", "epic-commit", "branch"),
    *("kill-agent", "interrupt"),
)
_SERVER = ("server-kill", "server-stop", "server-restart")
#: What others do meanwhile.
DEEDS = (*dict.fromkeys(_PERSON), *_SERVER, "disk", "clock")
#: Epics that cannot both land: by their files, or by what a check says of both together.
CLASHES = ("conflict", "red")
_CLOCK = (-86_400, -3600, -5, 7, 3600, 86_400 * 2)


@dataclass(frozen=True)
class Deed:
    """What somebody else does meanwhile."""

    what: str
    #: Once so many records were added to the journal since the start of the run.
    after: int
    value: float = 0

    def __str__(self) -> str:
        return f"{self.what}@{self.after}"


@dataclass(frozen=True)
class Phase:
    """One `yoke run`, how it is ended and what happens meanwhile."""

    kill: Kill
    deeds: tuple[Deed, ...] = ()

    def __str__(self) -> str:
        return " ".join(map(str, (self.kill, *self.deeds)))


@dataclass(frozen=True)
class Scenario:
    """A round."""

    seed: int
    work: Work
    config: dict[str, Any]
    phases: tuple[Phase, ...]
    #: What the user has lying around.
    belongings: frozenset[str]
    #: Runs have an embedded server of their own.
    own_server: bool = False
    #: The repository is on a disk of a few megabytes.
    small_disk: bool = False
    #: The clock jumps.
    clock: bool = False
    #: Millionths of a dollar that a day may cost; 0 for no limit.
    budget: int = 0
    extras: Extras = field(default_factory=Extras)

    @property
    def kinds(self) -> set[str]:
        """The faults that occur here."""
        deeds = {deed.what for phase in self.phases for deed in phase.deeds}
        kills = {phase.kill.kind for phase in self.phases} - {"none"}
        starts = {how for starts in self.work.behaviour.values() for how in _reached(starts)}
        more = self.extras.kinds | ({"budget"} if self.budget else set())
        return deeds | kills | starts | more | ({self.work.clash} - {""})

    def __str__(self) -> str:
        parallel = self.config["parallel"]
        size = f"{len(self.work.epics)} epics, {len(self.work.tasks)} tasks"
        how = f"{parallel['strategy']} {parallel['merge_strategy']} x{parallel['max_concurrency']}"
        extra = [name for name in ("own_server", "small_disk", "clock", "budget") if getattr(self, name)]
        phases = "; ".join(map(str, self.phases))
        more = "".join(f", {name}" for name in (*extra, self.work.clash, str(self.extras)) if name)
        return f"{size}, {how}{more} | {phases}"


def _reached(starts: list[str]) -> list[str]:
    """Those that are certain to happen: up to the first that succeeds."""
    count = next(number for number, how in enumerate(starts, 1) if how in GOOD)
    return starts[:count]


def scenario(seed: int) -> Scenario:
    """The round of a seed."""
    chance = random.Random(seed)
    special = chance.choices(("", "server", "disk", "clock", "budget"), (70, 9, 6, 7, 8))[0]
    clash = chance.choices(("", *CLASHES), (84, 8, 8))[0] if not special else ""
    misbehave = chance.choice((0.0, 0.25, 0.5))
    work = random_work(chance, misbehave=misbehave, clash=clash)
    budget = 0
    if special == "budget":
        work.costs.update({task: chance.randrange(100, 4000) for task in work.tasks})
        budget = round(sum(work.costs.values()) * chance.choice((0.5, 1.5, 4)))
    config, phases = _config(chance, work, budget), _phases(chance, special, len(work.tasks))
    belongings = frozenset(each for each in _BELONGINGS if chance.random() < 0.6)
    extras = extras_of(seed, work, conflicts=special not in {"server", "disk"})
    return Scenario(
        seed,
        work,
        extras.configured(config),
        tuple(_answered(phase, extras) for phase in phases),
        belongings,
        extras=extras,
        own_server=special == "server",
        small_disk=special == "disk",
        clock=special == "clock",
        budget=budget,
    )


def _answered(phase: Phase, extras: Extras) -> Phase:
    """With a person who answers while the run goes on, where there is something to ask."""
    if not extras.meanwhile or not extras.answers:
        return phase
    deeds = (*phase.deeds, Deed("answer", extras.meanwhile))
    return replace(phase, deeds=tuple(sorted(deeds, key=lambda deed: deed.after)))


_BELONGINGS = ("dirty", "staged", "added", "untracked", "ignored", "stash", "branch", "hook", "removed")


def _config(chance: Random, work: Work, budget: int) -> dict[str, Any]:
    landing = chance.choice((None, [], ["landing"], ["landing", "again"]))
    if work.clash == "red":
        landing = ["landing"]
    checks: dict[str, Any] = {"task": ["task"] if chance.random() < 0.3 else [], "landing": landing}
    cost: dict[str, Any] = {"prices": {"torture": {"input": 1, "output": 1}}}
    if budget:
        cost["budgets"] = {"day": {"usd": budget / 1e6}}
        cost["session_limit_usd"] = max(work.costs.values()) * chance.choice((1, 1.5)) / 1e6
    return {
        "project": {"target": "main"},
        "parallel": {
            "strategy": chance.choice(("by_epic", "by_task", "smart")),
            "merge_strategy": chance.choice(("merge", "merge", "squash")),
            "max_concurrency": chance.randint(1, 4),
        },
        "landing": {
            "max_parallel_checks": chance.choice((1, 2, 4)),
            "batch": chance.choice((1, 1, 2, 3)),
        },
        "checks": checks,
        "cost": cost,
        "learning": {"enabled": chance.random() < 0.2},
    }


def _phases(chance: Random, special: str, tasks: int) -> tuple[Phase, ...]:
    count = chance.choice((1, 2, 2, 3))
    return tuple(_phase(chance, special, number, tasks) for number in range(count))


def _phase(chance: Random, special: str, number: int, tasks: int) -> Phase:
    deeds = [
        Deed(chance.choice(_PERSON), chance.randrange(2, 40)) for _ in range(chance.choice((0, 0, 1, 2)))
    ]
    if special == "server":
        deeds.append(Deed(chance.choice(_SERVER), chance.randrange(1, 25), chance.uniform(0.2, 1.5)))
    elif special == "disk" and number == 0:
        deeds.append(Deed("disk", chance.randrange(1, 25)))
    elif special == "clock":
        deeds.append(Deed("clock", chance.randrange(0, 20), chance.choice(_CLOCK)))
    quiet = special and chance.random() < 0.5
    return Phase(
        NO_KILL if quiet else of_a_run(chance, tasks), tuple(sorted(deeds, key=lambda deed: deed.after))
    )
