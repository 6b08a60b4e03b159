"""Profiles at work: from the config, and from rows that somebody inserted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from tests.e2e.conftest import epic, task
from yokeflow.errors import DocumentError, ExitCode, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Workshop

#: Both run commands; which of them it was can be seen in the file it writes.
AGENTS = {
    "options": {
        "junior": {"kind": "shell", "env": {"ROLE": "junior"}},
        "senior": {"kind": "shell", "env": {"ROLE": "senior"}},
    }
}


async def insert(shop: Workshop, name: str, options: object, **columns: str) -> None:
    """What a person does to make a new agent: one row."""
    given = {"status": "active", **columns, "name": name, "options": json.dumps(options)}
    project = await shop.project()
    async with project.store() as (store, project_id), store.begin() as conn:
        names = ", ".join(given)
        values = ", ".join("CAST(:options AS jsonb)" if key == "options" else f":{key}" for key in given)
        await conn.execute(
            text(f"INSERT INTO agent_profiles (project_id, {names}) VALUES (:project, {values})"),
            {**given, "project": project_id},
        )


async def rows(shop: Workshop) -> dict[str, tuple[Any, ...]]:
    """Status, source, options and version by name."""
    project = await shop.project()
    async with project.store() as (store, _), store.begin() as conn:
        found = await conn.execute(text("SELECT * FROM agent_profiles ORDER BY name"))
        return {row.name: (row.status, row.source, row.options, row.version) for row in found}


async def test_the_profile_brings_the_agent_and_the_prompt(workshop: Workshop) -> None:
    profiles = {"coder": {"categories": ["code"], "agent": "senior", "instructions": "You are careful."}}
    workshop.config(agents={**AGENTS, "profiles": profiles})
    workshop.plan(epic("a", task("a.1", "echo $ROLE > who.txt", category="code"), task("a.2")))
    report = await workshop.run()
    assert report.state == "completed"
    assert workshop.git("show", "main:who.txt") == "senior"
    first, second = workshop.of("session.started")
    assert (first["profile"], first["agent"]) == ("coder", "senior")
    assert (second["profile"], second["agent"]) == ("", "shell")
    (prompt,) = (workshop.root / ".git/yoke/sessions" / first["session"]).glob("prompt.md")
    assert prompt.read_text().startswith("# Your role: coder\n\nYou are careful.\n")


async def test_a_failed_attempt_hands_over_to_a_stronger_profile(workshop: Workshop) -> None:
    profiles = {"coder": {"agent": "junior", "escalates_to": "expert"}, "expert": {"agent": "senior"}}
    workshop.config(agents={**AGENTS, "profiles": profiles})
    workshop.plan(epic("a", task("a.1", 'test "$ROLE" = senior && echo ok > done.txt', profile="coder")))
    report = await workshop.run()
    assert report.state == "completed"
    started = workshop.of("session.started")
    assert [(each["profile"], each["agent"]) for each in started] == [
        ("coder", "junior"),
        ("expert", "senior"),
    ]


async def test_an_attempt_that_leaves_its_bounds_does_not_count(workshop: Workshop) -> None:
    bounds = {"boundaries": {"may_change": ["docs/**"]}}
    workshop.config(agents={"max_attempts": 1, "profiles": {"writer": bounds}})
    wanted = "mkdir -p docs src && echo x > docs/a.md && echo x > src/a.py"
    workshop.plan(epic("a", task("a.1", wanted, profile="writer"), task("a.2", "echo y > b.txt")))
    await workshop.run(tasks=("a.1",))
    (failed,) = workshop.of("task.failed")
    assert failed["reason"] == (
        "the profile writer may change nothing but docs/**, and the agent changed src/a.py"
    )
    assert not workshop.git("ls-tree", "-r", "--name-only", "main", "--", "docs", "src")


async def test_a_row_that_somebody_inserts_takes_effect_in_the_next_run(workshop: Workshop) -> None:
    workshop.config(agents=AGENTS)
    workshop.plan(
        epic("a", task("a.1", "echo $ROLE > one.txt"), task("a.2", "echo $ROLE > two.txt", category="db"))
    )
    await workshop.run(tasks=("a.1",))
    await insert(workshop, "dba", {"categories": ["db"], "agent": "senior"})
    shown = json.loads(workshop.yoke("plan", "show", "--json").stdout)
    assert [(each["profile"], each["agent"]) for each in shown["tasks"]] == [("", "shell"), ("dba", "senior")]
    seen = json.loads(workshop.yoke("run", "--dry-run", "--json").stdout)
    assert [(each["id"], each["profile"], each["agent"]) for each in seen["tasks"]] == [
        ("a.2", "dba", "senior")
    ]
    assert (await workshop.run()).state == "completed"
    assert workshop.git("show", "main:one.txt") == ""
    assert workshop.git("show", "main:two.txt") == "senior"


async def test_a_plan_may_name_a_profile_of_the_store(workshop: Workshop) -> None:
    workshop.config(agents=AGENTS)
    workshop.plan(epic("a", task("a.1", "echo $ROLE > who.txt", profile="dba", needs=["sql"])))
    validated = workshop.yoke("plan", "validate")
    assert validated.returncode == 2
    with pytest.raises(DocumentError, match=r"plan\.yaml:.*profile: task a\.1: there is no profile `dba`"):
        await workshop.run()
    assert "session.started" not in workshop.types()
    await insert(workshop, "dba", {"agent": "senior", "capabilities": ["sql"]})
    assert workshop.yoke("plan", "validate").returncode == 0
    assert (await workshop.run()).state == "completed"
    assert workshop.git("show", "main:who.txt") == "senior"


@pytest.mark.parametrize("status", ["draft", "paused", "archived"])
async def test_only_active_rows_count(workshop: Workshop, status: str) -> None:
    workshop.config(agents=AGENTS)
    workshop.plan(epic("a", task("a.1", category="db")))
    await insert(workshop, "dba", {"categories": ["db"], "agent": "senior", "nonsense": 1}, status=status)
    await workshop.run()
    assert workshop.of("session.started")[0]["profile"] == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"agnt": "x"}, "agent_profiles: dba.agnt: there is no key `agnt` (did you mean `agent`?)"),
        ({"categories": "db"}, "agent_profiles: dba.categories: must be a list"),
        ({"skills": {"shred": []}}, "agent_profiles: dba.skills.shred: there is no key `shred`"),
        ({"boundaries": {"may_change": ["/x"]}}, "dba.boundaries.may_change[0]: '/x' is absolute"),
        ({"escalates_to": "codr"}, "dba.escalates_to: there is no profile `codr` (did you mean `coder`?)"),
        ({"escalates_to": "dba"}, "dba.escalates_to: escalation goes in a circle: dba -> dba"),
    ],
)
async def test_a_row_that_makes_no_sense_stops_the_run_before_it_starts(
    workshop: Workshop, options: dict[str, Any], said: str
) -> None:
    workshop.config(agents={"profiles": {"coder": {}}})
    workshop.plan(epic("a", task("a.1")))
    await insert(workshop, "dba", options)
    with pytest.raises(DocumentError) as caught:
        await workshop.run()
    assert said in caught.value.message
    assert "set their status to draft" in caught.value.hint
    assert "session.started" not in workshop.types()


@pytest.mark.parametrize(
    ("columns", "constraint"),
    [
        ({"name": "Dba"}, "ck_agent_profiles_name"),
        ({"name": "dba-"}, "ck_agent_profiles_name"),
        ({"name": "dba", "status": "on"}, "ck_agent_profiles_status"),
        ({"name": "dba", "source": "mail"}, "ck_agent_profiles_source"),
        ({"name": "dba", "options": [1]}, "ck_agent_profiles_options"),
        ({"name": "taken"}, "uq_agent_profiles_project_id_name"),
    ],
)
async def test_the_table_refuses(workshop: Workshop, columns: dict[str, Any], constraint: str) -> None:
    await insert(workshop, "taken", {})
    with pytest.raises(StoreError, match=constraint):
        await insert(workshop, **{"options": {}, **columns})


async def test_the_table_follows_the_config_and_leaves_other_rows_alone(workshop: Workshop) -> None:
    workshop.plan(epic("a", task("a.1")))
    await insert(workshop, "coder", {"agent": "nobody", "categories": ["x"]})
    for model in ("m", "m", "n"):
        workshop.config(agents={"profiles": {"coder": {"agent": "shell"}, "tester": {"model": model}}})
        await workshop.run()
    other = {"agent": "nobody", "categories": ["x"]}
    assert await rows(workshop) == {
        "coder": ("active", "store", other, 1),
        "tester": ("active", "config", {"model": "n"}, 2),
    }
    workshop.config()
    await insert(workshop, "agent-less", {})
    assert (await workshop.run()).state == "completed"
    assert (await rows(workshop))["tester"] == ("archived", "config", {"model": "n"}, 3)


async def test_a_look_at_the_plan_names_a_bad_row(workshop: Workshop) -> None:
    workshop.plan(epic("a", task("a.1")))
    await insert(workshop, "dba", {"agnt": "x"})
    shown = workshop.yoke("plan", "show")
    assert shown.returncode == 2
    assert "agent_profiles: dba.agnt: there is no key `agnt`" in shown.stderr


async def test_a_look_at_the_plan_leaves_the_store_as_it_is(workshop: Workshop) -> None:
    workshop.config(agents={"profiles": {"coder": {"categories": ["code"]}}})
    workshop.plan(epic("a", task("a.1", category="code")))
    assert "coder" in workshop.yoke("plan", "show").stdout
    project = await workshop.project()
    store = await project.connect()
    async with store, store.begin() as conn:
        assert await conn.scalar(text("SELECT count(*) FROM projects")) == 0
    assert await rows(workshop) == {}
    assert "coder" in workshop.yoke("plan", "show").stdout
    assert "coder" in workshop.yoke("run", "--dry-run").stdout
    assert await rows(workshop) == {}


async def test_a_look_at_the_plan_does_with_the_config_where_the_table_is_missing(workshop: Workshop) -> None:
    workshop.config(agents={"profiles": {"coder": {"categories": ["code"]}}})
    workshop.plan(epic("a", task("a.1", category="code")))
    await insert(workshop, "dba", {"categories": ["code"]})
    project = await workshop.project()
    async with project.store() as (store, _), store.begin() as conn:
        await conn.execute(text("DROP TABLE agent_profiles"))
    assert "coder" in workshop.yoke("plan", "show").stdout


def test_a_look_at_the_plan_starts_no_server(
    workshop: Workshop, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("YOKE_DATABASE_URL")
    workshop.plan(epic("a", task("a.1")))
    assert workshop.yoke("plan", "show").returncode == 0
    assert workshop.yoke("plan", "validate").returncode == 0
    assert not home.exists()


async def test_a_profile_of_the_store_with_an_unknown_agent_is_told_before_and_at_the_start(
    workshop: Workshop,
) -> None:
    workshop.plan(epic("a", task("a.1", category="code"), task("a.2", profile="dba")))
    await insert(workshop, "dba", {"agent": "gemnini", "categories": ["db"]})
    for command in (("plan", "validate"), ("run",)):
        done = workshop.yoke(*command)
        assert done.returncode == ExitCode.USAGE
        assert "epics[0].tasks[1].profile: task a.2: its profile dba names the agent `gemnini`" in done.stderr
        assert "plan.yaml:" in done.stderr
    assert workshop.yoke("run", "--task", "a.1").returncode == ExitCode.OK


async def test_a_profile_of_the_config_with_an_unknown_agent_stops_the_start(workshop: Workshop) -> None:
    workshop.config(agents={"profiles": {"coder": {"agent": "shel"}}})
    workshop.plan(epic("a", task("a.1")))
    done = workshop.yoke("run")
    assert done.returncode == ExitCode.USAGE
    assert ".yokeflow.yaml:6: agents.profiles.coder.agent: there is no agent `shel`" in done.stderr
    assert "did you mean `shell`?" in done.stderr
