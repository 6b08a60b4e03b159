"""What a lesson does is measured by the sessions it was kept from, and what does not help is retired."""

from __future__ import annotations

import math
from collections import Counter
from random import Random
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from yoke_expertise.evidence import arms_of, effect, effects, numbers, revise
from yoke_expertise.memories import Draft, find, get, save
from yoke_expertise.verdict import Arm, Arms, effect_of, held_out, judge, newcombe, spread_of, wilson
from yokeflow.model import Task

if TYPE_CHECKING:
    from uuid import UUID

    from tests.plugins.lab import Lab


def _arm(uses: int, landed: int, cost: float | None = None) -> Arm:
    arm = Arm()
    for number in range(uses):
        # A little unlike each other, as costs are.
        dollars = None if cost is None else cost * (1 + 0.1 * (number % 3 - 1))
        arm = arm.plus(landed=number < landed, cost_usd=dollars)
    return arm


def test_one_in_eight_tasks_is_held_out_and_always_the_same() -> None:
    counted = Counter(held_out("a", f"t{number}", 8) for number in range(8000))
    assert 900 < counted[True] < 1100
    assert all(held_out("a", "t1", 8) == held_out("a", "t1", 8) for _ in range(3))
    assert not any(held_out("a", f"t{number}", None) for number in range(100))
    assert not any(held_out("a", f"t{number}", 2, pinned=True) for number in range(100))
    both = sum(held_out("a", f"t{number}", 8) and held_out("b", f"t{number}", 8) for number in range(8000))
    # Lessons are dealt independently of each other.
    assert 80 < both < 170


def test_intervals_are_those_of_the_literature() -> None:
    # Newcombe 1998, table II, case (a): 56/70 against 48/80.
    difference, low, high = newcombe(_arm(70, 56), _arm(80, 48))
    assert difference == pytest.approx(0.2)
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    # Case (c): 6/7 against 2/7.
    assert newcombe(_arm(7, 6), _arm(7, 2))[1:] == pytest.approx((0.0582, 0.8062), abs=5e-5)
    # Wilson 1927 at none of ten.
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=5e-5)


def test_the_interval_of_the_cost_covers_the_truth() -> None:
    random, hits, rounds = Random(1), 0, 400
    for _ in range(rounds):
        given, held = Arm(), Arm()
        for _ in range(120):
            given = given.plus(landed=random.random() < 0.6, cost_usd=math.exp(random.gauss(0, 0.5)))
        for _ in range(30):
            held = held.plus(landed=random.random() < 0.6, cost_usd=math.exp(random.gauss(0, 0.5)))
        found = effect_of(Arms(given, held))
        assert found.cost_low is not None
        assert found.cost_high is not None
        hits += found.cost_low <= 0.0 <= found.cost_high
    assert 0.90 < hits / rounds < 0.985


def test_too_little_is_no_number() -> None:
    found = effect_of(Arms(_arm(50, 30, 1.0), _arm(2, 1, 1.0)))
    assert (found.given, found.held_out) == (50, 2)
    assert (found.rate_difference, found.low, found.cost_difference) == (None, None, None)
    assert found.verdict == "open"
    unpriced = effect_of(Arms(_arm(50, 30), _arm(20, 10)))
    assert unpriced.rate_difference == pytest.approx(0.1)
    assert unpriced.cost_difference is None
    assert effect_of(Arms()).probability == pytest.approx(judge(Arms())[1])


@pytest.mark.parametrize(
    ("arms", "verdict"),
    [
        (Arms(_arm(10, 0), _arm(3, 3)), "open"),
        (Arms(_arm(200, 60), _arm(40, 34)), "harms"),
        (Arms(_arm(200, 180), _arm(40, 18)), "helps"),
        (Arms(_arm(200, 120), _arm(40, 28)), "useless"),
        (Arms(_arm(70, 42), _arm(9, 7)), "open"),
        # It lands no more, but for less: that is a help. For more: that is a harm.
        (Arms(_arm(200, 120, 1.0), _arm(40, 24, 2.0)), "helps"),
        (Arms(_arm(200, 116, 2.0), _arm(40, 26, 1.0)), "harms"),
        # It costs more and lands far more.
        (Arms(_arm(200, 180, 2.4), _arm(40, 18, 1.0)), "helps"),
    ],
)
def test_the_verdict(arms: Arms, verdict: str) -> None:
    assert judge(arms)[0] == verdict


def test_a_few_lucky_sessions_convince_nobody() -> None:
    assert judge(Arms(_arm(25, 25), _arm(5, 3)))[0] == "open"
    assert judge(Arms(_arm(30, 15), _arm(5, 5)))[0] == "open"


def test_lessons_that_differ_much_are_believed_more() -> None:
    alike = [Arms(_arm(200, 120), _arm(40, 24)) for _ in range(12)]
    unlike = [Arms(_arm(200, 120 + 60 * (-1) ** n), _arm(40, 24)) for n in range(12)]
    assert spread_of([]) == pytest.approx(0.1)
    assert spread_of(alike) < 0.07
    assert spread_of(unlike) == pytest.approx(0.2)
    one = Arms(_arm(100, 70), _arm(20, 11))
    assert judge(one, spread_of(unlike))[1] > judge(one, spread_of(alike))[1]


async def _happen(
    lab: Lab, memory: UUID, *, held: bool, ends: str, cost: float = 1.0, task: str = "t1"
) -> None:
    """One session for which the lesson was chosen."""
    attempt = lab.attempt(task)
    lab.start(attempt)
    given, kept = ([], [str(memory)]) if held else ([str(memory)], [])
    lab.host(attempt).emit("expertise.recalled", given=given, held_out=kept)
    lab.finish(attempt, "failed" if ends == "failed" else "completed", cost_usd=cost)
    if ends == "landed":
        lab.land(attempt.task.epic)


async def _lesson(lab: Lab, *, pinned: bool = False) -> UUID:
    await lab.plan(Task("t1", "e1", "One"), Task("t2", "e2", "Two"))
    async with lab.store.begin() as conn:
        saved = await save(conn, lab.project, Draft("general", "note", "Do it.", pinned=pinned), actor="test")
    return saved.id


async def test_outcomes_are_counted_by_arm_when_they_are_known(lab: Lab) -> None:
    id_ = await _lesson(lab)
    for ends in ("failed", "landed", "landed"):
        await _happen(lab, id_, held=False, ends=ends, cost=2.0)
    await _happen(lab, id_, held=True, ends="failed", cost=3.0)
    # What completed and has not landed is not known yet.
    await _happen(lab, id_, held=True, ends="completed", task="t2")
    await lab.drain()
    async with lab.store.begin() as conn:
        arms = (await arms_of(conn, lab.project))[id_]
        assert (arms.given.uses, arms.given.landed, arms.held_out.uses, arms.held_out.landed) == (3, 2, 1, 0)
        assert (arms.given.cost, arms.given.cost_squared, arms.given.cost_of_landed) == (6.0, 12.0, 4.0)
        found = await effect(conn, await get(conn, lab.project, str(id_)))
    assert (found.given, found.landed_given, found.held_out) == (3, 2, 1)
    assert numbers(found) == "landed 2 of 3 with it, 0 of 1 without it"
    lab.land("e2")
    await lab.drain()
    async with lab.store.begin() as conn:
        assert (await effects(conn, lab.project))[id_].landed_held_out == 1


async def _history(lab: Lab, id_: UUID, given: tuple[int, int], held: tuple[int, int]) -> None:
    """Settled uses, as the trigger leaves them."""
    async with lab.store.begin() as conn:
        for (uses, landed), kept in ((given, False), (held, True)):
            await conn.execute(
                text("""INSERT INTO memory_uses (project_id, memory_id, session_id, held_out, recalled_at,
                                                 completed, landed)
                        SELECT :project, :memory, gen_random_uuid(), :kept, now(), true, n <= :landed
                        FROM generate_series(1, :uses) n"""),
                {"project": lab.project, "memory": id_, "kept": kept, "uses": uses, "landed": landed},
            )


async def test_what_harms_is_retired_with_its_numbers(lab: Lab) -> None:
    id_ = await _lesson(lab)
    await _history(lab, id_, (200, 60), (40, 34))
    async with lab.store.begin() as conn:
        (retired,) = await revise(conn, lab.project)
        memory = await get(conn, lab.project, str(id_))
        reasons = (await conn.execute(text("SELECT reason FROM memory_log ORDER BY seq"))).scalars().all()
    assert memory.status == "archived"
    assert retired.effect.verdict == "harms"
    assert memory.evidence["effect"]["landed_given"] == 60
    assert reasons[-1].startswith("harms: landed 60 of 200 with it, 34 of 40 without it (-55 points, -6")
    async with lab.store.begin() as conn:
        assert await revise(conn, lab.project) == []


async def test_a_pinned_lesson_stays_and_its_effect_is_shown(lab: Lab) -> None:
    id_ = await _lesson(lab, pinned=True)
    await _history(lab, id_, (200, 60), (40, 34))
    async with lab.store.begin() as conn:
        assert await revise(conn, lab.project) == []
        memory = await get(conn, lab.project, str(id_))
    assert memory.status == "active"
    assert memory.evidence["effect"]["verdict"] == "harms"


async def test_the_log_gets_what_is_news_alone(lab: Lab) -> None:
    id_ = await _lesson(lab)
    await _history(lab, id_, (40, 25), (8, 5))
    versions = []
    for uses in (0, 1, 1, 30):
        await _history(lab, id_, (uses, uses // 2), (0, 0))
        async with lab.store.begin() as conn:
            await revise(conn, lab.project)
            (memory,) = await find(conn, lab.project)
        versions.append(memory.version)
    assert versions == [2, 2, 2, 3]
