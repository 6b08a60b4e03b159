"""One after the other, several at once or in batches: what lands is the same."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from yokeflow.engine.landing.order import LandingOrder
from yokeflow.engine.landing.queue import GONE, LOST, Built, LandingQueue, Member
from yokeflow.engine.report import LandingResult
from yokeflow.git.merge import Advance, commit_merge, merge_trees
from yokeflow.git.repo import Repo
from yokeflow.git.runner import run_git
from yokeflow.model import LandingStatus

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

HISTORIES = 300
FILES = [f"file{number}" for number in range(4)]
LINES = 12


@dataclass
class History:
    """Finished epics on one base: some conflict, some are red alone, some only together."""

    number: int
    #: Epics by what they build on.
    direct: dict[str, set[str]]
    priority: dict[str, int]
    tips: dict[str, str] = field(default_factory=dict)
    base: str = ""

    @property
    def order(self) -> LandingOrder:
        return LandingOrder(self.direct, self.priority)


class Yard:
    """The mechanics on real commits, without checkouts; tests look at the names in a tree."""

    def __init__(self, repo: Repo, history: History, made: dict[tuple[str, ...], object], seed: int) -> None:
        self.repo, self.history, self.made = repo, history, made
        self.random = random.Random(seed)
        self.target = history.base
        self.landed_now: list[str] = []
        self.refusals: dict[str, str] = {}
        self.green: set[str] = set()
        self.at_once = self.most = 0

    async def tip(self) -> str:
        return self.target

    async def build(self, base: str, epics: Sequence[str], ahead: Sequence[Member]) -> Built:
        members: list[Member] = []
        for epic in epics:
            tip = self.history.tips[epic]
            tree, commit = await self._merge(base, tip)
            if not commit:
                refusal = LandingResult(epic, LandingStatus.CONFLICT, waits="conflict", reason="conflict")
                return Built(tuple(members), refusal)
            members.append(Member(epic, (), tip, base, tree, commit))
            base = commit
        return Built(tuple(members))

    async def _merge(self, base: str, tip: str) -> tuple[str, str]:
        key = ("merge", base, tip)
        if key not in self.made:
            merged = await merge_trees(self.repo, base, tip)
            self.made[key] = merged.tree and (
                merged.tree,
                await commit_merge(self.repo, base, tip, "Land\n", tree=merged.tree),
            )
        found = self.made[key]
        return found if isinstance(found, tuple) else ("", "")

    async def test(self, built: Built, stop: asyncio.Event) -> Built | LandingResult:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        last = built.members[-1]
        names = await self._names(last.tree)
        for _ in range(self.random.randrange(6)):
            await asyncio.sleep(0)
        self.at_once -= 1
        pairs = [name.partition("-")[0] for name in names if name.startswith("pair")]
        if any(name.startswith("bad") for name in names) or len(pairs) > len(set(pairs)):
            return LandingResult(last.epic, LandingStatus.REJECTED, waits="red_check", reason="red")
        self.green.add(last.commit)
        return built

    async def _names(self, tree: str) -> list[str]:
        if ("names", tree) not in self.made:
            self.made["names", tree] = list(await self.repo.tracked_files(tree))
        found = self.made["names", tree]
        assert isinstance(found, list)
        return found

    async def advance(self, new: str, old: str) -> Advance:
        assert self.target == old
        assert new in self.green, "only what was tested may land"
        self.target = new
        return Advance(moved=True)

    async def landed(self, built: Built) -> None:
        self.landed_now += [member.epic for member in built.members]

    def refused(self, result: LandingResult) -> None:
        self.refusals[result.epic] = result.status.value

    def in_the_way(self, epic: str, moved: Advance) -> LandingResult:
        raise AssertionError("nothing is in the way here")

    def landable(self, ahead: Collection[str]) -> list[str]:
        gone = {*self.landed_now, *ahead}
        return self.history.order.landable(set(self.history.direct) - set(self.refusals), gone)


def random_history(number: int) -> History:
    dice = random.Random(number)
    epics = [f"e{place}" for place in range(dice.randint(2, 7))]
    direct = {
        epic: {dice.choice(epics[:place])} if place and dice.random() < 0.25 else set()
        for place, epic in enumerate(epics)
    }
    return History(number, direct, {epic: dice.choice((2, 5, 5, 5)) for epic in epics})


def stream(history: History) -> str:
    """Base and branches of a history for `git fast-import`."""
    dice = random.Random(history.number)
    text = {name: [f"{name} line {line}" for line in range(LINES)] for name in FILES}
    said = [_commit(history, "base", "", {name: "\n".join(lines) + "\n" for name, lines in text.items()})]
    own: dict[str, dict[str, list[str]]] = {}
    for epic, below in history.direct.items():
        start = next(iter(below), "base")
        files = {name: list(lines) for name, lines in own.get(start, text).items()}
        changed = {f"{epic}.txt": f"{epic}\n"}
        for name in dice.sample(FILES, dice.randint(0, 2)):
            files[name][dice.randrange(LINES)] = f"{epic} was here"
            changed[name] = "\n".join(files[name]) + "\n"
        if dice.random() < 0.2:
            changed[f"bad.{epic}"] = "x\n"
        if dice.random() < 0.3:
            changed[f"pair{dice.randrange(2)}-{epic}"] = "x\n"
        own[epic] = files
        said.append(_commit(history, epic, start, changed))
    return "".join(said)


def _commit(history: History, name: str, start: str, files: dict[str, str]) -> str:
    place = f"refs/heads/{history.number}/"
    head = f"commit {place}{name}\ncommitter A <a@b> 1700000000 +0000\ndata 2\nx\n"
    head += f"from {place}{start}\n" if start else ""
    return head + "".join(
        f"M 100644 inline {path}\ndata {len(data)}\n{data}\n" for path, data in files.items()
    )


@pytest.fixture
async def repo(tmp_path: Path) -> Repo:
    await run_git("init", "-q", "--bare", str(tmp_path), cwd=tmp_path)
    return Repo(tmp_path, tmp_path, bare=True)


async def load(repo: Repo, histories: Sequence[History]) -> None:
    lines = "".join(map(stream, histories)) + "done\n"
    await repo.git("fast-import", "--quiet", "--done", stdin=lines.encode())
    refs = await repo.refs("refs/heads/")
    for history in histories:
        history.tips = {epic: refs[f"refs/heads/{history.number}/{epic}"] for epic in history.direct}
        history.base = refs[f"refs/heads/{history.number}/base"]


async def outcome(
    repo: Repo, history: History, made: dict[tuple[str, ...], object], *, parallel: int, batch: int
) -> tuple[str, set[str], dict[str, str]]:
    yard = Yard(repo, history, made, history.number)
    await LandingQueue(yard, yard.landable, parallel=parallel, batch=batch).work()
    assert yard.most <= parallel
    return await repo.tree_of(yard.target), set(yard.landed_now), yard.refusals


@pytest.mark.slow
async def test_every_mode_leads_to_the_same_tree(repo: Repo) -> None:
    histories = [random_history(number) for number in range(HISTORIES)]
    await load(repo, histories)
    kinds = {"conflict": 0, "rejected": 0, "landed": 0}
    async with repo.reading():
        for history in histories:
            made: dict[tuple[str, ...], object] = {}
            serial = await outcome(repo, history, made, parallel=1, batch=1)
            for parallel, batch in ((2, 1), (4, 1), (1, 3), (3, 2)):
                other = await outcome(repo, history, made, parallel=parallel, batch=batch)
                assert other == serial, (history.number, parallel, batch)
            kinds["landed"] += len(serial[1])
            for status in serial[2].values():
                kinds[status] += 1
    assert min(kinds.values()) > 50, kinds


class Meddled(Yard):
    """A yard where people push to the target, hold epics back and finish others meanwhile."""

    def __init__(self, repo: Repo, history: History, seed: int) -> None:
        super().__init__(repo, history, {}, seed)
        self.held: set[str] = set()
        self.late = {epic for epic in history.direct if self.random.random() < 0.4}
        self.pushed = 0

    def meddle(self) -> None:
        if self.late and self.random.random() < 0.5:
            self.late.pop()
        self.held = {epic for epic in history_epics(self) if self.random.random() < 0.1}

    async def test(self, built: Built, stop: asyncio.Event) -> Built | LandingResult:
        self.meddle()
        return await super().test(built, stop)

    async def advance(self, new: str, old: str) -> Advance:
        if self.random.random() < 0.2:
            self.pushed += 1
            tree = await self.repo.tree_of(self.target)
            self.target = await commit_merge(self.repo, self.target, "", "Mine\n", tree=tree, squash=True)
            return Advance(moved=False, reason="raced")
        return await super().advance(new, old)

    def landable(self, ahead: Collection[str]) -> list[str]:
        return [epic for epic in super().landable(ahead) if epic not in self.late | self.held]


class Swept(Yard):
    """A yard where git removes what is to land before it is tested, or before it lands."""

    def __init__(self, repo: Repo, history: History, chance: float) -> None:
        super().__init__(repo, history, {}, history.number)
        self.chance, self.lost = chance, 0

    def _gone(self) -> bool:
        gone = self.random.random() < self.chance
        self.lost += gone
        return gone

    async def test(self, built: Built, stop: asyncio.Event) -> Built | LandingResult:
        found = await super().test(built, stop)
        return GONE if self._gone() else found

    async def advance(self, new: str, old: str) -> Advance:
        return LOST if self._gone() else await super().advance(new, old)

    def in_the_way(self, epic: str, moved: Advance) -> LandingResult:
        return LandingResult(epic, LandingStatus.REJECTED, waits="checkout", reason=moved.detail)


async def test_what_is_gone_is_merged_anew_but_not_for_ever(repo: Repo) -> None:
    histories = [random_history(number) for number in range(2000, 2010)]
    await load(repo, histories)
    lost = 0
    async with repo.reading():
        for history in histories:
            serial = await outcome(repo, history, {}, parallel=1, batch=1)
            for chance in (0.3, 1.0):
                yard = Swept(repo, history, chance)
                queue = LandingQueue(yard, yard.landable, parallel=3, batch=history.number % 3 + 1)
                await asyncio.wait_for(queue.work(), 60)
                lost += yard.lost
                landed = (await repo.tree_of(yard.target), set(yard.landed_now), yard.refusals)
                if chance < 1:
                    assert landed == serial, history.number
                else:
                    assert (yard.target, yard.landed_now) == (history.base, [])
                    assert yard.refusals
    assert lost > 50


def history_epics(yard: Yard) -> list[str]:
    return sorted(yard.history.direct)


async def test_whatever_people_do_meanwhile_the_queue_comes_to_its_end(repo: Repo) -> None:
    histories = [random_history(number) for number in range(1000, 1040)]
    await load(repo, histories)
    pushed = 0
    async with repo.reading():
        for history in histories:
            yard = Meddled(repo, history, history.number)
            while True:
                queue = LandingQueue(yard, yard.landable, parallel=3, batch=history.number % 3 + 1)
                await asyncio.wait_for(queue.work(), 60)
                yard.meddle()
                yard.held = set()
                if not yard.late and not yard.landable(()):
                    break
            pushed += yard.pushed
            assert len(set(yard.landed_now)) == len(yard.landed_now), "each lands once"
            for epic in yard.landed_now:
                assert await repo.is_ancestor(history.tips[epic], yard.target)
    assert pushed > 5
