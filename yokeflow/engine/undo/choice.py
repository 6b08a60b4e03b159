"""What `yoke undo` is asked to undo: an operation, an epic's landing, or a commit."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from yokeflow.errors import UsageError, YokeError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from yokeflow.engine.landing.order import LandingOrder
    from yokeflow.engine.recovery.taken_back import View
    from yokeflow.model import Plan
    from yokeflow.store.operations import Landed

_NAME = re.compile(r"[0-9a-f][0-9a-f-]{3,}")
_LIST = "`yoke log --operations` lists what can be undone"


@dataclass(frozen=True, slots=True)
class Undoing:
    """What is to be undone."""

    target: str
    #: Landings to take back, or to bring back, the newest first.
    landings: tuple[Landed, ...]
    #: It undoes an undo.
    back: bool = False
    #: What is undone, where that is a run or an undo as a whole: its kind and id.
    whole: tuple[str, str] | None = None
    #: Other epics of that, which are left as they are, with the reason.
    left: Mapping[str, str] = field(default_factory=dict)

    @property
    def commits(self) -> tuple[str, ...]:
        """The commits that are turned around, the newest first."""
        return tuple(dict.fromkeys(each.undone_by if self.back else each.commit for each in self.landings))

    @property
    def epics(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(landing.epic for landing in self.landings))


def choose(view: View, plan: Plan, order: LandingOrder, wanted: str, *, with_dependents: bool) -> Undoing:
    """Find what `wanted` means: an epic, `last`, a prefix of a run, undo or commit; empty for the last one.

    `last` is the newest run or undo by whose commits work is on the target: what went away since does not
    count, nor does an undo that only took work off.

    Raises UsageError when it means nothing that can be undone, YokeError when other landings build on it.
    """
    chosen = _Finder(view).find(wanted)
    if chosen.back:
        return chosen
    for landing in chosen.landings:
        if not landing.made:
            reason = (
                f"{landing.epic} was on {view.target} before it landed: no commit of its own can be undone"
            )
            raise YokeError(reason, hint=f"take the commits back by hand: git revert, on {view.target}")
    more = _dependents(view, plan, order, chosen.landings)
    if more and not with_dependents:
        listed = ", ".join(f"{each.epic} ({each.commit[:7]})" for each in more)
        it = "it" if len(chosen.epics) == 1 else "them"
        raise YokeError(
            f"{listed} landed later and built on {it}: {', '.join(chosen.epics)} cannot be undone alone",
            hint=f"undo them too: yoke undo {wanted} --with-dependents".replace("  ", " "),
        )
    together = {each.commit for each in (*chosen.landings, *more)}
    landings = [each for each in view.standing() if each.commit in together]
    return replace(chosen, landings=tuple(landings))


class _Finder:
    """Finds operations by name."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._standing = view.standing()
        #: By id, what each operation landed that is there, or undid that is gone.
        self._units: dict[str, Undoing] = {}
        self._operations = {operation.id: operation for operation in view.operations}
        self._collect()

    def _collect(self) -> None:
        landed: dict[str, list[Landed]] = {}
        for landing in self._standing:
            landed.setdefault(landing.operation or landing.commit, []).append(landing)
        undone: dict[str, list[Landed]] = {}
        by = {commit: each.id for each in self._view.operations for commit in each.undone.values()}
        for landing in reversed(self._view.gone()):
            if self._view.reverts.of(landing.undone_by) is None:
                undone.setdefault(by.get(landing.undone_by, landing.undone_by), []).append(landing)
        for name, landings in landed.items():
            # Where there is nothing else, whoever names it is told why not.
            self._units[name] = self._unit(name, [each for each in landings if each.made] or landings)
        for name, landings in undone.items():
            self._units[name] = self._unit(name, landings, back=True)

    def _unit(self, name: str, landings: Sequence[Landed], *, back: bool = False) -> Undoing:
        """What an operation did, as far as that is still so."""
        unit = Undoing(self._view.target, tuple(landings), back)
        if (operation := self._operations.get(name)) is None:
            return unit
        others = [epic for epic in (operation.undone if back else operation.landed) if epic not in unit.epics]
        left = {epic: self._where(epic) for epic in others}
        return replace(unit, whole=(operation.kind, operation.id), left=left)

    def _where(self, epic: str) -> str:
        """Where an epic is that an operation has no hold of any more."""
        here = next((landing for landing in self._standing if landing.epic == epic), None)
        if here is None:
            return f"is off {self._view.target} already"
        if not here.made:
            return f"stays on {self._view.target}, where it was before"
        by = self._operations.get(here.operation)
        name = f"{by.kind} {by.id[:8]}" if by else here.commit[:7]
        return f"stays on {self._view.target}, by {name}"

    def find(self, wanted: str) -> Undoing:
        if not wanted:
            return self._newest(self._units, "nothing that is there can be undone")
        if wanted == "last":
            there = [name for name, unit in self._units.items() if not unit.back]
            return self._newest(there, "nothing has landed that is still there")
        known = [landing for landing in self._view.landings if landing.epic == wanted]
        if known or wanted in self._view.states:
            return self._epic(wanted, known)
        return self._named(wanted.lower())

    def _newest(self, names: Collection[str], nothing: str) -> Undoing:
        units = [unit for unit in map(self._units.__getitem__, names) if unit.back or unit.landings[0].made]
        if not units:
            raise UsageError(nothing, hint=_LIST)
        return min(units, key=lambda unit: self._view.places[unit.commits[0]])

    def _epic(self, epic: str, known: Sequence[Landed]) -> Undoing:
        standing = tuple(landing for landing in self._standing if landing.epic == epic)
        if standing:
            return Undoing(self._view.target, standing)
        for name, unit in self._units.items():
            if unit.back and epic in unit.epics:
                hint = f"bring it back: yoke undo {name[:8]}"
                raise UsageError(f"{epic} was undone already", hint=hint)
        if not known:
            what = f"{epic} has not landed on {self._view.target}"
            raise UsageError(what, hint="only what landed can be undone")
        by = next((found for each in known if (found := self._view.reverts.of(each.commit))), None)
        how = f"by {by.commit[:12]}" if by else "already"
        raise UsageError(f"{epic} was taken off {self._view.target} {how}", hint=_LIST)

    def _named(self, wanted: str) -> Undoing:
        """What a prefix of an id or commit means."""
        if not _NAME.fullmatch(wanted):
            raise UsageError(f"there is nothing named {wanted} to undo", hint=_LIST)
        found = {
            name: unit
            for name, unit in self._units.items()
            if name.startswith(wanted) or (unit.back and unit.commits[0].startswith(wanted))
        }
        for landing in self._standing:
            if landing.commit.startswith(wanted) and landing.commit not in found:
                same = tuple(each for each in self._standing if each.commit == landing.commit)
                found[landing.commit] = Undoing(self._view.target, same)
        if len(found) > 1:
            names = ", ".join(sorted(name[:12] for name in found))
            raise UsageError(f"{wanted} can mean {names}", hint="give more of it")
        if not found:
            raise UsageError(f"there is nothing named {wanted} to undo", hint=_LIST)
        return next(iter(found.values()))


def _dependents(view: View, plan: Plan, order: LandingOrder, chosen: Sequence[Landed]) -> list[Landed]:
    """Later landings that took in work of these, or came to the target by the same commit."""

    def builds_on(later: Landed, earlier: Landed) -> bool:
        if later.commit == earlier.commit:
            return True
        if view.places[later.commit] > view.places[earlier.commit]:
            return False
        known = later.epic in plan.epic and earlier.epic in order.builds_on(later.epic)
        return known or later.epic == earlier.epic

    all_of = list(chosen)
    more: list[Landed] = []
    for landing in reversed(view.standing()):
        if landing not in all_of and any(builds_on(landing, each) for each in all_of):
            all_of.append(landing)
            more.append(landing)
    return more
