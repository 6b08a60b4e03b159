"""Undo: what landed is taken off the target by new commits, tested, and can be done again or brought back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.engine.facts import rebuild
from yokeflow.engine.lock import hold_project
from yokeflow.engine.recovery import recovery
from yokeflow.engine.undo import undoing as undo_module
from yokeflow.engine.undo.undoing import Undo
from yokeflow.errors import ExitCode, UsageError, YokeError

if TYPE_CHECKING:
    from yokeflow.engine.undo.choice import Undoing
    from yokeflow.engine.undo.undoing import Undone


async def undo(workshop: Workshop, what: str = "", **more: Any) -> Undone:
    """One `yoke undo` that nobody has to confirm; its events are in `events`."""
    project = await workshop.project()
    workshop.events.clear()
    agree = more.pop("agree", lambda _undoing: True)
    work = Undo(project, project.load_plan(), by="human:ada", listen=[workshop.events.append])
    done = await work.execute(what, agree, **more)
    assert done is not None
    return done


def files(workshop: Workshop, rev: str = "main") -> list[str]:
    return workshop.git("ls-tree", "-r", "--name-only", rev).split()


def trailers(workshop: Workshop, name: str, rev: str = "main") -> list[str]:
    form = f"--format=%(trailers:key={name},valueonly)"
    return workshop.git("log", "-1", form, rev).split()


async def landings(workshop: Workshop) -> dict[str, str]:
    return {entry["epic"]: entry["status"] for entry in (await workshop.status())["landings"]}


@pytest.mark.parametrize("strategy", ["merge", "squash"])
async def test_an_undone_epic_is_done_again_and_lands_again(workshop: Workshop, strategy: str) -> None:
    """Its old commits are in the history of the target, so merging them again would bring nothing."""
    workshop.config(parallel={"merge_strategy": strategy}, checks={"landing": ["test -e README.md"]})
    workshop.plan(
        epic("one", task("one.a"), task("one.b", "cat one.a.txt > b.txt", depends_on=["one.a"])),
        epic("two", task("two.a")),
    )
    first = await workshop.run()
    landed = next(each.commit for each in first.landed if each.epic == "one")
    before = workshop.git("rev-parse", "main")
    done = await undo(workshop, "one")
    assert files(workshop) == [".gitignore", "README.md", "two.a.txt"]
    assert not (workshop.root / "b.txt").exists()
    assert workshop.git("rev-parse", "main^") == before
    assert trailers(workshop, "Yoke-Undoes") == [landed]
    assert trailers(workshop, "Yoke-Epic") == ["one"]
    assert done.tasks == ("one.a", "one.b")
    assert await workshop.states() == {
        "one": "in_progress",
        "one.a": "pending",
        "one.b": "pending",
        "two": "completed",
        "two.a": "completed",
    }
    assert await landings(workshop) == {"one": "undone", "two": "landed"}
    report = await workshop.run()
    assert (report.exit_code, report.completed) == (ExitCode.OK, ("one.a", "one.b"))
    assert {"one.a.txt", "b.txt", "two.a.txt"} <= set(files(workshop))
    assert (await landings(workshop))["one"] == "landed"
    workshop.assert_tidy()


@pytest.mark.parametrize("strategy", ["merge", "squash"])
async def test_undoing_an_undo_brings_everything_back(workshop: Workshop, strategy: str) -> None:
    workshop.config(parallel={"merge_strategy": strategy})
    workshop.plan(epic("one", task("one.a")), epic("two", task("two.a")))
    await workshop.run()
    before = files(workshop)
    commits = {item["id"]: item["commit"] for item in (await workshop.status())["items"]}
    taken = await undo(workshop, "last")
    assert set(taken.undoing.epics) == {"one", "two"}
    assert "one.a.txt" not in files(workshop)
    back = await undo(workshop, taken.operation[:8])
    assert (back.undoing.back, files(workshop)) == (True, before)
    assert trailers(workshop, "Yoke-Undoes") == [taken.commit]
    now = {item["id"]: item for item in (await workshop.status())["items"]}
    assert {name: now[name]["commit"] for name in ("one.a", "two.a")} == {
        name: commits[name] for name in ("one.a", "two.a")
    }
    assert {item["status"] for item in now.values()} == {"completed"}
    report = await workshop.run()
    assert (report.exit_code, report.completed, report.landed) == (ExitCode.OK, (), ())
    # And once more: what came back by one commit goes by one.
    again = await undo(workshop)
    assert again.undoing.commits == (back.commit,)
    assert "one.a.txt" not in files(workshop)
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert files(workshop) == before


def test_a_project_where_nothing_was_done_says_so(workshop: Workshop) -> None:
    workshop.plan(epic("a", task("a.1")))
    assert workshop.yoke("log", "--operations").stdout == "Nothing was done yet.\n"
    assert json.loads(workshop.yoke("log", "--operations", "--json").stdout) == []


async def test_last_is_what_the_newest_operation_brought_that_is_still_there(workshop: Workshop) -> None:
    workshop.plan(*(epic(name, task(f"{name}.1")) for name in "abc"))
    await workshop.run()
    run = (await workshop.status())["run"]["id"]
    taken = await undo(workshop, "a")
    back = await undo(workshop, taken.operation)
    # Newest is the undo that brought back; it is undone as a whole, and nothing else is.
    asked = workshop.yoke("undo", "last", "--dry-run").stdout
    assert asked.startswith(
        f"This undoes undo {back.operation[:8]}: it takes off main, by a new commit:\n  a "
    )
    of_run = workshop.yoke("undo", run[:8], "--dry-run").stdout.splitlines()
    assert of_run[0] == f"This undoes run {run[:8]}: it takes off main, by a new commit:"
    kept = f"a, which run {run[:8]} had brought too, stays on main, by undo {back.operation[:8]}."
    assert ({line.split()[0] for line in of_run[1:-1]}, of_run[-1]) == ({"b", "c"}, kept)
    again = await undo(workshop, "last")
    assert (again.undoing.epics, again.undoing.whole) == (("a",), ("undo", back.operation))
    rest = json.loads(workshop.yoke("undo", "last", "--json", "--yes").stdout)
    assert ({each["epic"] for each in rest["landings"]}, rest["undoes"]) == ({"b", "c"}, run)
    assert rest["left"] == {"a": "is off main already"}
    assert files(workshop) == [".gitignore", "README.md"]
    with pytest.raises(UsageError, match="nothing has landed that is still there"):
        await undo(workshop, "last")


async def test_what_built_on_it_is_named_and_goes_along_when_wanted(workshop: Workshop) -> None:
    workshop.plan(
        epic("one", task("one.a")),
        epic("two", task("two.a", "cat one.a.txt > two.txt", depends_on=["one.a"])),
        epic("other", task("other.a")),
    )
    await workshop.run()
    before = workshop.git("rev-parse", "main")
    with pytest.raises(YokeError, match=r"two \([0-9a-f]{7}\) landed later and built on it") as refused:
        await undo(workshop, "one")
    assert "yoke undo one --with-dependents" in refused.value.hint
    assert workshop.git("rev-parse", "main") == before
    done = await undo(workshop, "one", with_dependents=True)
    assert (done.undoing.epics, done.tasks) == (("two", "one"), ("one.a", "two.a"))
    assert files(workshop) == [".gitignore", "README.md", "other.a.txt"]
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert {"one.a.txt", "two.txt"} <= set(files(workshop))


async def test_later_changes_of_the_same_lines_are_in_the_way(workshop: Workshop) -> None:
    workshop.plan(
        epic("one", task("one.a", "echo one > same")),
        epic("two", task("two.a", "echo two > same", depends_on=[{"task": "one.a", "type": "soft"}])),
    )
    await workshop.run(epics=("one",))
    await workshop.run()
    before = workshop.git("rev-parse", "main")
    with pytest.raises(YokeError, match="later changes of two are in the way in same; nothing") as refused:
        await undo(workshop, "one")
    assert refused.value.hint == "undo two first"
    assert (workshop.git("rev-parse", "main"), await landings(workshop)) == (
        before,
        {"one": "landed", "two": "landed"},
    )


async def test_what_is_left_is_tested_before_the_target_moves(workshop: Workshop) -> None:
    workshop.config(checks={"landing": ["test -e one.a.txt"]})
    workshop.plan(epic("one", task("one.a")))
    await workshop.run()
    before = workshop.git("rev-parse", "main")
    with pytest.raises(YokeError, match=r"check `test -e one\.a\.txt` failed .*; nothing was changed"):
        await undo(workshop, "one")
    assert workshop.git("rev-parse", "main") == before
    assert await landings(workshop) == {"one": "landed"}
    workshop.assert_tidy()


async def test_edits_in_the_checkout_survive_or_are_in_the_way(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a")))
    await workshop.run()
    workshop.write("one.a.txt", "my own\n")
    with pytest.raises(YokeError, match=r"one\.a\.txt; nothing was changed"):
        await undo(workshop, "one")
    assert (workshop.root / "one.a.txt").read_text() == "my own\n"
    workshop.git("checkout", "-q", "one.a.txt")
    workshop.write("README.md", "# Edited\n")
    await undo(workshop, "one")
    assert workshop.git("status", "--porcelain") == " M README.md"
    assert workshop.git("rev-parse", "--abbrev-ref", "HEAD") == "main"


async def test_a_run_that_goes_on_is_in_the_way(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a")))
    await workshop.run()
    project = await workshop.project()
    with hold_project(project.lock_file, "some run"):
        refused = workshop.yoke("undo", "one")
    assert refused.returncode == 1
    assert "a run of this project is already going on" in refused.stderr


async def test_what_can_be_named(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a")), epic("two", task("two.a")))
    run = await workshop.run()
    commit = next(each.commit for each in run.landed if each.epic == "two")
    for name, epics in ((commit[:10], {"two"}), (run.run[:8], {"one", "two"}), ("", {"one", "two"})):
        seen: list[Undoing] = []
        project = await workshop.project()
        work = Undo(project, project.load_plan(), by="x")

        def refuse(undoing: Undoing, seen: list[Undoing] = seen) -> bool:
            seen.append(undoing)
            return False

        assert await work.execute(name, refuse) is None
        assert set(seen[0].epics) == epics
    for name in ("nothing", "abcdef12", "one.a"):
        with pytest.raises(UsageError):
            await undo(workshop, name)
    await undo(workshop, "two")
    with pytest.raises(UsageError, match="two was undone already"):
        await undo(workshop, "two")


async def test_an_undo_that_a_crash_kept_from_telling_is_found(workshop: Workshop) -> None:
    """The target has moved, and nothing was recorded: git knows."""
    workshop.plan(epic("one", task("one.a")))
    await workshop.run()
    journal = workshop.root / ".git/yoke/journal.jsonl"

    project = await workshop.project()
    work = Undo(project, project.load_plan(), by="x")

    async def cut(*_args: object) -> None:
        raise PowerCutError

    work._record = cut  # type: ignore[method-assign,assignment]
    with pytest.raises(PowerCutError):
        await work.execute("one", lambda _undoing: True)
    assert "landing.undone" not in journal.read_text()
    report = await workshop.run()
    assert (report.exit_code, report.completed) == (ExitCode.OK, ("one.a",))
    listed = json.loads(workshop.yoke("log", "--operations", "--json").stdout)
    assert [(each["kind"], each["can_undo"]) for each in listed if each["kind"] != "plan"] == [
        ("run", False),
        ("undo", False),
        ("run", True),
    ]


async def test_what_proved_an_undo_is_with_it_also_after_a_crash(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.config(checks={"landing": ["test -e README.md"]})
    workshop.plan(epic("one", task("one.a")))
    await workshop.run()

    async def cut(*_args: object) -> None:
        raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(undo_module, "attach", cut)
        with pytest.raises(PowerCutError):
            await undo(workshop, "one")
    undone = workshop.git("rev-parse", "main")
    assert trailers(workshop, "Yoke-Undoes")
    await workshop.run()
    assert "test -e README.md" in workshop.git("show", "--no-patch", f"refs/yoke/evidence/{undone}")


async def test_what_a_killed_run_left_is_put_right_first(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a")), epic("two", task("two.a", "echo x > x; sleep 60")))
    workshop.config(parallel={"max_concurrency": 2})
    run = workshop.start("run", "--json")
    assert run.stdout is not None
    for line in run.stdout:
        if '"landing.landed"' in line:
            break
    run.kill()
    run.communicate()
    done = workshop.yoke("undo", "one")
    assert done.returncode == 0, done
    assert files(workshop) == [".gitignore", "README.md"]
    status = await workshop.status()
    assert status["run"]["state"] == "interrupted"
    assert {item["id"]: item["status"] for item in status["items"] if item["epic"]} == {
        "one.a": "pending",
        "two.a": "pending",
    }
    workshop.plan(epic("one", task("one.a")), epic("two", task("two.a")))
    assert (await workshop.run()).exit_code is ExitCode.OK


async def test_work_that_has_not_landed_goes_on_without_what_was_undone(workshop: Workshop) -> None:
    """The plan grew after the epic had landed; its branch has both old and new work."""
    workshop.plan(epic("one", task("one.a")))
    await workshop.run()
    workshop.plan(epic("one", task("one.a"), task("one.b"), task("one.c", "false")))
    workshop.config(agents={"max_attempts": 1})
    await workshop.run()
    assert "epic/one" in workshop.branches()
    await undo(workshop, "one")
    assert files(workshop, "epic/one") == [".gitignore", "README.md", "one.b.txt"]
    workshop.plan(epic("one", task("one.a"), task("one.b"), task("one.c")))
    workshop.yoke("retry", "one.c")
    report = await workshop.run()
    assert (report.exit_code, set(report.completed)) == (ExitCode.OK, {"one.a", "one.c"})
    assert {"one.a.txt", "one.b.txt", "one.c.txt"} <= set(files(workshop))


class PowerCutError(Exception):
    """Everything ends here."""


async def grown(workshop: Workshop, strategy: str) -> None:
    """An epic that has landed and has new work, which has not."""
    workshop.config(parallel={"merge_strategy": strategy}, agents={"max_attempts": 1})
    first = task("one.a", "test ! -e one.a.txt && echo a > one.a.txt")
    workshop.plan(epic("one", first))
    await workshop.run()
    workshop.plan(epic("one", first, task("one.b"), task("one.c", "false")))
    await workshop.run()
    workshop.plan(epic("one", first, task("one.b"), task("one.c")))


@pytest.mark.parametrize("strategy", ["merge", "squash"])
async def test_a_crash_once_the_target_has_moved_leaves_no_branch_with_what_was_undone(
    workshop: Workshop, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tasks would be done again where they are done already, and never come back."""
    await grown(workshop, strategy)

    async def cut(*_args: object) -> None:
        raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(undo_module, "mend", cut)
        with pytest.raises(PowerCutError):
            await undo(workshop, "one")
    assert files(workshop) == [".gitignore", "README.md"]
    assert "one.a.txt" in files(workshop, "epic/one")
    workshop.yoke("retry", "one.c")
    report = await workshop.run()
    assert (report.exit_code, set(report.completed)) == (ExitCode.OK, {"one.a", "one.c"})
    assert {"one.a.txt", "one.b.txt", "one.c.txt"} <= set(files(workshop))
    workshop.assert_tidy()


async def test_unlanded_work_that_no_longer_fits_what_a_crash_left_is_told(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await grown(workshop, "merge")

    async def cut(*_args: object) -> None:
        raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(undo_module, "mend", cut)
        with pytest.raises(PowerCutError):
            await undo(workshop, "one")
    elsewhere = workshop.root / "../elsewhere"
    workshop.git("worktree", "prune")
    workshop.git("worktree", "remove", "--force", ".worktrees/one")
    workshop.git("worktree", "add", "-q", str(elsewhere), "epic/one")
    (elsewhere / "one.a.txt").write_text("a person's\n")
    workshop.git("commit", "-qam", "Go on with it", cwd=elsewhere)
    workshop.git("worktree", "remove", str(elsewhere))
    await workshop.run()
    told = [event["reason"] for event in workshop.of("warning.raised")]
    assert any("epic/one still has what was undone" in reason for reason in told), told
    assert await landings(workshop) == {"one": "undone"}


async def test_what_cannot_be_tidied_up_leaves_the_undo_done_and_told(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await grown(workshop, "merge")

    async def stuck(*_args: object) -> None:
        raise OSError("cannot be moved away")

    monkeypatch.setattr(recovery, "tidy", stuck)
    assert (await undo(workshop, "one")).tasks == ("one.a",)
    assert await landings(workshop) == {"one": "undone"}
    assert files(workshop, "epic/one") == [".gitignore", "README.md", "one.b.txt"]
    (told,) = workshop.of("warning.raised")
    assert "something is left: cannot be moved away" in told["reason"]


@pytest.mark.parametrize("strategy", ["merge", "squash"])
async def test_a_landing_that_a_person_reverted_lands_again_when_wanted(
    workshop: Workshop, strategy: str
) -> None:
    workshop.config(parallel={"merge_strategy": strategy})
    workshop.plan(epic("one", task("one.a")), epic("two", task("two.a")))
    report = await workshop.run()
    landed = next(each.commit for each in report.landed if each.epic == "one")
    parent = ("-m", "1") if strategy == "merge" else ()
    workshop.git("revert", "--no-edit", *parent, landed)
    revert = workshop.git("rev-parse", "HEAD")
    report = await workshop.run()
    (question,) = report.waiting
    assert (question.kind, question.item) == ("taken_back", "one")
    assert f"was reverted by {revert[:12]} on main" in question.reason
    assert "one.a.txt" not in files(workshop)
    # Nobody answers: it waits, and nothing lands by itself.
    assert [each.kind for each in (await workshop.run()).waiting] == ["taken_back"]
    report = await workshop.run(land=("one",))
    assert (report.exit_code, [each.epic for each in report.landed]) == (ExitCode.OK, ["one"])
    assert {"one.a.txt", "two.a.txt"} <= set(files(workshop))
    workshop.assert_tidy()
    # Its landing is the new one, and can be undone.
    assert (await undo(workshop, "one")).undoing.commits == (report.landed[0].commit,)


async def test_an_undo_that_the_store_knows_is_no_reason_to_read_all_of_git(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.plan(epic("one", task("one.a")), epic("two", task("two.a")))
    await workshop.run()
    await undo(workshop, "two")

    async def refuse(*_args: object) -> None:
        raise AssertionError("all of git was read")

    monkeypatch.setattr(rebuild, "rebuild", refuse)
    assert (await workshop.run()).completed == ("two.a",)


async def test_a_revert_of_the_undo_by_hand_is_found(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a")))
    await workshop.run()
    done = await undo(workshop, "one")
    workshop.git("revert", "--no-edit", done.commit)
    report = await workshop.run()
    assert (report.exit_code, report.completed) == (ExitCode.OK, ())
    assert await landings(workshop) == {"one": "landed"}
    assert (await workshop.states())["one.a"] == "completed"


async def test_the_command_line(workshop: Workshop) -> None:
    workshop.config(checks={"landing": ["test -e README.md"]})
    workshop.plan(epic("one", task("one.a")))
    await workshop.run()
    before = workshop.git("rev-parse", "main")
    dry = workshop.yoke("undo", "one", "--dry-run", "--json")
    assert (dry.returncode, [each["epic"] for each in json.loads(dry.stdout)["landings"]]) == (0, ["one"])
    assert workshop.git("rev-parse", "main") == before
    unnamed = workshop.yoke("undo", stdin=-3)
    assert (unnamed.returncode, "add --yes" in unnamed.stderr) == (2, True)
    done = workshop.yoke("undo", "--yes", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["tasks"], told["back"], told["commit"]) == (
        ["one.a"],
        False,
        workshop.git("rev-parse", "main"),
    )
    evidence = workshop.git("show", "--no-patch", f"refs/yoke/evidence/{told['commit']}")
    assert "s test -e README.md" in evidence
    seen = workshop.yoke("status")
    assert (seen.returncode, "undone  0/1" in seen.stdout) == (0, True), seen
    listed = json.loads(workshop.yoke("log", "--operations", "--json").stdout)
    kinds = [(each["kind"], each["can_undo"]) for each in listed]
    assert kinds == [("run", False), ("plan", False), ("undo", True)]
    assert listed[2]["id"] == told["operation"]
    text = workshop.yoke("log", "--operations").stdout
    assert f"undo {told['operation'][:8]}" in text
    back = workshop.yoke("undo", told["operation"][:8])
    assert (back.returncode, "one is back on main" in back.stdout) == (0, True), back
    assert "landing" in workshop.yoke("show", "one").stdout
    assert (workshop.root / "one.a.txt").exists()
