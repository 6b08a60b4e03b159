from __future__ import annotations

from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from yoke_resolver import order_ready
from yoke_resolver.resolve import resolve
from yokeflow.engine.scheduling.caution import Wishes
from yokeflow.engine.scheduling.ready import ReadyQueue
from yokeflow.engine.scheduling.scheduler import Scheduler
from yokeflow.errors import PluginError
from yokeflow.globs import overlaps
from yokeflow.model import Dependency, Epic, Plan, Resolution, Strategy, Strength, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def task(name: str, after: str = "", **fields: object) -> Task:
    """A task of the epic before the dot in its name; `~x` is a soft edge."""
    edges = tuple(
        Dependency(one.lstrip("~"), Strength.SOFT if one[0] == "~" else Strength.HARD)
        for one in after.split()
    )
    return Task(name, name.split(".", maxsplit=1)[0], name, depends_on=edges, **fields)  # type: ignore[arg-type]  # by keyword


def plan_of(*tasks: Task, epics: Mapping[str, str] | None = None) -> Plan:
    edges = epics or {}
    placed = [
        Task(**{**{f: getattr(t, f) for f in Task.__slots__}, "position": n}) for n, t in enumerate(tasks)
    ]
    return Plan(
        tuple(
            Epic(
                name,
                name,
                tuple(map(Dependency, edges.get(name, "").split())),
                tuple(t for t in placed if t.epic == name),
            )
            for name in dict.fromkeys(t.epic for t in tasks)
        ),
        Path("plan.yaml"),
    )


def scheduler_of(
    plan: Plan,
    concurrency: int = 10,
    strategy: Strategy = Strategy.BY_TASK,
    limits: Mapping[str, int] | None = None,
) -> Scheduler:
    resolution = resolve(plan, strategy)
    return Scheduler(
        plan,
        resolution,
        lambda ready: order_ready(ready, resolution),
        concurrency=concurrency,
        agent_limit=limits or {},
        agent_of=lambda one: one.agent or "usual",
    )


def offers(scheduler: Scheduler) -> list[str]:
    return [one.id for one in scheduler.startable()]


def start(scheduler: Scheduler) -> list[str]:
    names = offers(scheduler)
    for name in names:
        scheduler.started(name)
    return names


def test_successors_wait_for_all_hard_predecessors() -> None:
    scheduler = scheduler_of(plan_of(task("a.1"), task("a.2"), task("a.3", "a.1 a.2"), task("a.4", "~a.3")))
    assert start(scheduler) == ["a.1", "a.2", "a.4"]
    assert scheduler.waiting == {"a.3": ("a.1", "a.2")}
    scheduler.completed("a.1")
    assert start(scheduler) == []
    assert scheduler.waits_for("a.3") == ("a.2",)
    scheduler.completed("a.2")
    assert start(scheduler) == ["a.3"]
    assert scheduler.running == ("a.4", "a.3")
    assert not scheduler.is_finished
    scheduler.completed("a.3")
    scheduler.completed("a.4")
    assert scheduler.is_finished
    assert set(scheduler.done) == {"a.1", "a.2", "a.3", "a.4"}


def test_slots_are_never_exceeded_and_go_to_the_longest_path() -> None:
    plan = plan_of(task("a.1", estimate=1.0), task("a.2", estimate=5.0), task("a.3", estimate=9.0))
    scheduler = scheduler_of(plan, concurrency=2)
    assert start(scheduler) == ["a.3", "a.2"]
    assert start(scheduler) == []
    assert scheduler.waiting == {"a.1": ()}
    scheduler.completed("a.2")
    assert start(scheduler) == ["a.1"]


def test_offers_that_are_not_taken_are_made_again_or_replaced() -> None:
    plan = plan_of(task("a.1"), task("a.2", estimate=9000.0), task("b.1", "a.2", estimate=90000.0))
    scheduler = scheduler_of(plan, concurrency=1)
    scheduler.started("a.2")
    scheduler.concurrency = 2
    assert offers(scheduler) == offers(scheduler) == ["a.1"]
    scheduler.concurrency = 1
    scheduler.completed("a.2")
    assert offers(scheduler) == ["b.1"]
    scheduler.released("b.1")
    assert offers(scheduler) == ["b.1"]


def test_a_lane_runs_one_task_at_a_time() -> None:
    plan = plan_of(task("a.1"), task("a.2"), task("b.1"), task("b.2", "a.1"))
    scheduler = scheduler_of(plan, strategy=Strategy.BY_EPIC)
    assert start(scheduler) == ["a.1", "b.1"]
    assert scheduler.waits_for("a.2") == ("a.1",)
    scheduler.completed("a.1")
    assert start(scheduler) == ["a.2"]
    scheduler.completed("b.1")
    assert start(scheduler) == ["b.2"]


def test_overlapping_files_and_conflicts_exclude_each_other_both_ways() -> None:
    plan = plan_of(
        task("a.1", files=("src/",), estimate=9.0),
        task("a.2", files=("src/x.py",), estimate=8.0),
        task("a.3", files=("docs/",), estimate=7.0),
        task("a.4", conflicts_with=("a.3",), estimate=6.0),
        task("a.5", estimate=5.0),
    )
    scheduler = scheduler_of(plan)
    assert start(scheduler) == ["a.1", "a.3", "a.5"]
    assert scheduler.waiting == {"a.2": ("a.1",), "a.4": ("a.3",)}
    scheduler.released("a.3")
    assert start(scheduler) == ["a.3"]
    scheduler.completed("a.3")
    assert start(scheduler) == ["a.4"]
    scheduler.completed("a.1")
    assert start(scheduler) == ["a.2"]
    other = scheduler_of(plan)
    other.started("a.4")
    other.started("a.2")
    assert start(other) == ["a.5"]


def test_an_agents_own_limit_leaves_slots_to_others() -> None:
    plan = plan_of(*(task(f"a.{n}", agent="codex") for n in range(4)), task("b.1"), task("b.2"))
    scheduler = scheduler_of(plan, concurrency=4, limits={"codex": 1})
    assert start(scheduler) == ["a.0", "b.1", "b.2"]
    scheduler.completed("b.1")
    assert start(scheduler) == []
    scheduler.completed("a.0")
    assert start(scheduler) == ["a.1"]


def test_a_released_task_is_ready_again_and_its_lane_is_free() -> None:
    scheduler = scheduler_of(plan_of(task("a.1", priority=9), task("a.2")), strategy=Strategy.BY_EPIC)
    assert start(scheduler) == ["a.2"]
    scheduler.released("a.2")
    assert not scheduler.running
    assert start(scheduler) == ["a.2"]


def test_giving_up_blocks_what_is_behind_and_nothing_else() -> None:
    plan = plan_of(
        task("a.1"), task("a.2", "a.1"), task("a.3", "a.2"), task("b.1"), task("c.1"), epics={"c": "a"}
    )
    scheduler = scheduler_of(plan)
    assert start(scheduler) == ["a.1", "b.1"]
    assert scheduler.failed("a.1") == ("a.2", "a.3", "c.1")
    assert scheduler.failed("a.1") == ()
    assert scheduler.blocked == ("a.2", "a.3", "c.1")
    assert start(scheduler) == []
    assert not scheduler.is_finished
    scheduler.completed("b.1")
    assert scheduler.is_finished
    scheduler.reopened("a.1")
    assert not scheduler.blocked
    assert start(scheduler) == ["a.1"]


def test_a_task_behind_two_failures_stays_blocked_until_both_are_mended() -> None:
    scheduler = scheduler_of(plan_of(task("a.1"), task("a.2"), task("a.3", "a.1 a.2")))
    start(scheduler)
    assert scheduler.failed("a.1") == ("a.3",)
    assert scheduler.failed("a.2") == ()
    scheduler.skipped("a.1")
    assert scheduler.blocked == ("a.3",)
    scheduler.skipped("a.2")
    assert not scheduler.blocked
    assert start(scheduler) == ["a.3"]


def test_reopening_finished_work_takes_its_successors_back() -> None:
    scheduler = scheduler_of(plan_of(task("a.1"), task("b.1", "a"), task("b.2", "a.1"), task("c.1", "b.1")))
    start(scheduler)
    scheduler.completed("a.1")
    scheduler.started("b.1")
    scheduler.reopened("a.1")
    assert start(scheduler) == ["a.1"]
    assert scheduler.waits_for("b.2") == ("a.1",)
    scheduler.completed("a.1")
    assert start(scheduler) == ["b.2"]
    assert scheduler.running == ("b.1", "b.2")


def test_held_tasks_stay_until_they_are_let_go() -> None:
    scheduler = scheduler_of(plan_of(task("a.1"), task("a.2"), task("b.1")), strategy=Strategy.BY_EPIC)
    scheduler.held(["a.1", "b.1"])
    assert start(scheduler) == ["a.2"]
    scheduler.completed("a.2")
    assert scheduler.is_finished
    scheduler.held(["b.1"])
    assert not scheduler.is_finished
    assert start(scheduler) == ["a.1"]
    scheduler.held([])
    assert start(scheduler) == ["b.1"]
    scheduler.held(["b.1"])
    scheduler.released("b.1")
    assert start(scheduler) == []


def test_what_an_earlier_run_finished_is_none_of_its_business() -> None:
    plan = plan_of(task("a.1"), task("a.2", "a.1"))
    resolution = resolve(plan, Strategy.BY_EPIC, finished={"a.1"})
    scheduler = Scheduler(plan, resolution, lambda ready: order_ready(ready, resolution), concurrency=1)
    scheduler.reopened("a.1")
    assert start(scheduler) == ["a.2"]


@pytest.mark.parametrize("answer", [[], ["a.1", "a.1"], ["a.1", "b.9"]])
def test_an_order_that_loses_tasks_stops_the_run(answer: list[str]) -> None:
    plan = plan_of(task("a.1"), task("a.2"))
    scheduler = Scheduler(plan, resolve(plan, Strategy.BY_TASK), lambda _: answer, concurrency=2)
    with pytest.raises(PluginError, match="exactly once"):
        scheduler.startable()


def test_a_long_queue_gives_the_same_order_as_one_sorting() -> None:
    random = Random(3)
    tasks = {f"a.{n}": task(f"a.{n}", estimate=random.random()) for n in range(3_000)}
    calls: list[int] = []

    def order(ready: Sequence[Task]) -> list[str]:
        calls.append(len(ready))
        return [one.id for one in sorted(ready, key=lambda one: one.estimate or 0)]

    queue = ReadyQueue(order, tasks)
    names = list(tasks)
    for name in names[:1_000]:
        queue.add(name)
    expected = set(names[:1_000])
    for place, name in enumerate(names[1_000:], start=1):
        queue.add(name)
        expected.add(name)
        if place % 2:
            first = min(expected, key=lambda one: tasks[one].estimate or 0)
            assert queue.pop() == first
            expected.remove(first)
    queue.discard(gone := max(expected))
    rest = [queue.pop() for _ in range(len(queue))]
    assert rest == sorted(expected - {gone}, key=lambda one: tasks[one].estimate or 0)
    assert queue.pop() is None
    assert sum(calls) < 100 * len(calls) + 3_000 * 40


def test_a_soft_predecessor_far_back_in_the_queue_still_goes_first() -> None:
    plan = plan_of(
        *(task(f"a.{n}", estimate=9.0) for n in range(600)),
        task("b.1", estimate=1.0),
        task("c.1", "d.1 ~b.1", estimate=99.0),
        task("d.1"),
    )
    scheduler = scheduler_of(plan, concurrency=1)
    assert start(scheduler) == ["d.1"]
    scheduler.completed("d.1")
    assert start(scheduler) == ["b.1"]
    scheduler.completed("b.1")
    assert start(scheduler) == ["c.1"]


@pytest.mark.parametrize("strategy", Strategy)
def test_events_cost_what_they_affect_and_not_what_the_plan_holds(strategy: Strategy) -> None:
    size = 4_000
    random = Random(5)
    plan = plan_of(
        *(
            task(
                f"e{n % 40}.{n}",
                f"e{(n // 2) % 40}.{n // 2}" if n > size // 2 else "",
                files=(f"src/p{n % 20}/m{n}.py",),
                estimate=random.random(),
            )
            for n in range(size)
        )
    )
    resolution = resolve(plan, strategy)
    seen: list[int] = []

    def order(ready: Sequence[Task]) -> Sequence[str]:
        seen.append(len(ready))
        return order_ready(ready, resolution)

    scheduler = Scheduler(plan, resolution, order, concurrency=8, agent_limit={"": 6})
    running = start(scheduler)
    while running:
        scheduler.completed(running.pop(random.randrange(len(running))))
        running += start(scheduler)
    assert len(scheduler.done) == size
    # Two thousand are ready from the start; sorting them anew each time would show some millions.
    assert sum(seen) < 350 * size


def test_what_waits_names_a_few_and_expands_no_groups() -> None:
    """Epics of 5,000 tasks that wait for each other mean 25 million pairs."""
    size = 5000
    first = tuple(Task(f"a.{n}", "a", "", position=n) for n in range(size))
    second = tuple(Task(f"b.{n}", "b", "", position=size + n) for n in range(size))
    epics = (
        Epic("a", "A", tasks=first),
        Epic("b", "B", depends_on=(Dependency("a"),), tasks=second, position=1),
    )
    scheduler = scheduler_of(Plan(epics, Path("plan.yaml")), concurrency=1)
    for n in range(size - 2):
        scheduler.completed(f"a.{n}")
    start(scheduler)
    waiting = scheduler.waiting
    assert len(waiting) == size + 1
    assert {waiting[f"b.{n}"] for n in range(size)} == {(f"a.{size - 2}", f"a.{size - 1}")}
    scheduler = scheduler_of(Plan(epics, Path("plan.yaml")), concurrency=1)
    assert scheduler.waiting["b.7"] == tuple(f"a.{n}" for n in range(5))


def wishes(apart: Sequence[str], hot: Sequence[str] = ()) -> Callable[[Task], Wishes]:
    """Tasks of different epics in `apart` are worth to wait for, two in `hot` are not."""

    def wishes_of(one: Task) -> Wishes:
        others = {other.split(".", maxsplit=1)[0] for other in apart} - {one.epic}
        mild = frozenset({"hot"} if one.id in hot else ())
        if one.id not in apart:
            return Wishes(mild, frozenset(), mild)
        return Wishes(mild | {one.epic}, frozenset(others), mild)

    return wishes_of


def test_tasks_that_should_not_meet_wait_for_each_other() -> None:
    plan = plan_of(
        *(task(f"a.{n}", estimate=9.0) for n in range(2)),
        *(task(f"b.{n}", estimate=8.0) for n in range(2)),
        *(task(f"c.{n}", estimate=1.0) for n in range(2)),
    )
    scheduler = scheduler_of(plan, strategy=Strategy.BY_EPIC)
    scheduler.heed(wishes(["a.0", "a.1", "b.0", "b.1"]))
    assert start(scheduler) == ["a.0", "c.0"]
    assert scheduler.waits_for("b.0") == ("a.0",)
    scheduler.completed("c.0")
    assert start(scheduler) == ["c.1"]
    scheduler.completed("a.0")
    # Whoever is more urgent goes first.
    assert start(scheduler) == ["a.1"]
    scheduler.completed("a.1")
    assert start(scheduler) == ["b.0"]
    scheduler.heed(None)
    assert scheduler.waits_for("b.1") == ("b.0",)


def test_what_need_not_be_avoided_goes_on_in_the_same_lane() -> None:
    plan = plan_of(
        task("a.0", estimate=9.0),
        task("b.0", estimate=8.0),
        task("b.1", estimate=6.0),
        task("b.2", "b.1", estimate=1.0),
    )
    scheduler = scheduler_of(plan, strategy=Strategy.BY_EPIC)
    scheduler.heed(wishes(["a.0", "b.0"]))
    assert start(scheduler) == ["a.0", "b.1"]
    scheduler.completed("b.1")
    assert start(scheduler) == ["b.2"]
    scheduler.completed("a.0")
    scheduler.completed("b.2")
    assert start(scheduler) == ["b.0"]


def test_no_more_wait_for_wishes_than_run() -> None:
    plan = plan_of(*(task(f"{epic}.0") for epic in "abcdefgh"))
    scheduler = scheduler_of(plan, strategy=Strategy.BY_EPIC)
    scheduler.heed(wishes([f"{epic}.0" for epic in "abcdefgh"]))
    assert start(scheduler) == ["a.0", "b.0", "c.0", "d.0"]
    scheduler.completed("a.0")
    assert start(scheduler) == ["e.0"]
    # A slot that others can use goes to them.
    scheduler = scheduler_of(plan, concurrency=3, strategy=Strategy.BY_EPIC)
    scheduler.heed(wishes(["a.0", "b.0", "c.0"]))
    assert start(scheduler) == ["a.0", "d.0", "e.0"]


def test_a_hot_file_empties_no_slot() -> None:
    plan = plan_of(task("a.0", estimate=9.0), task("b.0", estimate=8.0), task("c.0", estimate=7.0))
    scheduler = scheduler_of(plan, concurrency=2)
    scheduler.heed(wishes([], ["a.0", "b.0"]))
    assert start(scheduler) == ["a.0", "c.0"]
    scheduler = scheduler_of(plan, concurrency=3)
    scheduler.heed(wishes([], ["a.0", "b.0"]))
    assert start(scheduler) == ["a.0", "c.0", "b.0"]


def test_wishes_that_come_while_tasks_run_count_for_the_next() -> None:
    plan = plan_of(task("a.0"), task("b.0"), task("a.1", "a.0"), task("b.1", "b.0"))
    scheduler = scheduler_of(plan)
    assert start(scheduler) == ["a.0", "b.0"]
    scheduler.heed(wishes(names_of(plan)))
    scheduler.completed("a.0")
    assert start(scheduler) == []
    assert scheduler.waiting["a.1"] == ("b.0",)
    scheduler.completed("b.0")
    assert start(scheduler) == ["a.1"]


def names_of(plan: Plan) -> list[str]:
    return list(plan.tasks)


names = [f"e{epic}.{n}" for epic in range(3) for n in range(4)]
globs = st.lists(
    st.sampled_from(["src/", "src/a.py", "src/b.py", "docs/*.md", "docs/a.md", "**"]), max_size=2
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    tasks = []
    for place, name in enumerate(names):
        after = draw(st.lists(st.sampled_from(names[:place]), max_size=2, unique=True)) if place else []
        soft = draw(st.lists(st.sampled_from(names), max_size=1))
        tasks.append(
            task(
                name,
                " ".join([*after, *(f"~{one}" for one in soft if one != name)]),
                files=tuple(draw(globs)),
                conflicts_with=tuple(draw(st.lists(st.sampled_from(names), max_size=1))),
                agent=draw(st.sampled_from(["", "codex"])),
                estimate=draw(st.sampled_from([1.0, 2.0, 5.0])),
            )
        )
    return plan_of(*tasks, epics={"e1": draw(st.sampled_from(["", "e0"]))})


class Machine(RuleBasedStateMachine):
    @initialize(plan=plans(), concurrency=st.integers(1, 4), strategy=st.sampled_from(Strategy))
    def begin(self, plan: Plan, concurrency: int, strategy: Strategy) -> None:
        self.plan = plan
        self.resolution: Resolution = resolve(plan, strategy)
        self.scheduler = scheduler_of(plan, concurrency, strategy, {"codex": 1})
        self.failed: set[str] = set()

    @rule(share=st.integers(0, 4))
    def start(self, share: int) -> None:
        for one in self.scheduler.startable()[:share]:
            before = self.resolution.hard[one.id]
            assert before <= set(self.scheduler.done)
            self.scheduler.started(one.id)

    @precondition(lambda self: self.scheduler.running)
    @rule(data=st.data(), end=st.sampled_from(["completed", "completed", "released", "failed"]))
    def end(self, data: st.DataObject, end: str) -> None:
        name = data.draw(st.sampled_from(self.scheduler.running))
        getattr(self.scheduler, end)(name)
        if end == "failed":
            self.failed.add(name)

    @rule(name=st.sampled_from(names))
    def skip(self, name: str) -> None:
        if name not in self.scheduler.running:
            self.scheduler.skipped(name)
            self.failed.discard(name)

    @rule(name=st.sampled_from(names))
    def reopen(self, name: str) -> None:
        if name in self.scheduler.done or name in self.failed:
            self.scheduler.reopened(name)
            self.failed.discard(name)

    @rule(held=st.lists(st.sampled_from(names), max_size=3))
    def hold(self, held: list[str]) -> None:
        self.scheduler.held(held)

    @rule(
        apart=st.lists(st.sampled_from(names), max_size=8), hot=st.lists(st.sampled_from(names), max_size=5)
    )
    def wish(self, apart: list[str], hot: list[str]) -> None:
        """Tasks of different epics in `apart` should not meet, and no two in `hot`."""
        self.scheduler.heed(wishes(apart, hot))

    @invariant()
    def wishes_keep_no_more_lanes_waiting_than_run(self) -> None:
        offered = offers(self.scheduler)
        active = len(self.scheduler.running) + len(offered)
        if active < self.scheduler.concurrency:
            lanes = {self.resolution.lanes[name] for name in self.scheduler._waiting}
            taken = {self.resolution.lanes[name] for name in (*self.scheduler.running, *offered)}
            assert len(lanes - taken) <= active
            assert not list(self.scheduler._yielding)

    @invariant()
    def nothing_runs_that_must_not(self) -> None:
        running = [self.plan.tasks[name] for name in self.scheduler.running]
        assert len(running) <= self.scheduler.concurrency
        assert sum(one.agent == "codex" for one in running) <= 1
        lanes = [self.resolution.lanes[one.id] for one in running]
        assert len(set(lanes)) == len(lanes)
        for one in running:
            for other in running:
                if one is not other:
                    assert other.id not in one.conflicts_with
                    assert not overlaps(one.files, other.files)

    @invariant()
    def blocked_is_what_waits_for_a_failure(self) -> None:
        assert set(self.scheduler.blocked) == self.behind()

    def behind(self) -> set[str]:
        reach: set[str] = set()
        for name in [one for batch in self.resolution.batches for one in batch]:
            if self.resolution.hard[name] & (reach | self.failed):
                reach.add(name)
        return {name for name in reach if name not in self.scheduler.done and name not in self.failed}

    @invariant()
    def no_slot_stays_free_while_a_task_could_use_it(self) -> None:
        offered = offers(self.scheduler)
        assert not self.scheduler.is_finished or not (offered or self.scheduler.running)
        taken = [*self.scheduler.running, *offered]
        if len(taken) == self.scheduler.concurrency:
            return
        for name, waits in self.scheduler.waiting.items():
            free = not waits and name not in self.scheduler._held
            full = self.plan.tasks[name].agent == "codex" and any(
                self.plan.tasks[one].agent == "codex" for one in taken
            )
            assert not free or full, name

    def teardown(self) -> None:
        """Whatever happened, everything ends once every task succeeds."""
        if not hasattr(self, "scheduler"):
            return
        self.scheduler.held([])
        for name in sorted(self.failed):
            self.scheduler.reopened(name)
        for _ in range(2 * len(names)):
            start(self.scheduler)
            for name in self.scheduler.running:
                self.scheduler.completed(name)
        assert set(self.scheduler.done) == set(names)
        assert self.scheduler.is_finished


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
