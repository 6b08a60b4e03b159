"""What plugins decide, as it reaches sessions and the store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from tests.e2e.conftest import epic, task
from yokeflow.config import AgentOptions
from yokeflow.engine.run import Run
from yokeflow.engine.selection import RunOptions
from yokeflow.errors import ExitCode
from yokeflow.hookspecs import hookimpl
from yokeflow.model import AgentOutput, AgentReport, AgentRequest, Launch, ModelChoice, Usage


class Metered:
    """Runs the task's `run`; a line `spend N` tells of N output tokens."""

    name = "metered"

    def __init__(self) -> None:
        self.requests: list[AgentRequest] = []

    def missing(self, options: AgentOptions) -> str:
        return ""

    def launch(self, request: AgentRequest, options: AgentOptions) -> Launch:
        self.requests.append(request)
        return Launch(("sh", "-c", request.attempt.task.run))

    def reader(self, request: AgentRequest, options: AgentOptions) -> Any:
        return MeteredReader(request.attempt.model or "m")


class MeteredReader:
    def __init__(self, model: str) -> None:
        self.model = model
        self.spent = 0

    def feed(self, line: bytes) -> Iterable[AgentOutput]:
        if not line.startswith(b"spend "):
            return (AgentOutput("text", line.decode()),)
        self.spent += int(line[6:])
        return (AgentOutput("usage", "", Usage(self.model, output=int(line[6:]))),)

    def finish(self, exit_code: int) -> AgentReport:
        usage = (Usage(self.model, output=self.spent),) if self.spent else ()
        return AgentReport(ok=exit_code == 0, error=f"exit {exit_code}" if exit_code else "", usage=usage)


@pytest.fixture
def metered() -> Metered:
    return Metered()


def bringing(agent: Metered, **hooks: Any) -> Any:
    """A plugin with the metered agent and these hooks."""
    return SimpleNamespace(
        register_agents=hookimpl(lambda: (agent,)),
        **{name: hookimpl(function) for name, function in hooks.items()},
    )


def price_usage(usage):
    """One dollar for a token."""
    return float(sum(each.output for each in usage))


async def rows(workshop: Any, query: str) -> list[Any]:
    project = await workshop.project()
    async with project.store() as (store, _), store.begin() as connection:
        return list(await connection.execute(text(query)))


async def test_what_was_decided_about_a_session_is_stored_with_it(workshop, metered):
    def select_model(attempt, agent):
        assert attempt.agent == agent == "metered"
        return ModelChoice("m7", "it is the seventh", "fast", {"score": 0.5})

    workshop.config(agents={"default": "metered"}, cost={"budget_limit_usd": 10})
    workshop.plan(epic("a", task("a.1", "echo spend 2; echo 1 > one")))
    report = await workshop.run(
        plugins=[bringing(metered, select_model=select_model, price_usage=price_usage)]
    )
    assert (report.exit_code, report.cost_usd) == (ExitCode.OK, 2.0)
    (session,) = await rows(workshop, "SELECT model, cost_usd, metadata FROM sessions")
    kept = session.metadata
    assert (session.model, float(session.cost_usd), kept["tier"]) == ("m7", 2.0, "fast")
    assert (kept["model_reason"], kept["choice"]) == ("it is the seventh", {"score": 0.5})
    assert kept["cost_source"] == "prices"
    assert kept["reserved"]["usd"] >= 1.0
    assert metered.requests[0].model == "m7"


async def test_reservation_and_start_are_one_write(workshop, metered):
    workshop.config(agents={"default": "metered"}, cost={"budget_limit_usd": 10})
    workshop.plan(epic("a", task("a.1", "echo 1 > one")))
    await workshop.run(plugins=[bringing(metered)])
    types = workshop.types()
    place = types.index("budget.reserved")
    assert types[place + 1] == "session.started"


async def test_a_session_that_spends_too_much_is_stopped_at_once(workshop, metered):
    def check_spending(attempt, usage):
        spent = price_usage(usage)
        return f"it spent {spent:g} of 5" if spent > 5 else None

    workshop.config(agents={"default": "metered", "max_attempts": 1, "grace": "30s"})
    # It does not listen to polite signals, and would spend on through its grace.
    script = (
        "trap '' TERM INT; echo spend 3; echo spend 3; for n in $(seq 60); do sleep 1; done; echo 1 > one"
    )
    workshop.plan(epic("a", task("a.1", script)))
    plugin = bringing(metered, check_spending=check_spending, price_usage=price_usage)
    report = await workshop.run(plugins=[plugin])
    assert report.failed == {"a.1": "the session was stopped: it spent 6 of 5"}
    assert (report.exit_code, report.cost_usd) == (ExitCode.FAILED, 6.0)
    assert report.seconds < 20


async def test_plugins_learn_while_the_run_goes_on_and_may_ask_an_agent(workshop, metered):
    answers = []

    async def learn(result, config, host):
        if result.attempt.task.id == "a.1":
            answers.append(await host.ask("What now?", operation="reflection", agent="metered", model="m9"))
            host.emit(
                "lesson.learned", files=await host.changed_files(result.base_commit, result.head_commit)
            )

    workshop.config(agents={"default": "metered"})
    workshop.plan(epic("a", task("a.1", "echo spend 2; echo 1 > one"), task("a.2")))
    report = await workshop.run(plugins=[bringing(metered, learn=learn, price_usage=price_usage)])
    assert report.exit_code == ExitCode.OK
    assert [answer.ok for answer in answers] == [True]
    (asked,) = workshop.of("agent.asked")
    assert (asked["operation"], asked["agent"], asked["model"], asked["task"]) == (
        "reflection",
        "metered",
        "m9",
        "a.1",
    )
    (learned,) = workshop.of("lesson.learned")
    assert learned["files"] == ["one"]
    (request,) = [each for each in metered.requests if each.prompt == "What now?"]
    assert workshop.root not in request.worktree.parents or ".git" in request.worktree.parts


async def test_the_hooks_of_a_run_are_called_in_order(workshop, metered):
    called = []

    def noting(name):
        def hook():
            called.append(name)

        return hook

    names = (
        *("begin_run", "resolve_dependencies", "select_profile", "budget_left", "select_model"),
        *("reserve_budget", "recall", "settle_budget", "learn"),
    )
    workshop.config(agents={"default": "metered"})
    workshop.plan(epic("a", task("a.1", "echo 1 > one")))
    await workshop.run(plugins=[bringing(metered, **{name: noting(name) for name in names})])
    assert [name for place, name in enumerate(called) if name not in called[:place]] == list(names)


async def test_a_run_that_is_killed_while_it_learns_starts_nothing_more(workshop, metered):
    learning = asyncio.Event()

    async def learn():
        learning.set()
        await asyncio.sleep(60)

    workshop.config(
        agents={"default": "metered"},
        cost={"budgets": {"run": {"sessions": 1}}},
        parallel={"max_concurrency": 1},
    )
    workshop.plan(epic("a", task("a.1"), task("a.2")))
    project = await workshop.project()
    project.plugins.register(bringing(metered, learn=learn))
    workshop.events.clear()
    run = Run(project, project.load_plan(), RunOptions(), workshop.events.append)
    working = asyncio.create_task(run.execute())
    await learning.wait()
    # The second task has been refused, and waits for what the learning may give back.
    await asyncio.sleep(0.5)
    run.kill()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert "budget.exceeded" not in workshop.types()


@pytest.mark.parametrize("scope", ["task", "epic"])
async def test_a_budget_of_a_task_or_epic_stops_that_one_and_nothing_else(workshop, scope):
    limits = {scope: {"sessions": 1}}
    workshop.config(cost={"budgets": limits}, agents={"max_attempts": 3}, parallel={"max_concurrency": 1})
    second = task("a.2", "exit 1")
    workshop.plan(epic("a", task("a.1", "exit 1"), second), epic("b", task("b.1")))
    report = await workshop.run()
    assert report.exit_code == ExitCode.FAILED
    assert [landed.epic for landed in report.landed] == ["b"]
    kinds = {entry.item: entry.kind for entry in report.waiting}
    assert kinds == {"a.1": "budget", "a.2": "budget"}
    assert len(workshop.of("session.started")) == (3 if scope == "task" else 2)
    assert {entry["scope"] for entry in workshop.of("budget.exceeded")} == {scope}
    (shown,) = [
        each for each in json.loads(workshop.yoke("attention", "--json").stdout) if each["item"] == "a.1"
    ]
    assert shown["choices"] == ["retry", "skip"]


async def test_tasks_of_an_epic_wait_for_money_that_is_set_aside(workshop):
    workshop.config(
        cost={"budgets": {"epic": {"usd": 1.5}}, "session_limit_usd": 1.0},
        parallel={"strategy": "by_task", "max_concurrency": 3},
    )
    workshop.plan(epic("a", *(task(f"a.{n}", f"sleep 0.3; echo 1 > {n}") for n in range(3))))
    report = await workshop.run()
    assert report.exit_code == ExitCode.OK
    order = [type_ for type_ in workshop.types() if type_ in {"session.started", "session.finished"}]
    # Only one fits into the budget at a time; shell sessions turn out to be free.
    assert order == ["session.started", "session.finished"] * 3
