"""Whole runs done by the real Claude Code and Codex CLI, with a scripted model behind them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.e2e.conftest import Workshop, epic
from tests.e2e.model_server import SENTENCE, ModelServer, model_server
from tests.e2e.test_real_agents import PROGRAMS, options
from yokeflow.errors import ExitCode

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PROGRAMS.exists(), reason="the agent programs are missing: make agents"),
]

#: What the model has every agent do: it names the files after the task, so all tasks differ.
WORK = 'cat "$YOKE_TASK".txt *.txt 2>/dev/null; echo "by $YOKE_TASK" > "$YOKE_TASK.txt"'


def configure(workshop: Workshop, server: ModelServer, **agents: Any) -> None:
    """Claude by default, both programs sent to our server."""
    homes = workshop.root.parent
    settings = {
        name: options(name, server, homes / f"home of {name}").model_dump(mode="json", exclude_defaults=True)
        for name in ("claude", "codex")
    }
    workshop.config(agents={"default": "claude", "timeout": "60s", "options": settings, **agents})


def asked(id_: str, **more: Any) -> dict[str, Any]:
    """A task for an agent that reads a prompt."""
    return {"id": id_, "title": f"Do {id_}", "prompt": f"Write what {id_} needs.", **more}


async def rows(workshop: Workshop, query: str) -> list[dict[str, Any]]:
    """What a query of the store answers."""
    project = await workshop.project()
    async with project.store() as (store, _), store.begin() as connection:
        return [dict(row) for row in (await connection.execute(text(query))).mappings()]


async def test_two_epics_are_built_and_landed_by_claude_and_codex(workshop: Workshop) -> None:
    workshop.plan(
        epic(
            "api",
            asked("api.model", verify=["test -s api.model.txt"]),
            asked("api.routes", agent="codex", model="gpt-5", depends_on=["api.model"]),
        ),
        epic("ui", asked("ui.page", depends_on=["api.routes"], verify=["test -s api.model.txt"])),
    )
    with model_server(Path("unused"), "", command=WORK) as server:
        configure(workshop, server)
        report = await workshop.run()
    assert report.exit_code is ExitCode.OK, (report.failed, report.waiting)
    assert [landed.epic for landed in report.landed] == ["api", "ui"]
    for name in ("api.model", "api.routes", "ui.page"):
        assert (workshop.root / f"{name}.txt").read_text() == f"by {name}\n"
        assert any(f"Write what {name} needs." in str(body) for _, body in server.requests)
    done = workshop.git("log", "--no-merges", "--reverse", "--format=%(trailers:key=Yoke-Task,valueonly)")
    assert done.split() == ["api.model", "api.routes", "ui.page"]
    shown = [(event["task"], event["kind"]) for event in workshop.of("session.output")]
    assert {("api.model", "tool"), ("api.routes", "tool"), ("ui.page", "text")} <= set(shown)
    assert {event["answer"] for event in workshop.of("session.finished")} == {SENTENCE}
    workshop.assert_tidy()
    await check_accounts(workshop, report.cost_usd)


async def check_accounts(workshop: Workshop, cost: float | None) -> None:
    """Tokens of every session, and the dollars where the agent knew them."""
    costs = await rows(
        workshop,
        """SELECT item.key AS task, session.agent, session.state, session.cost_usd AS session_cost,
                  cost.model, cost.cost_usd, cost.input_tokens, cost.output_tokens, cost.cache_read_tokens,
                  cost.cache_write_tokens
           FROM sessions session
           JOIN work_items item ON item.id = session.work_item_id
           JOIN agent_costs cost ON cost.session_id = session.id
           ORDER BY session.number""",
    )
    assert [(row["task"], row["agent"], row["state"]) for row in costs] == [
        ("api.model", "claude", "completed"),
        ("api.routes", "codex", "completed"),
        ("ui.page", "claude", "completed"),
    ]
    # Small tasks about which nothing is known yet.
    assert ["haiku" in row["model"] for row in costs] == [True, False, True]
    tokens = [
        (row["input_tokens"], row["output_tokens"], row["cache_read_tokens"], row["cache_write_tokens"])
        for row in costs
    ]
    assert tokens == [(200, 14, 40, 6), (160, 14, 40, 0), (200, 14, 40, 6)]
    # Codex does not say what it cost: that is by the price list.
    assert all(row["cost_usd"] == row["session_cost"] > 0 for row in costs)
    assert cost == pytest.approx(float(sum(row["cost_usd"] for row in costs)), abs=2e-6)
    items = {item["id"]: item["cost_usd"] for item in (await workshop.status())["items"]}
    assert items["ui"] == items["ui.page"] == pytest.approx(float(costs[2]["cost_usd"]))


@pytest.mark.parametrize(("name", "said"), [("claude", "refused by the script"), ("codex", "high demand")])
async def test_a_model_that_refuses_is_a_failed_attempt_that_says_so(
    workshop: Workshop, name: str, said: str
) -> None:
    workshop.plan(epic("one", asked("one.a", agent=name)))
    with model_server(Path("unused"), "", fail=500) as server:
        configure(workshop, server, max_attempts=1)
        report = await workshop.run()
    assert report.exit_code is ExitCode.FAILED
    assert said in report.failed["one.a"]
    (session,) = workshop.of("session.finished")
    assert (session["state"], session["kept_ref"]) == ("failed", "")
    assert [waiting.kind for waiting in report.waiting] == ["retry_limit"]
    assert workshop.git("rev-list", "--count", "main") == "1"
