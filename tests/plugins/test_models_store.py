"""Evidence as the store has it, and `yoke models` on a project whose database is real."""

from __future__ import annotations

import asyncio
import json
import subprocess
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner
from sqlalchemy import text

import yoke_models
from yoke_models.command import command
from yoke_models.evidence import Cell, Tally
from yoke_models.history import episodes, groups, load
from yoke_models.memory import Memory, of_plan
from yoke_models.table import evidence
from yokeflow.config import Config
from yokeflow.engine.project import Project
from yokeflow.errors import UsageError
from yokeflow.events import Event
from yokeflow.model import Attempt, Epic, ModelChoice, Plan, Task
from yokeflow.store import items, projects
from yokeflow.store.projection import apply

if TYPE_CHECKING:
    from click.testing import Result

    from yokeflow.store.connection import Store

MODELS = {"fast": "haiku", "balanced": "sonnet", "powerful": "opus"}
COMMIT = "c" * 40


@dataclass
class Story:
    """Events of one run, one after another."""

    run: str = field(default_factory=lambda: str(uuid4()))
    events: list[Event] = field(default_factory=list)

    def tell(self, type_: str, epic: str = "", task: str = "", session: str = "", **data: Any) -> None:
        self.events.append(Event(type_, run=self.run, epic=epic, task=task, session=session, data=data))

    def session(self, task: str, state: str, tier: str = "fast", *, attempt: int = 1, **more: Any) -> str:
        session, where = str(uuid4()), (task[0], task)
        choice = more.pop("choice", {"rule": "learned", "size": "small", "score": 0.1})
        begun = {
            "agent": "claude",
            "model": MODELS.get(tier, tier),
            "tier": tier,
            "model_reason": "it was due",
        }
        self.tell(
            "session.started",
            *where,
            session,
            attempt=attempt,
            choice=choice,
            **begun,
        )
        self.tell("session.finished", *where, session, state=state, seconds=1.0, **{"cost_usd": 0.5, **more})
        if state == "completed":
            self.tell("task.completed", *where, commit=COMMIT)
        return session

    def landing(self, epic: str, end: str, **data: Any) -> None:
        self.tell("landing.queued", epic)
        if end == "landed":
            self.tell("landing.landed", epic, commit=COMMIT, tasks=[], **data)
        else:
            self.tell("landing.rejected", epic, reason="it is so", output="")
            self.tell(
                "intervention.opened",
                epic,
                intervention=str(uuid4()),
                kind=end,
                reason="it is so",
                choices=[],
            )


def plan_of(*epics: str) -> Plan:
    made = tuple(
        Epic(
            name,
            name,
            tasks=tuple(
                Task(f"{name}{n}", name, f"{name}{n}", category="code", position=n) for n in range(3)
            ),
            position=place,
        )
        for place, name in enumerate(epics)
    )
    return Plan(made, Path("plan.yaml"))


@pytest.fixture
async def project(store: Store, tmp_path: Path) -> UUID:
    async with store.begin() as conn:
        project_id = await projects.register(conn, "key", "sample", tmp_path)
        await items.sync_plan(conn, project_id, plan_of("a", "b", "c"))
    return project_id


@pytest.fixture
def story() -> Story:
    story = Story()
    story.tell("run.started", target="main")
    return story


async def tell(store: Store, project: UUID, story: Story) -> None:
    async with store.begin() as conn:
        await apply(conn, project, story.events)


async def loaded(store: Store, project: UUID, story: Story, config: Config | None = None) -> Memory:
    await tell(store, project, story)
    memory = of_plan(config or Config(), plan_of("a", "b", "c"))
    async with store.begin() as conn:
        await load(conn, project, memory)
    return memory


def small(tier: str = "fast") -> Cell:
    return Cell("claude", tier, "code", "small")


def counts(memory: Memory, tier: str = "fast") -> tuple[int, int]:
    tally = memory.evidence.of(small(tier))
    return tally.successes, tally.failures


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([], (0, 0)),
        (["landed"], (1, 0)),
        (["red_check"], (0, 1)),
        (["checkout"], (0, 0)),
        (["conflict"], (0, 0)),
        (["red_check", "landed"], (1, 0)),
        (["landed", "taken_back"], (0, 1)),
        (["landed", "taken_back", "landed"], (1, 0)),
        # It landed before the epic got new work, which a check turned down.
        (["landed", "red_check"], (1, 0)),
        (["red_check", "checkout"], (0, 1)),
    ],
)
async def test_landings_tell_what_became_of_a_completed_session(store, project, story, ends, expected):
    story.session("a0", "completed")
    for end in ends:
        story.landing("a", end)
    memory = await loaded(store, project, story)
    assert counts(memory) == expected
    assert memory.evidence.of(small()).cost == 0.5


async def test_work_that_came_after_a_landing_is_not_landed_by_it(store, project, story):
    story.session("a0", "completed")
    story.landing("a", "landed")
    story.session("a1", "completed", "balanced")
    memory = await loaded(store, project, story)
    assert counts(memory) == (1, 0)
    assert counts(memory, "balanced") == (0, 0)
    # The landing of this run is seen by the memory, which knows what waits for it.
    memory.see(Event("landing.landed", run="r", epic="a"))
    assert counts(memory) == (1, 0)
    assert counts(memory, "balanced") == (1, 0)


async def test_a_clock_that_runs_backwards_changes_no_outcome(store, project, story):
    story.session("a0", "completed")
    story.landing("a", "taken_back")
    story.landing("a", "landed")
    story.session("a1", "completed", "balanced")
    story.session("b0", "completed", "powerful")
    story.landing("b", "landed")
    story.landing("b", "taken_back")
    began = story.events[0].at
    story.events = [
        replace(event, at=began - timedelta(minutes=number)) for number, event in enumerate(story.events)
    ]
    memory = await loaded(store, project, story)
    assert [counts(memory, tier) for tier in MODELS] == [(1, 0), (0, 0), (0, 1)]


async def test_a_session_whose_task_was_done_again_gets_no_credit(store, project, story):
    story.session("a0", "completed")
    story.tell("task.reopened", "a", "a0", by="system", reason="its commit is lost")
    story.session("a0", "completed", "balanced")
    story.landing("a", "landed")
    story.session("b0", "completed")
    story.landing("b", "red_check")
    story.tell("task.reopened", "b", "b0", by="person", reason="retry")
    story.session("b0", "completed", "powerful")
    story.landing("b", "landed")
    memory = await loaded(store, project, story)
    assert [counts(memory, tier) for tier in MODELS] == [(0, 1), (1, 0), (1, 0)]


async def test_failures_count_and_interruptions_and_unknown_costs_do_not(store, project, story):
    story.session("a0", "failed")
    story.session("a0", "interrupted", cost_usd=9.0)
    story.session("a0", "failed", "balanced", attempt=2, cost_usd=None)
    story.session("b0", "failed", "somebody-elses")
    memory = await loaded(store, project, story)
    assert memory.evidence.of(small()) == Tally(failures=1, cost=0.5, priced=1)
    assert memory.evidence.of(small("balanced")) == Tally(failures=1, again=1)
    assert memory.failed == {"a0": ["fast", "balanced"]}
    assert memory.evidence.of(Cell("claude", "fast")).decided == 1


async def test_failures_before_a_task_was_opened_again_are_forgotten(store, project, story):
    story.session("a0", "failed")
    story.tell("task.reopened", "a", "a0", by="person", reason="retry")
    story.session("a0", "failed", "balanced")
    story.session("a1", "failed")
    story.session("a1", "completed", attempt=2)
    memory = await loaded(store, project, story)
    assert memory.failed == {"a0": ["balanced"]}


async def test_tiers_follow_the_config_and_sizes_the_estimate(store, project, story):
    story.session("a0", "failed", "gpt-5", choice={})
    tiers = {"models": {"tiers": {"claude": {"fast": "haiku", "powerful": "gpt-5"}}}}
    memory = await loaded(store, project, story, Config.model_validate(tiers))
    assert memory.evidence.of(Cell("claude", "powerful", "code", "medium")).failures == 1


async def test_memory_and_store_come_to_the_same(store, project, story):
    memory = of_plan(Config(), plan_of("a", "b", "c"))
    story.session("a0", "failed")
    story.session("a0", "completed", "balanced", attempt=2)
    story.session("a1", "completed")
    story.landing("a", "red_check")
    story.landing("a", "landed")
    story.session("b0", "completed", cost_usd=None)
    story.session("b1", "completed", "powerful")
    story.landing("b", "red_check")
    story.session("c0", "completed")
    for event in story.events:
        memory.see(event)
    again = await loaded(store, project, story)
    assert dict(again.evidence.cells()) == dict(memory.evidence.cells())
    assert {name: found for name, found in memory.failed.items() if name != "a0"} == again.failed


def lent(store: Store, project: UUID) -> Any:
    """What `begin_run` uses of what the core lends it."""
    return SimpleNamespace(run="now", project_id=project, begin=store.begin)


def chosen(*arguments: Any) -> ModelChoice:
    choice = yoke_models.select_model(*arguments)
    assert choice is not None
    return choice


async def test_a_run_begins_with_what_the_store_knows_and_ends_without(store, project, story):
    for _ in range(40):
        story.session("a0", "completed", attempt=2)
    for number in range(40):
        story.session("b0", "failed", "powerful", attempt=2)
        story.session("b1", "failed", "balanced", attempt=2 + number)
    story.landing("a", "landed")
    await tell(store, project, story)
    config = Config.model_validate({"models": {"seed": 1}})
    await yoke_models.begin_run(plan_of("a", "b", "c"), config, lent(store, project))
    task = Task("c0", "c", "c0", category="code")
    choice = chosen(Attempt(task, 1, "s", "now"), "claude", config, None)
    assert choice.details["tiers"]["balanced"]["failures"] == 40
    third = Attempt(Task("b1", "b", "b1", category="code"), 3, "s", "now")
    assert chosen(third, "claude", config, None).tier == "powerful"
    yoke_models.on_event(Event("run.finished", run="now"))
    later = chosen(Attempt(task, 1, "s", "now"), "claude", config, None)
    assert later.details["tiers"]["balanced"]["failures"] == 0


async def test_the_table_and_the_episodes(store, project, story):
    story.session("a0", "failed")
    story.session("a0", "completed", attempt=2, cost_usd=1.0)
    story.landing("a", "landed")
    story.session("b0", "completed", cost_usd=None)
    story.session("b1", "failed", "odd")
    await tell(store, project, story)
    async with store.begin() as conn:
        rows = evidence(await groups(conn, project), Config())
        found = await episodes(conn, project)
    fast, odd = rows
    assert (fast["sessions"], fast["landed"], fast["failed"], fast["open"]) == (3, 1, 1, 1)
    assert (fast["success_rate"], fast["mean_cost_usd"], fast["cost_per_landed_usd"]) == (0.5, 0.75, 1.5)
    assert (odd["tier"], odd["model"], odd["cost_per_landed_usd"]) == ("", "odd", None)
    assert [(each["task"], each["landed"], each["cost"]) for each in found] == [
        *(("a0", False, 0.5), ("a0", True, 1.0), ("b1", False, 0.5)),
    ]
    assert all(each["started"] <= each["finished"] <= each["known"] for each in found)
    assert [each["known"] == each["finished"] for each in found] == [True, False, True]


async def test_a_run_begins_with_the_latest_sessions_alone(store, project, story):
    for place, tier in enumerate(("powerful", "fast", "fast")):
        story.session(f"a{place}", "failed", tier)
    story.session("b0", "completed", "balanced")
    memory = await loaded(store, project, story)
    assert counts(memory, "powerful") == (0, 1)
    memory = of_plan(Config(), plan_of("a", "b", "c"))
    async with store.begin() as conn:
        await load(conn, project, memory, latest=2)
        assert sum(group.sessions for group in await groups(conn, project)) == 4
        assert [each["task"] for each in await episodes(conn, project, 2)] == ["a2"]
    assert [counts(memory, tier) for tier in MODELS] == [(0, 1), (0, 0), (0, 0)]
    memory.see(Event("landing.landed", run="r", epic="b"))
    assert counts(memory, "balanced") == (1, 0)


PLAN = """
epics:
  - id: a
    title: A
    tasks:
      - {id: a0, title: Fix the typo, category: code}
      - {id: a1, title: Design the race away, category: code}
      - {id: a2, title: Named, category: docs, model: opus}
"""


@pytest.fixture
def yoke(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch):
    """Runs `yoke models …` in a repository with one run behind it."""
    monkeypatch.setenv("YOKE_DATABASE_URL", database_url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text(PLAN)
    for args in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "Start"]):
        subprocess.run(["git", *args], cwd=tmp_path, check=True)

    def run(*args: str) -> Result:
        return CliRunner().invoke(command, args, catch_exceptions=False)

    return run


@pytest.fixture
def ran(yoke, tmp_path: Path):
    """The same after a session has failed and another has landed."""
    story = Story()
    story.tell("run.started", target="main")
    task = Task("a0", "a", "Fix the typo", category="code")
    choice = chosen(Attempt(task, 1, "s", story.run), "claude", Config(), None)
    story.session("a0", "failed", choice=dict(choice.details), reason="check `make test` failed (2)")
    story.session("a0", "completed", "balanced", attempt=2, choice=dict(choice.details))
    story.landing("a", "landed")

    async def keep() -> None:
        project = await Project.open(tmp_path)
        async with project.store() as (store, project_id), store.begin() as conn:
            await items.sync_plan(conn, project_id, project.load_plan())
            await apply(conn, project_id, story.events)

    asyncio.run(keep())
    return yoke


def test_the_plugin_brings_its_command():
    assert [each.name for each in yoke_models.register_commands()] == ["models"]


def test_a_new_project_is_told_so(yoke):
    assert "No session has finished yet" in yoke().output
    assert json.loads(yoke("--json").output) == {"evidence": []}
    assert "nothing to replay" in yoke("evaluate").output
    with pytest.raises(UsageError, match="there is no task a9"):
        yoke("why", "a9")


def test_the_table_shows_each_cell(ran):
    lines = ran().output.splitlines()
    assert lines[0].split()[:5] == ["category", "size", "agent", "tier", "model"]
    assert [line.split()[:7] for line in lines[1:]] == [
        ["code", "small", "claude", "fast", "haiku", "1", "0"],
        ["code", "small", "claude", "balanced", "sonnet", "1", "1"],
    ]
    rows = json.loads(ran("--json").output)["evidence"]
    assert rows[1]["cost_per_landed_usd"] == 0.5


def test_why_shows_every_session_with_its_reasons(ran):
    shown = ran("why", "a0").output
    assert "Attempt 1 (session 1), claude: haiku (fast)" in shown
    assert "failed: check `make test` failed (2), cost $0.50" in shown
    assert "Attempt 2 (session 2), claude: sonnet (balanced)" in shown
    assert "because it was due" in shown
    assert "reasoning: -typo" in shown
    assert "0 landed, 0 failed; expects" in shown
    assert "would be chosen" not in shown
    data = json.loads(ran("why", "a0", "--json").output)
    assert [session["choice"]["size"] for session in data["sessions"]] == ["small", "small"]
    assert data["now"] is None


def test_why_tells_what_would_be_chosen_for_a_task_not_yet_run(ran):
    shown = ran("why", "a1").output
    assert shown.startswith("Not started; would be chosen now for attempt 1, claude: ")
    assert "each run draws anew, of 200: " in shown
    data = json.loads(ran("why", "a1", "--json").output)
    assert data["sessions"] == []
    assert sum(data["now"]["runs"].values()) == pytest.approx(1.0)
    assert data["now"]["model"] == max(data["now"]["runs"], key=data["now"]["runs"].get)
    named = json.loads(ran("why", "a2", "--json").output)["now"]
    assert (named["model"], named["model_reason"]) == ("opus", "the task names it")
    with pytest.raises(UsageError) as error:
        ran("why", "a00")
    assert error.value.hint == "did you mean `a0`?"


def test_why_takes_an_epic_for_what_it_is(ran):
    with pytest.raises(UsageError, match="a is an epic") as error:
        ran("why", "a")
    assert error.value.hint.startswith("its tasks: a0, a1, a2")
    with pytest.raises(UsageError, match="there is no task nope") as error:
        ran("why", "nope")
    assert error.value.hint.startswith("known: a0, a1, a2")


PROFILE = text("""
INSERT INTO agent_profiles (project_id, name, status, source, options)
VALUES (CAST(:project AS uuid), 'careful', 'active', 'store', '{"model": "opus"}')
""")


def test_why_asks_for_profiles_as_a_run_does(ran, tmp_path):
    (tmp_path / "plan.yaml").write_text(PLAN + "      - {id: a3, title: Kept, profile: careful}\n")

    async def keep() -> None:
        project = await Project.open(tmp_path)
        async with project.store() as (store, project_id), store.begin() as conn:
            await conn.execute(PROFILE, {"project": str(project_id)})

    asyncio.run(keep())
    now = json.loads(ran("why", "a3", "--json").output)["now"]
    assert (now["model"], now["model_reason"]) == ("opus", "the profile careful names it")


def test_evaluate_tells_what_it_rests_on(ran):
    shown = ran("evaluate").output
    assert "always powerful" in shown
    assert "From 2 sessions with a known outcome." in shown
    found = json.loads(ran("evaluate", "--json").output)
    assert (found["sessions"], found["tasks"]) == (2, 1)
    by_name = {each["policy"]: each for each in found["policies"]}
    assert (by_name["always balanced"]["sessions"], by_name["always balanced"]["tasks"]) == (1, 1)
    assert by_name["always balanced"]["cost_per_landed_usd"] is None
    assert "too little history" in shown
    assert "Too little history: fewer than 8 tasks did what the policy wants." in shown
    assert by_name["always powerful"]["covered"] == 0
