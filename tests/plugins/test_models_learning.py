"""Complexity, posteriors, what a run sees, and the simulated worlds of the benchmark."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import models as benchmark
from yoke_models.complexity import Complexity, complexity, tier_by_score
from yoke_models.estimate import Belief, guess, outlooks, per_landed_task
from yoke_models.evaluate import Episode, evaluate
from yoke_models.evidence import Cell, Evidence, Tally
from yoke_models.memory import Memory
from yoke_models.table import interval
from yoke_models.tiers import ORDER, known
from yokeflow.config import Config, Models
from yokeflow.events import Event
from yokeflow.model import Dependency, Task

CONFIG = Config()
CLAUDE = known("claude", CONFIG)
SMALL = Cell("claude", "fast", "code", "small")


def look(title="Do it", **fields):
    return complexity(Task("t", "e", title, **fields), Models())


def test_complexity_tells_which_words_counted():
    found = look("Redesign the lock", prompt="Investigate the race across every service", files=("a.sql",))
    assert found.because["reasoning"] == ("redesign", "investigat", "race")
    assert found.because["domain"] == ("lock", ".sql")
    assert found.because["context"] == ("across", "every")
    assert look("Fix a typo in the readme").because["reasoning"] == ("-typo", "-readme")
    # `test` is no part of `latest`, and a word counts once.
    assert look("The latest").because["code"] == ()
    assert look("Test the test").because["code"] == ("test",)


def test_every_dimension_counts_by_its_weight():
    task = Task("t", "e", "Design it", critical=True, files=("src/**", "a.sql"))
    for name in ("reasoning", "code", "domain", "context"):
        zero = dict.fromkeys(("reasoning", "code", "domain", "context"), 0.0)
        alone = complexity(task, Models.model_validate({"weights": zero | {name: 1.0}}))
        assert alone.score == pytest.approx(alone.parts[name])


@pytest.mark.parametrize(
    "more",
    [
        {"critical": True},
        {"prompt": "Do it " * 400},
        {"files": ("src/**", "b/*.py")},
        {"files": ("x.sql",)},
        {"depends_on": (Dependency("a"), Dependency("b"))},
        {"estimate": 7200.0},
        {"prompt": "implement a parser"},
    ],
    ids=str,
)
def test_what_makes_a_task_harder_raises_its_score(more):
    assert look(**more).score > look().score


@given(st.text(), st.text(), st.lists(st.text(), max_size=20), st.none() | st.floats(1, 1e6), st.booleans())
def test_a_score_is_a_share_and_always_the_same(title, prompt, files, estimate, critical):
    task = Task("t", "e", title, prompt, files=tuple(files), estimate=estimate, critical=critical)
    found = complexity(task, Models())
    assert 0 <= found.score <= 1
    assert found == complexity(task, Models())


def test_size_goes_by_the_estimate_else_by_the_score():
    assert [look(estimate=minutes * 60.0).size for minutes in (5, 20, 90)] == ["small", "medium", "large"]
    assert look().size == "small"
    assert complexity(Task("t", "e", "t"), Models(thresholds=(0.0, 0.0))).size == "large"
    assert [tier_by_score(score, Models()) for score in (0.29, 0.3, 0.7)] == list(ORDER)


def success(evidence, tier="fast", category="code", score=0.2, size="small"):
    seen = Complexity(score, {}, {}, size)
    return outlooks(seen, category, CLAUDE, evidence, CONFIG)[tier].success


@given(st.integers(0, 300), st.integers(0, 300), st.integers(1, 50))
def test_more_success_raises_and_more_failure_lowers_the_posterior(landed, failed, more):
    def after(good, bad):
        evidence = Evidence()
        evidence.add(SMALL, Tally(landed + good, failed + bad))
        return success(evidence)

    assert after(0, more) < after(0, 0) < after(more, 0)


@given(st.floats(0, 1), st.floats(0, 1))
def test_the_guess_falls_with_complexity_and_rises_with_the_tier(first, second):
    easy, hard = sorted((first, second))
    thresholds = (0.3, 0.7)
    for tier in ORDER:
        assert guess(easy, tier, thresholds) >= guess(hard, tier, thresholds)
    assert guess(easy, "fast", thresholds) <= guess(easy, "balanced", thresholds)
    assert guess(easy, "balanced", thresholds) <= guess(easy, "powerful", thresholds)


def test_a_category_without_a_history_borrows_from_its_size_and_less_from_others():
    evidence = Evidence()
    evidence.add(SMALL, Tally(0, 40))
    nothing = Evidence()
    known_cell = success(evidence)
    same_size = success(evidence, category="docs")
    other_size = success(evidence, category="docs", size="medium")
    assert known_cell < same_size < other_size < success(nothing, category="docs")
    # Of another size it counts for no more than the guess.
    assert other_size > success(nothing) / 3


def test_costs_are_borrowed_too_and_begin_with_prices():
    def cost(evidence, tier, config=CONFIG):
        return outlooks(look(), "code", CLAUDE, evidence, config)[tier].cost

    assert cost(Evidence(), "powerful") == pytest.approx(5 * cost(Evidence(), "fast"))
    priced = Config.model_validate({"cost": {"prices": {"opus": {"input": 50, "output": 70}}}})
    assert cost(Evidence(), "powerful", priced) == pytest.approx(20 * cost(Evidence(), "fast", priced))
    evidence = Evidence()
    evidence.add(SMALL, Tally(100, 0, cost=200.0, priced=100))
    assert cost(evidence, "fast") == pytest.approx(2.0, rel=0.05)
    assert cost(evidence, "balanced") == pytest.approx(6.0, rel=0.05)


def test_the_cost_of_a_landed_task_counts_what_failing_costs():
    price = {"fast": 1.0, "balanced": 3.0, "powerful": 5.0}
    sure = Belief.of(dict.fromkeys(ORDER, 0.999))
    weak = Belief.of({"fast": 0.1, "balanced": 0.9, "powerful": 0.95})

    def worth(start, belief, attempts=3):
        return per_landed_task(start, belief, price, attempts, CLAUDE.above)

    assert worth("fast", sure) == pytest.approx(1.0, rel=0.02)
    assert worth("fast", weak) > worth("balanced", weak) > price["balanced"]
    assert worth("balanced", weak, 1) > worth("balanced", weak, 3)


@given(st.floats(0.01, 0.99), st.sampled_from(ORDER), st.lists(st.sampled_from(ORDER), max_size=6))
def test_a_belief_starts_as_the_share_and_each_failure_lowers_it(share, tier, failed):
    belief = Belief.of(dict.fromkeys(ORDER, share))
    assert belief.success(tier) == pytest.approx(share, abs=0.03)
    for each in failed:
        after = belief.after(each)
        assert 0 < after.success(tier) < belief.success(tier)
        belief = after


class Run:
    """Events of a run as its memory sees them."""

    def __init__(self) -> None:
        tasks = {name: Task(name, name[0], "t", category="code") for name in ("a1", "a2", "b1")}
        self.memory = Memory(CONFIG, tasks)
        self.count = 0

    def session(self, task: str, state: str, tier="fast", attempt=1, cost: float | None = 0.5) -> None:
        self.count += 1
        event = partial(Event, run="r", epic=task[0], task=task, session=str(self.count))
        model = CLAUDE.models[tier]
        begun = {"agent": "claude", "model": model, "tier": tier, "attempt": attempt}
        self.memory.see(event("session.started", data=begun | {"choice": {"size": "small"}}))
        self.memory.see(event("session.finished", data={"state": state, "cost_usd": cost}))

    def epic(self, type_: str, epic: str, **data: object) -> None:
        self.memory.see(Event(type_, run="r", epic=epic, data=data))

    def tally(self, tier="fast") -> Tally:
        return self.memory.evidence.of(Cell("claude", tier, "code", "small"))


def test_success_is_known_when_the_epic_has_landed():
    run = Run()
    run.session("a1", "completed")
    run.session("b1", "completed", cost=None)
    run.session("a2", "interrupted")
    assert run.tally() == Tally(cost=0.5, priced=1)
    run.epic("landing.landed", "a")
    assert run.tally() == Tally(successes=1, cost=0.5, priced=1)
    run.epic("landing.landed", "a")
    assert run.tally().successes == 1


def test_a_red_check_blames_until_the_epic_lands_after_all():
    run = Run()
    run.session("a1", "completed", attempt=2)
    run.epic("intervention.opened", "a", kind="conflict")
    assert run.tally().decided == 0
    run.epic("intervention.opened", "a", kind="red_check")
    run.epic("intervention.opened", "a", kind="red_check")
    assert (run.tally().failures, run.tally().again) == (1, 1)
    run.epic("landing.landed", "a")
    assert (run.tally().successes, run.tally().failures, run.tally().again) == (1, 0, 0)


def test_failures_are_kept_by_task_until_it_is_opened_again():
    run = Run()
    run.session("a1", "failed")
    run.session("a1", "failed", tier="balanced", attempt=2)
    assert run.memory.failed["a1"] == ["fast", "balanced"]
    assert run.tally("balanced").again == 1
    assert run.tally("balanced").doubt < run.tally("fast").doubt
    run.memory.see(Event("task.reopened", run="r", epic="a", task="a1"))
    assert "a1" not in run.memory.failed


def minutes(count):
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=count)


def episode(task, tier, *, landed, cost, category="code", at=0, waits=1):
    """A session that starts `at` a minute, and lands or fails so many minutes later."""
    times = (minutes(at), minutes(at + 1), minutes(at + waits))
    return Episode(task, "claude", "claude", tier, category, "small", 0.1, 1, landed, cost, *times)


def test_policies_are_judged_as_if_each_cell_occurred_as_often_as_it_does():
    # Two cells of a hundred: fast was taken often in the first, where it lands, and rarely in the second.
    history = [episode(f"a{n}", "fast", landed=True, cost=1.0) for n in range(90)]
    history += [episode(f"a{n}", "balanced", landed=True, cost=3.0) for n in range(90, 100)]
    history += [episode(f"b{n}", "fast", landed=n % 2 == 0, cost=1.0, category="x") for n in range(10)]
    history += [episode(f"b{n}", "balanced", landed=True, cost=3.0, category="x") for n in range(10, 100)]
    found = {each["policy"]: each for each in evaluate(history, CONFIG)}
    fast, balanced = found["always fast"], found["always balanced"]
    assert fast["success_rate"] == pytest.approx(0.75)
    assert fast["cost_per_landed_usd"] == pytest.approx(1 / 0.75)
    assert (fast["sessions"], balanced["sessions"]) == (100, 100)
    assert balanced["cost_per_landed_usd"] == pytest.approx(3.0)
    low, high = fast["cost_interval"]
    assert low < 1 / 0.75 < high
    assert found["always powerful"]["covered"] == 0
    assert found["always powerful"]["cost_per_landed_usd"] is None
    assert found["learned"]["covered"] > 0
    assert found == {each["policy"]: each for each in evaluate(history, CONFIG)}


def test_the_learned_policy_knows_no_outcome_before_it_was_decided():
    def followed(waits):
        """Sessions of 60 on a tier that never lands, which the policy would have had on that tier, too."""
        history = [episode(f"a{n}", "fast", landed=False, cost=1.0, at=n, waits=waits) for n in range(60)]
        return next(each for each in evaluate(history, CONFIG) if each["policy"] == "learned")["sessions"]

    at_once, later = followed(1), followed(1000)
    assert at_once < 30 < later


def test_cells_without_data_are_told():
    history = [episode(f"a{n}", "fast", landed=True, cost=1.0) for n in range(30)]
    history += [episode(f"b{n}", "balanced", landed=True, cost=None, category="x") for n in range(10)]
    found = {each["policy"]: each for each in evaluate(history, CONFIG)}
    assert found["always fast"]["covered"] == 0.75
    assert found["always balanced"]["covered"] == 0.25
    assert found["always balanced"]["success_rate"] == 1.0
    assert found["always balanced"]["cost_per_landed_usd"] is None
    assert all(each["sessions"] == 0 for each in evaluate([], CONFIG))


def test_no_interval_claims_to_be_certain():
    def balanced(count, landed):
        history = [episode(f"a{n}", "balanced", landed=landed, cost=1.0) for n in range(count)]
        found = {each["policy"]: each for each in evaluate(history, CONFIG)}
        return found["always balanced"]

    few, many = balanced(8, landed=True), balanced(800, landed=True)
    assert (few["success_rate"], few["cost_per_landed_usd"]) == (1.0, 1.0)
    assert few["success_interval"] == pytest.approx(interval(8, 8))
    assert few["success_interval"][0] < 0.8
    assert few["cost_interval"][1] > 1.2
    assert few["success_interval"][0] < many["success_interval"][0] < 1.0
    none = balanced(8, landed=False)
    assert none["success_interval"][1] > 0.2
    assert none["cost_interval"] is None


def test_few_tasks_give_no_figures_however_many_their_sessions():
    history = [episode(f"a{n % 7}", "balanced", landed=n % 2 == 0, cost=1.0) for n in range(70)]
    found = {each["policy"]: each for each in evaluate(history, CONFIG)}["always balanced"]
    assert (found["sessions"], found["tasks"], found["covered"]) == (70, 7, 1.0)
    figures = ("success_rate", "success_interval", "cost_per_landed_usd", "cost_interval")
    assert [found[name] for name in figures] == [None] * 4


def test_intervals_narrow_with_sessions():
    assert interval(0, 0) is None
    few, many = interval(8, 10), interval(800, 1000)
    assert few is not None
    assert many is not None
    assert few[0] < many[0] < 0.8 < many[1] < few[1]


def test_the_simulated_worlds_are_as_they_are_described():
    tasks = benchmark.world(1, 1500)
    assert tasks == benchmark.world(1, 1500)
    means = [sum(each.success(tier) for each in tasks) / len(tasks) for tier in ORDER]
    assert means[0] < means[1] < means[2]
    assert 0.5 < benchmark.compare(1, 100).correlation < 0.9


def test_learning_is_cheaper_in_simulated_worlds():
    found = [benchmark.compare(seed, 400) for seed in (1, 2, 3)]
    mine, balanced, keywords = (
        benchmark.together(getattr(each, name) for each in found)
        for name in ("learned", "balanced", "keywords")
    )
    assert mine.per_landed < 0.85 * balanced.per_landed
    assert mine.per_landed < 0.95 * keywords.per_landed
    assert mine.rate > balanced.rate - 0.02
    assert benchmark.compare(1, 400) == found[0]
