"""Budgets of every scope in real runs, with an agent that tells what it uses while it works."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.errors import ExitCode
from yokeflow.store.connection import Store

#: Dollars for a million tokens written by the model that the script below calls itself.
SONNET = 15


def spending(tokens: int, then: str, *, report: bool = True) -> str:
    """A program in place of Claude Code: it says that it wrote so many tokens, and ends without a price."""
    usage = {"input_tokens": 0, "output_tokens": tokens}
    model = "claude-sonnet-4-5"
    said = {"type": "assistant", "message": {"id": "1", "model": model, "usage": usage, "content": []}}
    end = {"type": "result", "result": "done", "modelUsage": {model: {"outputTokens": tokens}}}
    lines = [f"echo '{json.dumps(said)}'", then, *([f"echo '{json.dumps(end)}'"] if report else [])]
    return "\n".join(("#!/bin/sh", "cat > /dev/null", *lines, ""))


@pytest.fixture
def agent(workshop: Workshop) -> Any:
    def agent(script: str, cost: dict[str, Any], **agents: Any) -> None:
        program = workshop.root.parent / "claude"
        program.write_text(script, encoding="utf-8")
        program.chmod(0o755)
        options = {"claude": {"program": str(program)}}
        workshop.config(cost=cost, agents={"default": "claude", "options": options, **agents})

    return agent


async def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    async with await Store.open(url) as store, store.begin() as conn:
        return [tuple(row) for row in await conn.execute(text(query))]


async def test_a_session_that_passes_its_cap_is_stopped_and_paid(
    workshop: Workshop, agent: Any, database_url: str
) -> None:
    agent(spending(100_000, "sleep 60"), {"session_cap_usd": 1.0}, max_attempts=1)
    workshop.plan(epic("e", task("e.a", prompt="x")))
    report = await workshop.run()
    assert report.exit_code is ExitCode.FAILED
    assert "it spent $1.50, and cost.session_cap_usd allows a session $1.00" in report.failed["e.a"]
    (ended,) = workshop.of("session.finished")
    assert (ended["cost_usd"], ended["cost_source"]) == (100_000 * SONNET / 1_000_000, "least")
    assert ended["seconds"] < 50
    (started,) = workshop.of("session.started")
    assert started["reserved"] == {"cap_usd": 1.0}
    found = await rows(database_url, "SELECT model, output_tokens, cost_usd FROM agent_costs")
    assert found == [("claude-sonnet-4-5", 100_000, Decimal("1.5"))]


async def test_sessions_that_spend_all_they_are_told_to_stay_within_the_budget(
    workshop: Workshop, agent: Any
) -> None:
    """Nothing is known of what they spend before their end."""
    end = '{"type":"result","is_error":true,"subtype":"error_max_budget_usd","total_cost_usd":%s}'
    lines = (
        "#!/bin/sh",
        "cat > /dev/null",
        'while [ "$1" != --max-budget-usd ]; do shift; done',
        f"printf '{end}\\n' \"$2\"",
    )
    agent("\n".join(lines), {"budgets": {"run": {"usd": 10}}}, max_attempts=1)
    workshop.plan(*(epic(f"e{n}", task(f"e{n}.a", prompt="x")) for n in range(8)))
    await workshop.run()
    spent = [each["cost_usd"] for each in workshop.of("session.finished")]
    assert sum(spent) <= 10
    assert len(spent) >= 3
    assert [each["reserved"]["usd"] for each in workshop.of("session.started")] == spent


async def test_a_task_that_used_up_its_budget_is_given_up_and_others_go_on(
    workshop: Workshop, agent: Any
) -> None:
    agent(spending(1000, "echo x > $YOKE_TASK.txt"), {"budgets": {"task": {"sessions": 1}}}, max_attempts=3)
    workshop.plan(
        epic("bad", task("bad.a", prompt="x", verify=["false"])), epic("good", task("good.a", prompt="x"))
    )
    report = await workshop.run()
    assert report.completed == ("good.a",)
    assert [landed.epic for landed in report.landed] == ["good"]
    assert list(report.failed) == ["bad.a"]
    assert "the budget of 1 session for task bad.a does not reach" in report.failed["bad.a"]
    assert len(workshop.of("session.started")) == 2
    (exceeded,) = workshop.of("budget.exceeded")
    assert (exceeded["scope"], exceeded["name"]) == ("task", "bad.a")


async def test_a_day_goes_on_in_the_next_run(workshop: Workshop, agent: Any, database_url: str) -> None:
    """Twelve cents of twenty are gone after the first run, eighteen after the second, which may not go on."""
    cost = {"budgets": {"day": {"usd": 0.20}}, "session_limit_usd": 0.05}
    agent(spending(4000, "echo x > $YOKE_TASK.txt"), cost)
    workshop.plan(*(epic(f"e{n}", task(f"e{n}.a", prompt="x")) for n in range(4)))
    first = await workshop.run(epics=["e0", "e1"])
    assert first.exit_code is ExitCode.OK
    assert not workshop.of("budget.warned")
    second = await workshop.run()
    assert second.exit_code is ExitCode.LIMIT
    assert len(second.completed) == 1
    assert "$0.18 spent" in second.reason
    warned = [
        (each["scope"], each["unit"], each["mark"], each["used"]) for each in workshop.of("budget.warned")
    ]
    assert warned == [("day", "usd", 0.8, 0.18)]
    found = await rows(database_url, "SELECT state, amount_usd, settled_usd FROM budget_reservations")
    assert found == [("settled", Decimal("0.05"), Decimal("0.06"))] * 3
