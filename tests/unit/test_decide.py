"""What plugins decide, and what becomes of a run when one of them fails."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from yokeflow.config import Config
from yokeflow.engine.decisions.decide import Decisions, EventHook
from yokeflow.engine.decisions.hosting import Lender
from yokeflow.engine.recorder import Recorder
from yokeflow.errors import LimitError, PluginError
from yokeflow.events import Event
from yokeflow.hookspecs import hookimpl
from yokeflow.model import (
    AgentReport,
    Attempt,
    BudgetLeft,
    Epic,
    ModelChoice,
    Plan,
    Profile,
    Reservation,
    Resolution,
    SessionResult,
    Task,
    Usage,
)
from yokeflow.plugin_manager import PluginManager
from yokeflow.store import projects
from yokeflow.store.journal import Journal

TASK = Task("a.1", "a", "T")
PLAN = Plan((Epic("a", "A", tasks=(TASK,)),), Path("plan.yaml"))
ATTEMPT = Attempt(TASK, 1, "s", "r", agent="shell")
RESULT = SessionResult(ATTEMPT, "shell", "", "completed", "", 1.0, AgentReport(ok=True))
RESOLVED = Resolution(
    hard={"a.1": frozenset()},
    soft={"a.1": frozenset()},
    batches=(("a.1",),),
    remaining={"a.1": 1.0},
    slack={"a.1": 0.0},
    critical_path=("a.1",),
    durations={"a.1": 1.0},
    lanes={"a.1": "a"},
)

ANYTHING: Any = None


def plugins(*modules: Any) -> PluginManager:
    """These plugins alone, as plugin0, plugin1 …; the last one is asked first."""
    manager = PluginManager()
    for number, module in enumerate(modules):
        manager.register(module, f"plugin{number}")
    return manager


def answering(**answers: Any) -> Any:
    """A plugin that answers hooks with these values, or raises them."""

    def hook(value: Any) -> Any:
        def answer() -> Any:
            if isinstance(value, Exception):
                raise value
            return value

        return hookimpl(answer)

    return SimpleNamespace(**{name: hook(value) for name, value in answers.items()})


def decisions(
    *modules: Any, lender: Lender | None = None, limits: dict[str, float] | None = None
) -> Decisions:
    return Decisions(
        plugins(*modules), Config.model_validate({"plugins": {"timeouts": limits or {}}}), lender
    )


@pytest.fixture
def seen() -> list[Event]:
    return []


@pytest.fixture
def recorder(tmp_path: Path, seen: list[Event]) -> Recorder:
    return Recorder("run", Journal(tmp_path / "journal.jsonl"), [seen.append])


ASKED: dict[str, Any] = {
    "resolve_dependencies": lambda decide: decide.resolve(PLAN, (), {}),
    "order_ready": lambda decide: decide.order([TASK], RESOLVED),
    "select_profile": lambda decide: decide.profile(TASK, 1),
    "budget_left": lambda decide: decide.budget(ATTEMPT),
    "select_model": lambda decide: decide.model(ATTEMPT, None),
    "reserve_budget": lambda decide: asyncio.run(decide.reserve(ATTEMPT)),
    "check_spending": lambda decide: decide.spending(ATTEMPT, (Usage("m"),)),
    "price_usage": lambda decide: decide.price((Usage("m"),)),
    "settle_budget": lambda decide: asyncio.run(decide.settle(RESULT)),
    "begin_run": lambda decide: asyncio.run(decide.begin(PLAN)),
}
SENSE: dict[str, Any] = {
    "resolve_dependencies": RESOLVED,
    "order_ready": ["a.1"],
    "select_profile": Profile("tester"),
    "budget_left": BudgetLeft("run", "usd", 10, 2),
    "select_model": ModelChoice("sonnet", "why not"),
    "check_spending": "it passed its cap",
    "price_usage": 0.25,
}


@pytest.mark.parametrize("hook", ASKED)
class TestEveryHookThatFailsClosed:
    def test_stops_the_run_with_the_name_of_a_plugin_that_raises(self, hook):
        with pytest.raises(PluginError, match=f"plugin plugin1: {hook} failed: ZeroDivisionError"):
            ASKED[hook](decisions(answering(), answering(**{hook: ZeroDivisionError()})))

    def test_stops_the_run_with_the_name_of_a_plugin_that_hangs(self, hook):
        hanging = SimpleNamespace(**{hook: hookimpl(lambda: time.sleep(60))})
        with pytest.raises(PluginError, match=f"plugin plugin1: {hook} took longer than 0.05 s"):
            ASKED[hook](decisions(answering(), hanging, limits={hook: 0.05}))


@pytest.mark.parametrize("hook", SENSE)
def test_the_first_answer_that_is_not_none_counts(hook):
    assert ASKED[hook](decisions(answering(**{hook: SENSE[hook]}), answering(**{hook: None}))) == SENSE[hook]


@pytest.mark.parametrize(
    ("hook", "answer", "reason"),
    [
        ("resolve_dependencies", {}, "no Resolution but dict"),
        ("resolve_dependencies", Resolution({}, {}, (), {}, {}, (), {}, {}), "`hard` leaves out a.1"),
        ("order_ready", "a.1", "no list of ids but str"),
        ("order_ready", ["a.2"], "'a.2' is not among the ready tasks"),
        ("order_ready", ["a.1", "a.1"], "named twice"),
        ("order_ready", [["a.1"]], r"\['a.1'\] is not among the ready tasks"),
        ("resolve_dependencies", replace(RESOLVED, hard=ANYTHING), "`hard` is .*no mapping but NoneType"),
        ("resolve_dependencies", replace(RESOLVED, hard={"a.1": ANYTHING}), "TypeError"),
        ("select_profile", Profile("tester", lowest_tier="bogus"), "'bogus' is no tier"),
        ("select_model", ModelChoice("m", "", details={"x": object()}), "details are not JSON"),
        ("select_profile", "tester", "no Profile but str"),
        ("select_profile", Profile(""), "has no name"),
        ("budget_left", 5, "no BudgetLeft but int"),
        ("budget_left", BudgetLeft("run", "usd", math.nan, 0), "not a number"),
        ("select_model", "opus", "no ModelChoice but str"),
        ("select_model", ModelChoice(None, ""), "are text"),  # type: ignore[arg-type]
        ("select_model", ModelChoice("a\0b", ""), "not text"),
        ("reserve_budget", "much", "no Reservation or a number of dollars but str"),
        ("reserve_budget", -1.0, "no Reservation or a number"),
        ("reserve_budget", Reservation(usd=math.inf), "not a number"),
        ("check_spending", True, "no sentence but bool"),
        ("price_usage", "1 $", "no number of dollars but str"),
        ("price_usage", math.nan, "no number of dollars"),
    ],
)
def test_nonsense_stops_the_run_with_the_name_of_the_plugin(hook, answer, reason):
    with pytest.raises(PluginError, match=f"plugin plugin0: {hook} failed: .*{reason}"):
        ASKED[hook](decisions(answering(**{hook: answer})))


def test_a_resolution_knows_no_other_tasks():
    odd = Resolution(
        **{name: getattr(RESOLVED, name) for name in RESOLVED.__slots__} | {"hard": {"a.1": {"x"}}}
    )
    with pytest.raises(PluginError, match="`hard` makes tasks wait for x"):
        decisions(answering(resolve_dependencies=odd)).resolve(PLAN, (), {})
    with pytest.raises(PluginError, match=r"`hard` names a\.1"):
        decisions(answering(resolve_dependencies=RESOLVED)).resolve(PLAN, {"a.1"}, {})


def test_no_resolver_is_an_error_with_the_remedy():
    with pytest.raises(PluginError) as raised:
        decisions().resolve(PLAN, (), {})
    assert "yoke_resolver" in raised.value.hint


async def test_a_refusal_is_a_limit_and_no_defect():
    refusing = answering(reserve_budget=LimitError("no money is left"))
    with pytest.raises(LimitError, match="no money"):
        await decisions(answering(reserve_budget=1.5), refusing).reserve(ATTEMPT)


async def test_what_was_set_aside_comes_back_when_another_plugin_refuses():
    settled = []

    def settle_budget(result):
        settled.append((result.state, result.cost_usd))

    reserving = answering(reserve_budget=1.5)
    reserving.settle_budget = hookimpl(settle_budget)
    refusing = answering(reserve_budget=LimitError("no money is left"))
    with pytest.raises(LimitError):
        await decisions(refusing, reserving).reserve(ATTEMPT)
    assert settled == [("interrupted", 0.0)]


async def test_of_several_reservations_the_strictest_counts():
    one, two = Reservation(1.0, 500, 3.0), Reservation(2.0, None, 2.5)
    decide = decisions(*(answering(reserve_budget=each) for each in (one, two, 0.5, None)))
    assert await decide.reserve(ATTEMPT) == Reservation(2.0, 500, 2.5)
    assert await decisions().reserve(ATTEMPT) is None


class TestSoftHooks:
    async def test_one_that_fails_costs_an_event_and_the_others_are_asked(self, recorder, seen):
        decide = decisions(
            answering(recall=["a lesson"]),
            answering(recall=RuntimeError("no memory")),
            answering(recall="one string"),
            answering(recall=[7]),
        )
        assert await decide.recall(ATTEMPT, recorder) == ["a lesson"]
        assert [(event.type, event.data["plugin"], event.session) for event in seen] == [
            ("plugin.failed", f"plugin{number}", "s") for number in (3, 2, 1)
        ]

    async def test_learning_that_hangs_costs_an_event(self, recorder, seen, tmp_path):
        hanging = SimpleNamespace(learn=hookimpl(lambda: asyncio.sleep(60)))
        await decisions(hanging, limits={"learn": 0.05}).learn(RESULT, tmp_path / "log", recorder)
        assert [event.data["error"] for event in seen] == [
            "plugin plugin0: learn took longer than 0.05 s",
        ]

    def test_a_deaf_listener_is_not_called_again(self, recorder, seen):
        recorder.listen(EventHook(plugins(answering(on_event=RuntimeError("deaf"))), recorder, {}))
        recorder.emit("task.ready", task="a.1")
        recorder.emit("task.ready", task="a.2")
        assert [event.type for event in seen].count("plugin.failed") == 1

    def test_a_listener_that_hangs_is_not_called_again(self, recorder, seen):
        calls = []

        def on_event():
            calls.append(1)
            time.sleep(60)

        manager = plugins(SimpleNamespace(on_event=hookimpl(on_event)))
        recorder.listen(EventHook(manager, recorder, {"on_event": 0.05}))
        recorder.emit("task.ready", task="a.1")
        recorder.emit("task.ready", task="a.2")
        assert calls == [1]
        assert [event.type for event in seen].count("plugin.failed") == 1


class TestHost:
    @pytest.fixture
    async def lender(self, store, recorder) -> Lender:
        async with store.begin() as connection:
            project_id = await projects.register(connection, "key", "name", Path("root"))
        repo: Any = SimpleNamespace(root=Path("root"))
        return Lender(store, project_id, repo, "main", recorder)

    async def test_a_plugin_works_in_transactions_and_records_events(self, lender, recorder, seen):
        async def recall(attempt, host):
            async with host.begin() as connection:
                count = await connection.scalar(text("SELECT count(*) FROM projects"))
            host.emit("lesson.given", count=count, root=str(host.root), run=host.run != "")
            return [str(host.project_id)]

        decide = decisions(SimpleNamespace(recall=hookimpl(recall)), lender=lender)
        assert await decide.recall(ATTEMPT, recorder) == [str(lender.project_id)]
        (event,) = seen
        assert (event.type, event.epic, event.task, event.session) == ("lesson.given", "a", "a.1", "s")
        assert event.data == {"count": 1, "root": "root", "run": True}

    async def test_a_transaction_left_open_is_rolled_back_and_named(self, lender, store):
        kept = []

        async def begin_run(host):
            kept.append(host.begin())
            connection = await kept[0].__aenter__()
            await connection.execute(text("UPDATE projects SET name = 'taken'"))

        with pytest.raises(PluginError, match="plugin plugin0: begin_run failed: it left a transaction open"):
            await decisions(SimpleNamespace(begin_run=hookimpl(begin_run)), lender=lender).begin(PLAN)
        async with store.begin() as connection:
            assert await connection.scalar(text("SELECT count(*) FROM projects WHERE name = 'taken'")) == 0
            idle = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'"
            assert await connection.scalar(text(idle + " AND datname = current_database()")) == 0

    async def test_a_transaction_that_was_taken_back_ends_in_peace(self, lender):
        """As that of a plugin that is still at work when its call is over."""
        kept = []

        async def begin_run(host):
            kept.append(host.begin())
            await kept[0].__aenter__()

        with pytest.raises(PluginError):
            await decisions(SimpleNamespace(begin_run=hookimpl(begin_run)), lender=lender).begin(PLAN)
        assert await kept[0].__aexit__(None, None, None) is None

    async def test_an_error_inside_a_transaction_is_the_error_that_is_told(self, lender):
        async def begin_run(host):
            async with host.begin() as connection:
                await connection.execute(text("SELECT 1"))
                raise ValueError("inside")

        with pytest.raises(PluginError, match="inside"):
            await decisions(SimpleNamespace(begin_run=hookimpl(begin_run)), lender=lender).begin(PLAN)

    async def test_a_host_ends_with_its_call(self, lender):
        kept: list[Any] = []

        def begin_run(host):
            kept.append(host)

        await decisions(SimpleNamespace(begin_run=hookimpl(begin_run)), lender=lender).begin(PLAN)
        (host,) = kept
        for use in (host.begin, lambda: host.emit("a.b")):
            with pytest.raises(RuntimeError, match="not after it"):
                use()
        for late in (
            host.tracked_files(),
            host.changed_files("a", "b"),
            host.ask("", operation="o", agent="a"),
        ):
            with pytest.raises(RuntimeError, match="not after it"):
                await late

    @pytest.mark.parametrize(
        "type_", ["task.completed", "session.finished", "deploy", "Deploy.done", "a.b\n"]
    )
    async def test_events_of_the_core_are_not_a_plugins_to_record(self, lender, seen, type_):
        with pytest.raises(PluginError, match="is no event of a plugin's"):
            await decisions(
                SimpleNamespace(begin_run=hookimpl(lambda host: host.emit(type_))), lender=lender
            ).begin(PLAN)
        assert seen == []
