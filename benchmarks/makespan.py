"""How close the schedule comes to what no schedule can beat."""

from __future__ import annotations

from pathlib import Path
from random import Random
from statistics import median
from typing import Final

from benchmarks.graphs import SHAPES, plan_of
from benchmarks.report import Row
from yoke_resolver import order_ready
from yoke_resolver.resolve import resolve
from yokeflow.engine.scheduling.simulate import simulate, simulate_barriers
from yokeflow.model import Strategy
from yokeflow.plan.load import load_plan

_S3: Final = Path(__file__).parent.parent / "tests" / "fixtures" / "s3_plan.yaml"
_HOUR: Final = 3600.0


def rows() -> list[Row]:
    return [_s3(), _random()]


def _s3() -> Row:
    plan = load_plan(_S3)
    resolution = resolve(plan, Strategy.BY_TASK)
    hours = simulate(plan, resolution, order_ready, concurrency=8).makespan / _HOUR
    barriers = simulate_barriers(plan, resolution, order_ready, concurrency=8).makespan / _HOUR
    return Row(
        "makespan of the 49-task graph of S3 at 8 workers (simulated)",
        "23.5 h, its critical path",
        f"{hours:g} h; levels with barriers {barriers:g} h",
        hours == 23.5,
    )


def ratios(count: int = 200, seed: int = 2) -> list[float]:
    """Makespan over the larger of critical path and work per worker, for random graphs."""
    random = Random(seed)
    found = []
    for number in range(count):
        plan = plan_of(random, SHAPES[number % len(SHAPES)](random, random.randint(40, 200)))
        workers = random.choice((2, 3, 4, 5, 8, 12, 16))
        resolution = resolve(plan, Strategy.BY_TASK)
        run = simulate(plan, resolution, order_ready, concurrency=workers)
        found.append(run.makespan / max(*resolution.remaining.values(), run.work / workers))
    return found


def _random() -> Row:
    found = ratios()
    middle, worst = median(found), max(found)
    return Row(
        f"makespan over {len(found)} random graphs against max(critical path, work / workers)",
        "median ≤ 1.03, worst ≤ 1.25",
        f"median {middle:.3f}, worst {worst:.3f}",
        middle <= 1.03 and worst <= 1.25,
    )
