"""How runs are ended before they end by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

#: How the orchestrator dies: at a moment, at a record of the journal, at a change it makes, at a call of git.
KILLS = ("time", "record", "change", "git")
_RECORD_MODES = ("before", "torn", "after")
_GIT_MODES = ("before", "meanwhile", "after", "midway", "late", "git")
#: All kinds of them.
KILL_KINDS = (
    *("time", "change:before"),
    *(f"record:{mode}" for mode in _RECORD_MODES),
    *(f"git:{mode}" for mode in _GIT_MODES),
)


@dataclass(frozen=True)
class Kill:
    """How a run is ended, if it does not end by itself before."""

    #: One of KILLS, or `none`.
    how: str
    #: Seconds, or the number of the record, change or call.
    at: float = 0
    mode: str = ""

    @property
    def kind(self) -> str:
        """What is killed, and where."""
        return f"{self.how}:{self.mode}".rstrip(":")

    def __str__(self) -> str:
        return self.how if self.how == "none" else f"{self.how}:{self.at:g}:{self.mode}".rstrip(":")


NO_KILL = Kill("none")


def of_a_run(chance: Random, tasks: int) -> Kill:
    """A death that comes at about any time of a run of so many tasks."""
    how = chance.choice((*KILLS, "none")) if chance.random() < 0.3 else chance.choice(KILLS)
    match how:
        case "time":
            return Kill(how, round(chance.uniform(0.6, 3.0), 2))
        case "record":
            return Kill(how, chance.randint(1, 8 + 11 * tasks), chance.choice(_RECORD_MODES))
        case "change":
            return Kill(how, chance.randint(1, 60 + 90 * tasks), "before")
        case "git":
            return Kill(how, chance.randint(1, 25 + 25 * tasks), chance.choice(_GIT_MODES))
    return NO_KILL


def of_a_command(chance: Random, *, records: int, changes: int, calls: int) -> Kill:
    """A death in a command that makes so many records, changes and calls of git."""
    match chance.choice(("record", "change", "git") if records else ("change",)):
        case "record":
            return Kill("record", chance.randint(1, records), chance.choice(_RECORD_MODES))
        case "git":
            return Kill("git", chance.randint(1, calls), chance.choice(_GIT_MODES))
    return Kill("change", chance.randint(1, changes), "before")
