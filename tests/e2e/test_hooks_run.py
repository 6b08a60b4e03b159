"""What git hooks note, as it reaches items, runs and pushes."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.engine.facts.claims import close_tasks_if_idle
from yokeflow.engine.facts.commits import begin, ingest
from yokeflow.errors import ExitCode
from yokeflow.git.hooks import Hooks
from yokeflow.store import history, items


async def install(workshop: Workshop) -> None:
    repo = (await workshop.project()).repo
    await Hooks(repo).install()
    await begin(repo)


async def show(workshop: Workshop, item: str) -> list[dict[str, Any]]:
    """The recorded commits of an item."""
    project = await workshop.project()
    async with project.store() as (store, project_id), store.begin() as connection:
        data = await history.show(connection, project_id, item)
    assert data is not None
    return list(data["recorded"])


async def told(workshop: Workshop, type_: str) -> list[dict[str, Any]]:
    """The events of a type, as the store has them."""
    project = await workshop.project()
    async with project.store() as (store, project_id), store.begin() as connection:
        entries = await history.log(connection, project_id, type=type_)
    return [json.loads(entry.event.to_json()) for entry in entries]


def by_hand(workshop: Workshop, message: str, cwd: Path | None = None) -> str:
    workshop.git("commit", "-q", "--allow-empty", "-m", message, cwd=cwd)
    return workshop.git("rev-parse", "HEAD", cwd=cwd)


@pytest.fixture
async def two(workshop: Workshop) -> Workshop:
    """Hooks, and a plan of two epics that is known to the store."""
    workshop.config()
    workshop.plan(epic("one", task("one.a"), task("one.b")), epic("two", task("two.a")))
    await workshop.status()
    project = await workshop.project()
    async with project.store() as (store, project_id), store.begin() as connection:
        await items.sync_plan(connection, project_id, project.load_plan())
    await install(workshop)
    return workshop


async def test_a_persons_commit_is_on_the_task_that_it_names(two: Workshop) -> None:
    made = by_hand(two, "Do it\n\nYoke-Task: one.a\n\nand more below")
    by_hand(two, "Nothing of ours")
    (row,) = await show(two, "one.a")
    assert (row["commit"], row["writer"], row["author"], row["branch"]) == (
        made,
        "person",
        "A Person",
        "main",
    )
    assert (await two.states())["one.a"] == "pending"
    assert len(await told(two, "commit.recorded")) == 1


async def test_a_commit_on_an_epics_branch_is_on_the_epic(two: Workshop) -> None:
    two.git("switch", "-q", "-c", "epic/one")
    made = by_hand(two, "Some of it")
    assert [row["commit"] for row in await show(two, "one")] == [made]
    assert await show(two, "two") == []


async def test_commits_that_no_hook_saw_are_found(two: Workshop) -> None:
    two.git("-c", "core.hooksPath=/dev/null", "commit", "-q", "--allow-empty", "-m", "X\n\nYoke-Task: one.a")
    assert len(await show(two, "one.a")) == 1


async def test_an_amended_commit_is_replaced_and_comes_back(two: Workshop) -> None:
    old = by_hand(two, "First\n\nYoke-Task: one.a")
    assert [row["replaced_how"] for row in await show(two, "one.a")] == [""]
    two.git("commit", "-q", "--amend", "--allow-empty", "-m", "Second\n\nYoke-Task: one.a")
    new = two.git("rev-parse", "HEAD")
    rows = {row["commit"]: row for row in await show(two, "one.a")}
    assert (rows[old]["replaced_by"], rows[old]["replaced_how"]) == (new, "amend")
    assert rows[new]["replaced_how"] == ""
    two.git("reset", "-q", "--hard", old)
    rows = {row["commit"]: row for row in await show(two, "one.a")}
    assert rows[old]["replaced_how"] == ""
    assert rows[new]["replaced_how"] == "gone"


async def test_a_rebased_commit_is_replaced(two: Workshop) -> None:
    two.git("switch", "-q", "-c", "epic/one")
    two.write("mine.txt", "mine")
    old = two.commit("Mine")
    two.git("switch", "-q", "main")
    by_hand(two, "Meanwhile")
    two.git("rebase", "-q", "main", "epic/one")
    new = two.git("rev-parse", "epic/one")
    rows = {row["commit"]: row for row in await show(two, "one")}
    assert (rows[old]["replaced_by"], rows[old]["replaced_how"]) == (new, "rebase")
    assert rows[new]["replaced_how"] == ""


async def test_a_persons_merge_is_on_the_epic(two: Workshop) -> None:
    two.git("switch", "-q", "-c", "epic/one")
    by_hand(two, "Some of it")
    two.git("switch", "-q", "main")
    two.git("merge", "-q", "--no-ff", "-m", "Bring it", "epic/one")
    merge = two.git("rev-parse", "HEAD")
    rows = {row["kind"]: row for row in await show(two, "one")}
    assert (rows["merge"]["commit"], rows["merge"]["branch"]) == (merge, "main")


async def test_nothing_is_told_twice_whatever_is_read_twice(two: Workshop) -> None:
    old = by_hand(two, "First\n\nYoke-Task: one.a")
    two.git("commit", "-q", "--amend", "--allow-empty", "-m", "Second\n\nYoke-Task: one.a")
    state = two.root / ".git/yoke"
    lines, seen = (state / "spool").read_bytes(), (state / "spool.json").read_bytes()
    await show(two, "one.a")
    before = len(await told(two, "commit.recorded")), len(await told(two, "commit.replaced"))
    assert before == (2, 1)
    # As a crash between the journal and the note that it was read would leave it.
    (state / "spool").write_bytes(lines)
    (state / "spool.json").write_bytes(seen)
    rows = {row["commit"]: row for row in await show(two, "one.a")}
    assert rows[old]["replaced_how"] == "amend"
    assert (len(await told(two, "commit.recorded")), len(await told(two, "commit.replaced"))) == before


async def test_rubbish_and_lines_of_other_repositories_are_passed_over(two: Workshop) -> None:
    made = by_hand(two, "Do it\n\nYoke-Task: one.a")
    spool = two.root / ".git/yoke/spool"
    foreign = "c0ffee" * 6 + "abcd"
    rubbish = b"\xff\xfe\0 rubbish\n1 post-commit zz refs/heads/main\n2 post-commit\n"
    lines = f"1 post-commit {foreign} refs/heads/main\n1 post-rewrite {foreign} {made} amend\n1 post-comm"
    spool.write_bytes(rubbish + spool.read_bytes() + lines.encode())
    assert [row["commit"] for row in await show(two, "one.a")] == [made]
    again = by_hand(two, "Go on\n\nYoke-Task: one.a")
    assert [row["commit"] for row in await show(two, "one.a")] == [made, again]


async def test_a_hook_that_writes_while_its_file_is_taken_is_heard_the_next_time(two: Workshop) -> None:
    by_hand(two, "One\n\nYoke-Task: one.a")
    await show(two, "one.a")
    two.git("switch", "-q", "--detach")
    late = by_hand(two, "Two\n\nYoke-Task: one.a")
    two.git("switch", "-q", "main")
    folder = two.root / ".git/yoke"
    line = (folder / "spool").read_bytes()
    (folder / "spool").unlink()
    with (folder / "spool.read").open("ab") as opened:
        opened.write(line)
    by_hand(two, "Three")
    assert late in [row["commit"] for row in await show(two, "one.a")]


async def test_a_task_that_is_not_in_the_plan_is_warned_of_once(two: Workshop) -> None:
    by_hand(two, "Do it\n\nYoke-Task: one.z")
    await two.status()
    (warning,) = await told(two, "warning.raised")
    assert "names task one.z" in warning["reason"]


async def test_a_commit_completes_a_task_once_where_the_settings_say_so(two: Workshop) -> None:
    made = by_hand(two, "Do it\n\nYoke-Task: one.a")
    assert (await two.states())["one.a"] == "pending"
    two.config(hooks={"close_tasks": True})
    assert (await two.states())["one.a"] == "completed"
    (done,) = await told(two, "task.completed")
    assert (done["commit"], done["by"]) == (made, "human:A Person")
    report = await two.run()
    assert report.exit_code is ExitCode.OK
    assert sorted(report.completed) == ["one.b", "two.a"]
    assert {landed.epic for landed in report.landed} == {"one", "two"}


async def test_a_commit_that_is_older_than_the_undo_of_its_task_completes_nothing(two: Workshop) -> None:
    two.config(hooks={"close_tasks": True})
    await two.run()
    by_hand(two, "Follow up\n\nYoke-Task: two.a")
    await two.status()
    assert two.yoke("undo", "two").returncode == 0
    assert (await two.states())["two.a"] == "pending"
    report = await two.run()
    assert (report.completed, report.exit_code) == (("two.a",), ExitCode.OK)
    assert two.git("show", "main:two.a.txt")
    assert two.yoke("undo", "two").returncode == 0
    by_hand(two, "Done by hand\n\nYoke-Task: two.a")
    assert (await two.states())["two.a"] == "completed"


async def test_a_commit_elsewhere_completes_nothing_until_it_arrives(two: Workshop) -> None:
    two.config(hooks={"close_tasks": True}, project={"target": "main"})
    two.git("switch", "-q", "-c", "elsewhere")
    by_hand(two, "Do it\n\nYoke-Task: one.a")
    assert (await two.states())["one.a"] == "pending"
    two.git("switch", "-q", "main")
    two.git("merge", "-q", "--no-ff", "-m", "Bring it", "elsewhere")
    assert (await two.states())["one.a"] == "completed"


async def test_a_run_completes_by_commits_what_it_would_have_done_otherwise(two: Workshop) -> None:
    two.config(hooks={"close_tasks": True})
    for name in ("one.a", "one.b"):
        by_hand(two, f"Do it\n\nYoke-Task: {name}")
    report = await two.run()
    assert report.exit_code is ExitCode.OK
    assert report.completed == ("two.a",)
    assert {landed.epic for landed in report.landed} == {"one", "two"}


async def closed_and_rewritten(two: Workshop, how: str) -> tuple[str, str]:
    """A commit completes a task, and a person rewrites it: where the target was, and where it is."""
    two.config(hooks={"close_tasks": True})
    two.git("branch", "up")
    old = by_hand(two, "Do it\n\nYoke-Task: two.a")
    assert (await two.states())["two.a"] == "completed"
    if how == "amend":
        two.write("hand.txt", "more")
        two.git("add", "hand.txt")
        two.git("commit", "-q", "--amend", "--no-edit")
    elif how == "rebase":
        two.git("switch", "-q", "up")
        two.write("meanwhile.txt", "x")
        two.commit("Meanwhile")
        two.git("switch", "-q", "main")
        two.git("rebase", "-q", "up")
    else:
        two.git("reset", "-q", "--hard", "HEAD~1")
    new = two.git("rev-parse", "main")
    assert new != old
    return old, new


@pytest.mark.parametrize("how", ["amend", "rebase"])
async def test_a_rewritten_commit_is_followed_by_whoever_reads(two: Workshop, how: str) -> None:
    old, new = await closed_and_rewritten(two, how)
    assert (await two.states())["two.a"] == "completed"
    assert [done["commit"] for done in await told(two, "task.completed")] == [old, new]
    # It comes back.
    two.git("reset", "-q", "--hard", old)
    assert (await two.states())["two.a"] == "completed"
    assert [done["commit"] for done in await told(two, "task.completed")] == [old, new, old]
    assert len(await told(two, "task.reopened")) == 2


async def test_a_commit_that_nothing_stands_for_is_missed_by_a_run_alone(two: Workshop) -> None:
    """Until then it may come back."""
    old, _ = await closed_and_rewritten(two, "reset")
    assert (await two.states())["two.a"] == "completed"
    two.git("reset", "-q", "--hard", old)
    report = await two.run()
    assert "two.a" not in report.completed
    assert await told(two, "task.reopened") == []


@pytest.mark.parametrize("how", ["amend", "rebase", "reset"])
async def test_a_commit_that_is_rewritten_before_it_lands_is_not_landed_beside_the_new_one(
    two: Workshop, how: str
) -> None:
    old, new = await closed_and_rewritten(two, how)
    report = await two.run()
    assert report.exit_code is ExitCode.OK
    assert ("two.a" in report.completed) == (how == "reset")
    assert {landed.epic for landed in report.landed} == {"one", "two"}
    assert old not in two.git("rev-list", "main").split()
    if how != "reset":
        assert [done["commit"] for done in await told(two, "task.completed")].count(new) == 1


async def test_a_failed_task_that_a_person_does_asks_nobody_any_more(workshop: Workshop) -> None:
    workshop.config(hooks={"close_tasks": True}, agents={"max_attempts": 1})
    needs = "test -e by-hand && echo b > b"
    workshop.plan(
        epic("one", task("one.z"), task("one.a", "exit 1"), task("one.b", needs, depends_on=["one.a"]))
    )
    await install(workshop)
    assert (await workshop.run()).exit_code is ExitCode.FAILED
    workshop.write("by-hand", "mine")
    workshop.commit("Do it\n\nYoke-Task: one.a")
    status = await workshop.status()
    assert status["interventions"] == []
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    assert report.completed == ("one.b",)


async def test_a_task_that_runs_is_not_completed_by_a_commit(workshop: Workshop, tmp_path: Path) -> None:
    workshop.config(hooks={"close_tasks": True})
    commit = f"git -C {workshop.root} commit -q --allow-empty -m 'By hand' -m 'Yoke-Task: one.a'"
    yoke = "env -u YOKE_TASK -u YOKE_SESSION -u YOKE_EPIC -u YOKE_RUN -u YOKE_WORKTREE"
    workshop.plan(epic("one", task("one.a", f"{yoke} {commit}; echo x > x")))
    await install(workshop)
    report = await workshop.run()
    assert report.completed == ("one.a",)
    done = await told(workshop, "task.completed")
    assert len(done) == 1
    assert "by" not in done[0]


@pytest.mark.parametrize("installed", [True, False])
async def test_agents_commits_get_their_trailers_when_they_are_made(
    workshop: Workshop, installed: bool
) -> None:
    workshop.config()
    script = (
        "echo x > x; git add x; git commit -qm Mine; git rev-parse HEAD > ../../head; git log -1 --format=%B"
    )
    workshop.plan(epic("one", task("one.a", script)))
    if installed:
        await install(workshop)
    config = (workshop.root / ".git/config").read_bytes()
    assert (await workshop.run()).exit_code is ExitCode.OK
    made = (workshop.root / "head").read_text().strip()
    (session,) = workshop.of("session.finished")
    # Nothing had to be written anew.
    assert session["head_commit"] == made
    found = workshop.git("log", "-1", "--format=%(trailers:key=Yoke-Session,valueonly)", made)
    assert found.strip() == session["session"]
    assert (workshop.root / ".git/config").read_bytes() == config
    rows = await show(workshop, "one.a")
    assert [(row["commit"], row["writer"]) for row in rows] == ([(made, "agent")] if installed else [])


async def test_an_epic_whose_landing_was_rejected_is_not_pushed(workshop: Workshop, tmp_path: Path) -> None:
    workshop.config(checks={"landing": ["test ! -e one.a.txt"]}, hooks={"refuse_red_push": True})
    workshop.plan(epic("one", task("one.a")))
    await install(workshop)
    workshop.git("init", "-q", "--bare", str(tmp_path / "there.git"))
    assert (await workshop.run()).exit_code is ExitCode.FAILED
    push = ["git", "push", "-q", str(tmp_path / "there.git"), "epic/one"]
    done = subprocess.run(push, cwd=workshop.root, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "yoke: epic one is red" in done.stderr
    workshop.git("push", "-q", "--no-verify", str(tmp_path / "there.git"), "epic/one")
    workshop.config(hooks={"refuse_red_push": False})
    await workshop.status()
    workshop.git("push", "-q", str(tmp_path / "there.git"), "epic/one")


async def test_two_readers_at_once_tell_it_once(two: Workshop) -> None:
    by_hand(two, "Do it\n\nYoke-Task: one.a")
    project = await two.project()
    async with project.store() as (store, project_id):
        by_hand(two, "Again\n\nYoke-Task: one.a")
        counts = await asyncio.gather(*(ingest(project, store, project_id) for _ in range(3)))
        await close_tasks_if_idle(project, store, project_id)
    assert sum(counts) == 1
    assert len(await show(two, "one.a")) == 2
