"""Git is the second copy: a store that is gone comes back, and nothing that landed is done again."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.engine.facts.rebuild import find_missing, rebuild
from yokeflow.engine.undo.undoing import Undo
from yokeflow.git.made import writer_of
from yokeflow.store.driver import connect

if TYPE_CHECKING:
    from pathlib import Path

#: What git does not know: how a run was set up and what it was told, and what sessions cost.
_OF_RUN = ("reason", "strategy", "started", "elapsed", "cost_usd", "unknown_costs")
_OF_ITEM = ("cost_usd",)


def known_to_git(state: dict[str, Any]) -> dict[str, Any]:
    """The state without what git does not know."""
    run = {key: value for key, value in (state["run"] or {}).items() if key not in _OF_RUN}
    items = [{key: value for key, value in item.items() if key not in _OF_ITEM} for item in state["items"]]
    return {**state, "run": run, "items": items}


async def lose_store(database_url: str) -> None:
    """Everything the store had is gone; the schema comes back with the next command."""
    opened = await connect(database_url, 10.0)
    try:
        await opened.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    finally:
        await opened.close()


def forget_journal(shop: Workshop) -> None:
    """As after the journal was emptied."""
    for name in ("journal.jsonl", "status.json"):
        (shop.root / ".git/yoke" / name).unlink(missing_ok=True)


def operations_of(shop: Workshop) -> list[dict[str, Any]]:
    """What runs did and undid, without when and by whom, and how runs ended."""
    listed = json.loads(shop.yoke("log", "--operations", "--json").stdout)
    return [
        {key: value for key, value in each.items() if key not in {"at", "by", "state", "source"}}
        for each in listed
        if each["kind"] in {"run", "undo"}
    ]


def once(shop: Workshop, name: str) -> str:
    """A command that commits something and fails the first time."""
    mark = shop.root.parent / f"tried-{name}"
    return f"test -e {mark} && echo {name} > {name} || {{ touch {mark}; echo half > {name}; exit 1; }}"


@pytest.mark.parametrize("strategy", ["by_epic", "by_task"])
@pytest.mark.parametrize("merge", ["merge", "squash"])
async def test_status_comes_back_from_git_alone(workshop, database_url, strategy, merge):
    workshop.config(parallel={"strategy": strategy, "merge_strategy": merge, "max_concurrency": 2})
    workshop.plan(
        epic("a", task("a.1"), task("a.2", depends_on=["a.1"]), task("a.3")),
        epic("b", task("b.1", once(workshop, "b"))),
        epic("c", task("c.1", depends_on=["b"])),
    )
    assert (await workshop.run()).exit_code == 0
    before = await workshop.status()
    assert {item["id"]: item["attempts"] for item in before["items"]}["b.1"] == 2
    await lose_store(database_url)
    forget_journal(workshop)
    after = await workshop.status()
    assert known_to_git(after) == known_to_git(before)
    assert (await workshop.run()).completed == ()
    assert "session.started" not in workshop.types()


async def test_journal_brings_everything_back(workshop, database_url):
    workshop.plan(epic("a", task("a.1")), epic("b", task("b.1", "exit 1"), task("b.2", depends_on=["b.1"])))
    await workshop.run()
    workshop.yoke("skip", "b.1")
    before = await workshop.status()
    await lose_store(database_url)
    after = await workshop.status()
    assert after == {**before, "run": after["run"]}
    assert {**after["run"], "elapsed": 0} == {**before["run"], "elapsed": 0}
    assert [entry["epic"] for entry in after["landings"]] == ["a"]


async def test_what_was_left_out_of_a_landed_epic_stays_left_out(workshop, database_url):
    workshop.plan(epic("a", task("a.1"), task("a.2", "exit 1")))
    await workshop.run()
    assert workshop.yoke("skip", "a.2").returncode == 0
    assert (await workshop.run()).exit_code == 0
    before = await workshop.states()
    assert before["a.2"] == "cancelled"
    await lose_store(database_url)
    forget_journal(workshop)
    assert await workshop.states() == before
    assert (await workshop.run()).completed == ()


@pytest.mark.parametrize("strategy", ["by_epic", "by_task"])
async def test_work_that_was_taken_up_when_it_was_approved_has_the_same_commit(
    workshop, database_url, strategy
):
    workshop.config(parallel={"strategy": strategy})
    workshop.plan(epic("a", task("a.1", approve="after"), task("a.2")))
    await workshop.run()
    assert workshop.yoke("attention", "answer", "a.1", "approve").returncode == 0
    assert (await workshop.run()).exit_code == 0
    assert "Take up a.1" in workshop.git("log", "--format=%s", "main")
    before = known_to_git(await workshop.status())["items"]
    await lose_store(database_url)
    forget_journal(workshop)
    assert known_to_git(await workshop.status())["items"] == before
    assert writer_of(workshop.git("log", "-1", "--format=%B", "--grep=^Take up a.1", "main")) == "yoke"


@pytest.mark.parametrize("strategy", ["by_epic", "by_task"])
async def test_rebased_work_is_neither_done_nor_taken_in_twice(workshop, database_url, strategy) -> None:
    """Not even when git has collected what it was before; and a store that is lost knows it as well."""
    workshop.config(agents={"max_attempts": 1}, parallel={"strategy": strategy})
    workshop.plan(
        epic("one", task("one.a"), task("one.b"), task("one.c", "test -e ../../go && echo c > c.txt")),
        epic("two", task("two.a", "cp one.a.txt two.txt", depends_on=["one.a", "one.b"])),
    )
    await workshop.run(epics=("one",))
    workshop.write("meanwhile.txt", "x\n")
    workshop.commit("Meanwhile")
    if strategy == "by_epic":
        workshop.git("rebase", "-q", "main", cwd=workshop.root / ".worktrees/one")
    else:
        workshop.git("rebase", "-q", "main", "epic/one")
        workshop.git("switch", "-q", "main")
    workshop.git("reflog", "expire", "--expire=now", "--all")
    for worktree in (workshop.root / ".worktrees").glob("one*"):
        (workshop.root / f".git/worktrees/{worktree.name}/ORIG_HEAD").unlink(missing_ok=True)
    workshop.git("gc", "-q", "--prune=now")
    (workshop.root / ".git/info/exclude").write_text("plan.yaml\n.yokeflow.yaml\ngo\n")
    (workshop.root / "go").touch()
    workshop.yoke("retry", "one.c")
    report = await workshop.run()
    assert (report.exit_code, report.completed) == (0, ("one.c", "two.a")), report
    assert {event["task"] for event in workshop.of("task.rebased")} == {"one.a", "one.b"}
    done = workshop.git("log", "--format=%(trailers:key=Yoke-Task,valueonly)", "main").split()
    assert {name: done.count(name) for name in done} == dict.fromkeys(("one.a", "one.b", "one.c", "two.a"), 1)
    before = {item["id"]: item["commit"] for item in (await workshop.status())["items"]}
    await lose_store(database_url)
    forget_journal(workshop)
    assert {item["id"]: item["commit"] for item in (await workshop.status())["items"]} == before


async def test_journal_that_begins_in_the_middle_is_completed_by_git(workshop, database_url):
    workshop.plan(epic("a", task("a.1")), epic("b", task("b.1", depends_on=["a"])))
    await workshop.run()
    before = await workshop.status()
    journal = workshop.root / ".git/yoke/journal.jsonl"
    header, *lines = journal.read_text().splitlines(keepends=True)
    middle = next(n for n, line in enumerate(lines) if '"session.started"' in line and '"b.1"' in line)
    journal.write_text(header + "".join(lines[middle:]))
    await lose_store(database_url)
    assert known_to_git(await workshop.status())["items"] == known_to_git(before)["items"]
    assert (await workshop.run()).completed == ()


async def test_rebuilding_twice_changes_nothing(workshop, database_url):
    workshop.plan(epic("a", task("a.1"), task("a.2", once(workshop, "a.2"))))
    await workshop.run()
    await lose_store(database_url)
    forget_journal(workshop)
    project = await workshop.project()
    async with project.store() as (store, project_id):
        first = await _tables(database_url)
        assert not await rebuild(project, store, project_id)
        assert await _tables(database_url) == first
        # The journal has lost everything, but what it told is in the store.
        forget_journal(workshop)
        assert not await rebuild(project, store, project_id)
    assert not (await find_missing(project)).rebuilt


async def _tables(url: str) -> dict[str, int]:
    opened = await connect(url, 10.0)
    names = ("events", "runs", "sessions", "landings", "work_items", "check_results")
    try:
        return {name: await opened.fetchval(f"SELECT count(*) FROM {name}") for name in names}
    finally:
        await opened.close()


async def test_store_that_knows_everything_is_told_nothing(workshop):
    workshop.plan(epic("a", task("a.1"), task("a.2", once(workshop, "a.2"))))
    await workshop.run()
    missing = await find_missing(await workshop.project())
    assert missing.store_knows
    assert not missing.rebuilt


async def test_unfinished_work_goes_on_where_it_was(workshop, database_url):
    workshop.plan(epic("a", task("a.1"), task("a.2", once(workshop, "a.2"), depends_on=["a.1"])))
    workshop.config(agents={"max_attempts": 1})
    await workshop.run()
    commit = next(item["commit"] for item in (await workshop.status())["items"] if item["id"] == "a.1")
    await lose_store(database_url)
    forget_journal(workshop)
    after = {item["id"]: item for item in (await workshop.status())["items"]}
    assert (after["a.1"]["status"], after["a.1"]["commit"]) == ("completed", commit)
    assert after["a.2"]["attempts"] == 1
    report = await workshop.run()
    assert report.completed == ("a.2",)
    assert [landed.epic for landed in report.landed] == ["a"]


async def test_what_the_plan_does_not_have_comes_back_too(workshop, database_url):
    workshop.plan(epic("a", task("a.1")), epic("b", task("b.1", once(workshop, "b.1"))))
    await workshop.run(tasks=("a.1",))
    workshop.config(agents={"max_attempts": 1})
    await workshop.run()
    workshop.plan(epic("c", task("c.1")))
    await lose_store(database_url)
    forget_journal(workshop)
    shown = {item["id"]: (item["status"], item["title"]) for item in (await workshop.status())["items"]}
    assert shown == {
        "a": ("completed", "Epic a"),
        "a.1": ("completed", "Do a.1"),
        "c": ("pending", "Epic c"),
        "c.1": ("pending", "Do c.1"),
    }
    kept = json.loads(workshop.yoke("show", "b.1", "--json").stdout)
    assert not kept["in_plan"]
    assert [session["state"] for session in kept["sessions"]] == ["failed"]
    assert kept["sessions"][0]["kept_ref"].startswith("refs/yoke/keep/b.1/")


@pytest.fixture
async def clone(workshop: Workshop, tmp_path: Path) -> Workshop:
    """Another checkout of a repository with a landed epic, known to the same server."""
    workshop.write(".gitignore", "")
    workshop.plan(epic("a", task("a.1"), task("a.2")))
    workshop.commit("Plan")
    await workshop.run()
    other = Workshop(tmp_path / "other")
    workshop.git("clone", "-q", str(workshop.root), str(other.root))
    for name, value in (("name", "B Person"), ("email", "b@example.org")):
        other.git("config", f"user.{name}", value)
    return other


async def test_clone_knows_what_landed(workshop, clone):
    """On the same server, where ids of runs and sessions are taken by the first checkout."""
    ours, theirs = await workshop.status(), await clone.status()
    assert [item["status"] for item in theirs["items"]] == ["completed"] * 3
    assert theirs["landings"] == ours["landings"]
    assert [item["attempts"] for item in theirs["items"]] == [item["attempts"] for item in ours["items"]]
    assert theirs["run"]["id"] != ours["run"]["id"]
    assert (await clone.run()).completed == ()
    assert await workshop.status() == {**ours, "run": (await workshop.status())["run"]}


async def test_landings_that_were_pulled_are_taken_over(workshop, clone):
    await clone.status()
    plan = [epic("a", task("a.1"), task("a.2")), epic("b", task("b.1")), epic("c", task("c.1"))]
    workshop.plan(*plan[:2])
    workshop.commit("Plan more")
    await workshop.run()
    clone.git("pull", "-q")
    clone.plan(*plan)
    report = await clone.run()
    assert report.completed == ("c.1",)
    [rebuilt] = clone.of("store.rebuilt")
    assert rebuilt["landings"] == 1
    assert (await clone.states())["b"] == "completed"


def test_rebuild_on_the_command_line(workshop):
    workshop.plan(epic("a", task("a.1")))
    assert workshop.yoke("run").returncode == 0
    said = workshop.yoke("db", "rebuild")
    assert (said.returncode, said.stdout) == (0, "git knows nothing that the store does not\n")
    tree = workshop.git("rev-parse", "HEAD^{tree}")
    trailers = f"Yoke-Epic: z\nYoke-Checks: {tree}=passed"
    branch = workshop.git("commit-tree", tree, "-p", "HEAD", "-m", "Work")
    message = f"Land z: By hand\n\n- Do it (z.1)\n\n{trailers}\n"
    landed = workshop.git("commit-tree", tree, "-p", "HEAD", "-p", branch, "-m", message)
    workshop.git("merge", "-q", "--ff-only", landed)
    looked = json.loads(workshop.yoke("db", "rebuild", "--dry-run", "--json").stdout)
    assert (looked["landings"], looked["items"]) == (1, ["z", "z.1"])
    asked = workshop.yoke("db", "rebuild", stdin=subprocess.DEVNULL)
    assert asked.returncode == 2
    assert "--yes" in asked.stderr
    done = workshop.yoke("db", "rebuild", "--yes")
    assert done.returncode == 0
    assert "1 landing, 1 completed task, 1 run, 2 items" in done.stdout
    shown = json.loads(workshop.yoke("status", "--json").stdout)
    assert {"epic": "z", "status": "landed", "commit": landed}.items() <= shown["landings"][-1].items()
    assert workshop.yoke("run").returncode == 0


async def test_dry_run_leaves_an_empty_store_empty(workshop, database_url):
    workshop.plan(epic("a", task("a.1")))
    await workshop.run()
    await lose_store(database_url)
    assert workshop.yoke("db", "rebuild", "--dry-run").returncode == 0
    assert (await _tables(database_url))["work_items"] == 0
    assert workshop.yoke("db", "rebuild").returncode == 0, "nothing is asked about an empty store"
    assert (await _tables(database_url))["landings"] == 1


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_what_was_undone_stays_undone(workshop, database_url, number):
    """Two epics go together, come back together, and go again."""
    workshop.plan(epic("a", task("a.1")), epic("b", task("b.1", depends_on=["a"])), epic("c", task("c.1")))
    await workshop.run()
    for what in ("a", "", "last")[:number]:
        project = await workshop.project()
        undo = Undo(project, project.load_plan(), by="human:ada", listen=[])
        done = await undo.execute(what, lambda _undoing: True, with_dependents=True)
        assert done
        assert set(done.undoing.epics) == {"a", "b"}
        operation = done.operation
    before, told = await workshop.status(), operations_of(workshop)
    assert [each["can_undo"] for each in told] == [True, *(n == number for n in range(1, number + 1))]
    await lose_store(database_url)
    forget_journal(workshop)
    after = await workshop.status()
    for key in ("items", "landings"):
        assert known_to_git({**after, "run": {}})[key] == known_to_git({**before, "run": {}})[key]
    assert operations_of(workshop) == told
    assert workshop.yoke("undo", operation, "--yes").returncode == 0, "an id that was printed stays"


@pytest.mark.parametrize("merge", ["merge", "squash"])
async def test_what_was_done_again_right_after_an_undo_has_its_own_commits(workshop, database_url, merge):
    """All within a second, of which git knows no parts."""
    workshop.config(parallel={"merge_strategy": merge})
    workshop.plan(epic("a", task("a.1"), task("a.2", depends_on=["a.1"])))
    await workshop.run()
    project = await workshop.project()
    undo = Undo(project, project.load_plan(), by="human:ada", listen=[])
    assert await undo.execute("a", lambda _undoing: True)
    assert (await workshop.run()).completed == ("a.1", "a.2")
    before = await workshop.status()
    await lose_store(database_url)
    forget_journal(workshop)
    assert known_to_git(await workshop.status())["items"] == known_to_git(before)["items"]


@pytest.mark.parametrize("undone", [False, True])
async def test_what_a_person_did_by_a_commit_stays_done(workshop, database_url, undone):
    workshop.config(hooks={"close_tasks": True})
    workshop.plan(
        epic("a", task("a.1"), task("a.2", "exit 1")), epic("b", task("b.1", "exit 1"), task("b.2"))
    )
    assert workshop.yoke("hooks", "install").returncode == 0
    for name in ("a.2", "b.1"):
        workshop.write(f"{name}.by-hand", name)
        workshop.commit(f"Do it\n\nyoke-task: {name}")
    assert (await workshop.run(epics=("a",))).exit_code == 0
    if undone:
        assert workshop.yoke("undo", "a", "--yes").returncode == 0
    before, shown = await workshop.status(), json.loads(workshop.yoke("show", "b.1", "--json").stdout)
    done = {item["id"]: item["status"] for item in before["items"]}
    assert (done["a.2"], done["b.1"], done["b.2"]) == (
        "pending" if undone else "completed",
        "completed",
        "pending",
    )
    await lose_store(database_url)
    forget_journal(workshop)
    after = await workshop.status()
    assert known_to_git(after)["items"] == known_to_git(before)["items"]
    assert json.loads(workshop.yoke("show", "b.1", "--json").stdout)["commits"] == shown["commits"] != []
    assert not (await find_missing(await workshop.project())).rebuilt
    if not undone:
        assert (await workshop.run()).completed == ("b.2",)


async def test_what_came_before_the_journal_is_older(workshop, database_url):
    """Told after it, an undo would take back what landed since."""
    workshop.plan(epic("a", task("a.1")), epic("b", task("b.1")))
    await workshop.run()
    assert workshop.yoke("undo", "a", "--yes").returncode == 0
    forget_journal(workshop)
    assert (await workshop.run()).exit_code == 0
    before, told = await workshop.status(), operations_of(workshop)
    assert [each["kind"] for each in told] == ["run", "undo", "run"]
    await lose_store(database_url)
    after = await workshop.status()
    assert known_to_git(after)["items"] == known_to_git(before)["items"]
    assert after["run"]["id"] == before["run"]["id"]
    assert operations_of(workshop) == told


@pytest.mark.slow
async def test_two_hundred_landings(workshop, database_url):
    """Landed in batches, since what is proved here is what comes back."""
    number = 200
    workshop.config(parallel={"max_concurrency": 2}, landing={"batch": 8})
    plan = [epic(f"e{n}", task(f"e{n}.t", f"echo {n} > f{n}")) for n in range(number)]
    workshop.plan(*plan)
    assert (await workshop.run()).exit_code == 0
    before = await workshop.status()
    await lose_store(database_url)
    forget_journal(workshop)
    after = await workshop.status()
    order = [entry["epic"] for entry in after["landings"]]
    log = workshop.git("log", "--reverse", "--first-parent", "--format=%(trailers:key=Yoke-Epic,valueonly)")
    assert order == log.split()
    assert len(order) == number
    # Git knows the order of landing; the store lists them in the order of queueing.
    by_epic = {"key": lambda entry: entry["epic"]}
    before["landings"].sort(**by_epic)
    after["landings"].sort(**by_epic)
    assert known_to_git(after) == known_to_git(before)


def test_status_needs_no_heavy_module_without_a_store(workshop, monkeypatch):
    workshop.plan(epic("a", task("a.1")))
    assert workshop.yoke("run").returncode == 0
    assert workshop.yoke("status").returncode == 0
    monkeypatch.setenv("YOKE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    code = (
        "import sys; from yokeflow.__main__ import main; main(['status']);"
        "print({'sqlalchemy', 'pydantic'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=workshop.root, capture_output=True, text=True, check=True
    )
    assert "from the local cache" in done.stdout
    assert "sqlalchemy" not in done.stdout.splitlines()[-1]
