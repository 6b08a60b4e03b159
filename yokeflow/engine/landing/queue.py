"""The queue before the target: which epics are tested on top of which, and which land.

Every entry is built on the one before it as if that had landed already, and several are tested at once. What
was found out about an entry counts only once the target is where the entry was built on: so the outcome is
that of landing one after the other, in less time.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from yokeflow.git.merge import Advance

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from yokeflow.engine.report import LandingResult

#: How often in a row somebody else may move the target before landing gives up.
_MOST_RACES = 20
#: Seconds after which nothing more is expected to be merged or landed, and that anybody waits for it at most.
_MOMENT, _LONGEST = 0.02, 5.0


@dataclass(frozen=True, slots=True)
class Member:
    """One epic of what is tested, merged onto what is before it."""

    epic: str
    #: Its completed tasks.
    tasks: tuple[str, ...]
    #: Tip of the epic's branch.
    tip: str
    #: What it was merged onto.
    old: str
    tree: str
    commit: str


@dataclass(frozen=True, slots=True)
class Built:
    """Epics merged one after the other, of which the last commit is tested and lands."""

    members: tuple[Member, ...]
    #: Why the epic that follows them could not be merged.
    refusal: LandingResult | None = None


#: What comes of a test, or of moving the target, when the commit that it is about is not there any more.
GONE = Built(())
LOST = Advance(moved=False, reason="gone", detail="git keeps removing the commit that is to land")


class Mechanics(Protocol):
    """What the queue has done for it."""

    async def tip(self) -> str:
        """Where the target is; empty when it is gone."""
        ...

    async def build(self, base: str, epics: Sequence[str], ahead: Sequence[Member]) -> Built:
        """Merge epics onto `base`, which has those `ahead` in it; stops at the first that does not fit."""
        ...

    async def test(self, built: Built, stop: asyncio.Event) -> Built | LandingResult:
        """Why the tree of the last commit is refused, else what may land; anything when it was stopped."""
        ...

    async def advance(self, new: str, old: str) -> Advance:
        """Move the target."""
        ...

    async def landed(self, built: Built) -> None:
        """The target has it."""
        ...

    def refused(self, result: LandingResult) -> None:
        """An epic leaves the queue."""
        ...

    def in_the_way(self, epic: str, moved: Advance) -> LandingResult:
        """The result for an epic whose commit the target cannot be moved to."""
        ...


@dataclass(eq=False)
class _Entry:
    """Epics that are tested as one, and what is known about them on `base`."""

    epics: tuple[str, ...]
    base: str | None = None
    members: tuple[Member, ...] = ()
    #: What it builds on was refused, though not for good.
    waits: bool = False
    passed: bool = False
    #: Why it cannot land on `base`.
    refusal: LandingResult | None = None
    test: asyncio.Task[Built | LandingResult] | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def open(self) -> bool:
        """Whether nothing is known yet."""
        return not self.passed and self.refusal is None and not self.waits

    @property
    def tip(self) -> str:
        return self.members[-1].commit


class LandingQueue:
    """Lands what can be landed, in the order in which it is offered."""

    def __init__(
        self,
        mechanics: Mechanics,
        landable: Callable[[Collection[str]], Sequence[str]],
        *,
        parallel: int,
        batch: int = 1,
        stop: asyncio.Event | None = None,
    ) -> None:
        """`landable` tells which epics may land if others had landed already; the first one goes first.

        `parallel` entries of up to `batch` epics are tested at the same time.
        """
        self._mechanics = mechanics
        self._landable = landable
        self._parallel = parallel
        self._batch = batch
        self._stop = stop or asyncio.Event()
        self._entries: list[_Entry] = []
        #: Tests that do not count any more and have not ended yet.
        self._ending: set[asyncio.Task[Built | LandingResult]] = set()
        self._woken = asyncio.Event()
        self._races = 0
        #: Set while nothing is merged or landed.
        self._resting = asyncio.Event()
        self._resting.set()

    def wake(self) -> None:
        """Say that another epic may have become landable, or that the run stops."""
        self._woken.set()

    async def rest(self) -> None:
        """Wait until nothing has been merged or landed for a moment, which comes first; not for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST):
                rested = False
                while not rested:
                    await asyncio.sleep(_MOMENT)
                    rested = self._resting.is_set()
                    await self._resting.wait()

    async def work(self) -> None:
        """Land until nothing can be landed, or the run is stopped."""
        self._resting.clear()
        try:
            while not self._stop.is_set():
                self._fill()
                await self._lay()
                if await self._settle():
                    continue
                if self._entries:
                    await self._wait()
                elif not self._landable(()):
                    return
        finally:
            self._resting.set()
            await self._end()

    def _fill(self) -> None:
        """Take in as many entries as can be tested."""
        ahead = self._epics()
        while sum(entry.open for entry in self._entries) < self._parallel:
            names: list[str] = []
            while len(names) < self._batch and (found := self._landable([*ahead, *names])):
                names.append(found[0])
            if not names:
                return
            self._entries.append(_Entry(tuple(names)))
            ahead += names

    def _epics(self) -> list[str]:
        return [epic for entry in self._entries for epic in entry.epics]

    async def _lay(self) -> None:
        """See that every entry is built on what is before it, and tested."""
        self._keep_landable()
        base, ahead, place = await self._mechanics.tip(), list[Member](), 0
        while place < len(self._entries):
            entry = self._entries[place]
            if not self._may_go(entry, [member.epic for member in ahead]):
                place += 1
                continue
            if entry.base != base:
                self._forget(entry)
                await self._build(entry, base, ahead)
            if entry.refusal is None:
                ahead += entry.members
                base = entry.tip
                self._start(entry)
            place += 1

    def _may_go(self, entry: _Entry, ahead: list[str]) -> bool:
        """Whether what an entry builds on is ahead of it; else it waits in its place, alone."""
        for place, epic in enumerate(entry.epics):
            if epic not in self._landable([*ahead, *entry.epics[:place]]):
                if len(entry.epics) > 1:
                    self._split(entry, max(place, 1))
                entry.waits = place == 0
                break
        else:
            entry.waits = False
        if entry.waits:
            self._forget(entry)
        return not entry.waits

    async def _build(self, entry: _Entry, base: str, ahead: Sequence[Member]) -> None:
        built = await self._mechanics.build(base, entry.epics, ahead)
        entry.base, entry.members = base, built.members
        rest = entry.epics[len(built.members) :]
        if not rest:
            return
        # The one that does not fit stands alone, so that only it is refused.
        if built.members:
            self._split(entry, len(built.members), keep=True)
        elif len(rest) > 1:
            self._split(entry, 1, keep=True)
        if not built.members:
            entry.refusal = built.refusal

    def _split(self, entry: _Entry, at: int, *, keep: bool = False) -> None:
        """Make two entries of one; the first is built anew unless it is to be kept."""
        place = self._entries.index(entry)
        self._entries.insert(place + 1, _Entry(entry.epics[at:]))
        entry.epics = entry.epics[:at]
        if not keep:
            self._forget(entry)

    def _start(self, entry: _Entry) -> None:
        running = len(self._ending) + sum(each.test is not None for each in self._entries)
        if entry.open and entry.test is None and running < self._parallel:
            entry.stop = asyncio.Event()
            entry.test = asyncio.create_task(
                self._mechanics.test(Built(entry.members), entry.stop), name=f"landing {entry.epics[-1]}"
            )

    def _forget(self, entry: _Entry) -> None:
        """What was found out about an entry does not count any more."""
        if entry.test is not None:
            entry.stop.set()
            self._ending.add(entry.test)
        entry.base, entry.members, entry.test = None, (), None
        entry.passed, entry.refusal = False, None

    def _lost(self, entry: _Entry) -> None:
        """Merge anew what is gone, but not for ever."""
        self._races += 1
        self._forget_from(entry)
        if self._races % _MOST_RACES == 0:
            self._let_go(entry, self._mechanics.in_the_way(entry.epics[0], LOST))

    def _forget_from(self, entry: _Entry) -> None:
        """The commits of an entry are gone, and so are those that were built on them."""
        for each in self._entries[self._entries.index(entry) :]:
            self._forget(each)

    def _drop(self, entry: _Entry) -> None:
        self._forget(entry)
        self._entries.remove(entry)

    async def _settle(self) -> bool:
        """Land what passed on the target as it is, or let go what was refused there; False for neither."""
        if not self._entries:
            return False
        first, base = self._entries[0], await self._mechanics.tip()
        if first.base != base:
            return True
        if first.refusal is not None:
            self._let_go(first, first.refusal)
            return True
        passed = list[_Entry]()
        for entry in self._entries:
            if not entry.passed or entry.base != base:
                break
            passed.append(entry)
            base = entry.tip
        if not passed:
            return False
        await self._land(passed, first.base)
        return True

    async def _land(self, passed: Sequence[_Entry], old: str) -> None:
        """Move the target from `old` to the last of those that passed, or as far as it goes."""
        moved = await self._mechanics.advance(passed[-1].tip, old)
        if not moved.moved and moved.reason != "raced" and len(passed) > 1:
            passed = passed[:1]
            moved = await self._mechanics.advance(passed[0].tip, old)
        if moved.moved:
            self._races = 0
            for entry in passed:
                self._entries.remove(entry)
                await self._mechanics.landed(Built(entry.members))
            return
        first, raced = passed[0], moved is LOST or moved.reason == "raced"
        self._races = self._races + 1 if raced else 0
        if moved is LOST:
            self._forget_from(first)
        if raced and self._races % _MOST_RACES:
            return
        if len(first.epics) > 1:
            self._split(first, 1)
        else:
            self._let_go(first, self._mechanics.in_the_way(first.epics[0], moved))

    def _let_go(self, entry: _Entry, result: LandingResult) -> None:
        """An epic leaves, and soon those that build on it: they come back when it has landed."""
        self._drop(entry)
        self._mechanics.refused(result)

    def _keep_landable(self) -> None:
        """Take out what may not land any more even if all ahead of it does."""
        ahead: list[str] = []
        for each in list(self._entries):
            before = len(ahead)
            for epic in each.epics:
                if epic in self._landable(ahead):
                    ahead.append(epic)
            kept = tuple(ahead[before:])
            if kept != each.epics:
                self._forget(each)
                each.epics = kept
            if not kept:
                self._entries.remove(each)

    async def _wait(self) -> None:
        """Until a test has ended or the queue was woken."""
        woken = asyncio.create_task(self._woken.wait())
        tests = {entry.test: entry for entry in self._entries if entry.test is not None}
        self._resting.set()
        try:
            await asyncio.wait({woken, *tests, *self._ending}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
        self._resting.clear()
        self._woken.clear()
        for test in [each for each in self._ending if each.done()]:
            self._ending.remove(test)
            test.result()
        for test, entry in tests.items():
            if test.done() and not self._stop.is_set():
                self._judge(entry, test.result())

    def _judge(self, entry: _Entry, found: Built | LandingResult) -> None:
        entry.test = None
        if found is GONE:
            self._lost(entry)
        elif isinstance(found, Built):
            entry.passed, entry.members = True, found.members
        elif len(entry.epics) > 1:
            self._split(entry, len(entry.epics) // 2)
        else:
            entry.refusal = found

    async def _end(self) -> None:
        for entry in list(self._entries):
            self._drop(entry)
        if self._ending:
            await asyncio.gather(*self._ending, return_exceptions=True)
            self._ending.clear()
