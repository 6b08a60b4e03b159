from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.graphs import SHAPES, plan_of
from yoke_resolver import order_ready
from yoke_resolver.resolve import resolve
from yokeflow.engine.scheduling.simulate import Simulation, simulate, simulate_barriers
from yokeflow.model import Plan, Resolution, Strategy
from yokeflow.plan.load import load_plan

S3 = Path(__file__).parent.parent / "fixtures" / "s3_plan.yaml"


@pytest.fixture(scope="module")
def s3() -> tuple[Plan, Resolution]:
    plan = load_plan(S3)
    return plan, resolve(plan, Strategy.BY_TASK)


@pytest.mark.parametrize(("workers", "hours"), [(1, 166), (3, 56), (5, 34.5), (8, 23.5), (49, 23.5)])
def test_s3_without_barriers(s3: tuple[Plan, Resolution], workers: int, hours: float) -> None:
    run = simulate(*s3, order_ready, concurrency=workers)
    assert run.makespan == hours * 3600
    assert run.work == 166 * 3600
    assert_possible(s3[1], run, workers)


@pytest.mark.parametrize(("workers", "hours"), [(3, 61), (8, 33.5)])
def test_s3_with_a_barrier_after_each_level(s3: tuple[Plan, Resolution], workers: int, hours: float) -> None:
    run = simulate_barriers(*s3, order_ready, concurrency=workers)
    assert run.makespan == hours * 3600
    assert_possible(s3[1], run, workers)


def test_s3_has_its_orchestrator_after_21_and_a_half_hours(s3: tuple[Plan, Resolution]) -> None:
    run = simulate(*s3, order_ready, concurrency=49)
    assert {item.task: item.end for item in run.timeline}["ORCHESTRATOR-001"] == 21.5 * 3600


@given(st.sampled_from(SHAPES), st.integers(0, 10_000), st.integers(1, 9), st.integers(2, 60))
def test_every_simulated_run_could_happen(shape: type, seed: int, workers: int, size: int) -> None:
    random = Random(seed)
    plan = plan_of(random, shape(random, max(6, size)))
    resolution = resolve(plan, Strategy.BY_TASK)
    run = simulate(plan, resolution, order_ready, concurrency=workers)
    assert_possible(resolution, run, workers)
    critical = max(resolution.remaining.values())
    # No greedy schedule is worse than Graham's bound.
    assert critical <= run.makespan * 1.000001
    assert run.makespan <= (run.work / workers + critical * (1 - 1 / workers)) * 1.000001
    assert simulate(plan, resolution, order_ready, concurrency=workers) == run


def test_lanes_and_agents_make_it_longer() -> None:
    plan = plan_of(Random(1), [[] for _ in range(6)])
    apart = resolve(plan, Strategy.BY_TASK)
    together = resolve(plan, Strategy.BY_EPIC)
    assert simulate(plan, apart, order_ready, concurrency=6).makespan == max(apart.durations.values())
    one_by_one = simulate(plan, together, order_ready, concurrency=6)
    assert one_by_one.makespan == pytest.approx(one_by_one.work)
    limited = simulate(plan, apart, order_ready, concurrency=6, agent_limit={"": 1})
    assert limited.makespan == pytest.approx(one_by_one.work)


def test_nothing_to_do_takes_no_time() -> None:
    plan = plan_of(Random(1), [[]])
    run = simulate(plan, resolve(plan, Strategy.BY_TASK, finished=plan.tasks), order_ready, concurrency=1)
    assert run == Simulation(())
    assert run.makespan == run.work == 0.0


def assert_possible(resolution: Resolution, run: Simulation, workers: int) -> None:
    planned = {item.task: item for item in run.timeline}
    assert planned.keys() == resolution.hard.keys()
    for task, before in resolution.hard.items():
        assert all(planned[name].end <= planned[task].start for name in before)
    for item in run.timeline:
        assert sum(other.start <= item.start < other.end for other in run.timeline) <= workers
