"""What an agent or a check leaves in git's own files costs that attempt at most, in this run and the next."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.engine.lanes import lanes
from yokeflow.errors import ExitCode
from yokeflow.git.merge import commit_merge

if TYPE_CHECKING:
    from yokeflow.git.repo import Repo

ADMIN = "$(git rev-parse --absolute-git-dir)"


@pytest.mark.parametrize(
    "mess",
    [
        f"echo rubbish > {ADMIN}/HEAD",
        f"echo rubbish > {ADMIN}/commondir",
        f"echo rubbish > {ADMIN}/gitdir",
        f"rm -r {ADMIN}/*",
    ],
    ids=["head", "commondir", "gitdir", "all"],
)
async def test_a_damaged_git_folder_costs_an_attempt(workshop: Workshop, mess: str) -> None:
    workshop.config(agents={"max_attempts": 1})
    workshop.plan(epic("bad", task("bad.a", f"echo x > x; {mess}")), epic("good", task("good.a")))
    report = await workshop.run()
    assert list(report.failed) == ["bad.a"]
    assert [landed.epic for landed in report.landed] == ["good"]
    workshop.plan(epic("bad", task("bad.a")), epic("good", task("good.a")))
    assert workshop.yoke("retry", "bad.a").returncode == ExitCode.OK
    report = await workshop.run()
    assert [landed.epic for landed in report.landed] == ["bad"]
    assert (workshop.root / "bad.a.txt").exists()
    workshop.assert_tidy()


async def test_a_landing_check_that_damages_its_worktree(workshop: Workshop) -> None:
    workshop.config(checks={"landing": [f"echo rubbish > {ADMIN}/HEAD"]})
    workshop.plan(epic("one", task("one.a")), epic("two", task("two.a", depends_on=["one.a"])))
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, (report.failed, report.waiting)
    assert sorted(landed.epic for landed in report.landed) == ["one", "two"]
    workshop.assert_tidy()


async def test_a_damaged_index_costs_nothing(workshop: Workshop) -> None:
    """The files tell what was done; the next task of the lane starts with what counts, no more."""
    workshop.config(agents={"max_attempts": 1})
    mess = (
        f"echo more >> a.txt; git add a.txt; git commit -qm a; echo rubbish > {ADMIN}/index; echo b > b.txt"
    )
    workshop.plan(
        epic(
            "one",
            task("one.a", mess),
            task("one.b", "cat a.txt > c.txt", verify=["test $(wc -l < c.txt) -eq 1"]),
        )
    )
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, report.failed
    assert workshop.git("ls-tree", "--name-only", "main").split() == [
        ".gitignore",
        "README.md",
        "a.txt",
        "b.txt",
        "c.txt",
    ]
    workshop.assert_tidy()


async def test_a_branch_that_leads_nowhere_is_kept_and_removed(workshop: Workshop) -> None:
    workshop.config(agents={"max_attempts": 1})
    stray = "git switch -q --orphan stray; echo x > x; git add x; git commit -qm stray"
    workshop.plan(epic("one", task("one.a", stray)))
    report = await workshop.run()
    assert "did not build on it" in report.failed["one.a"]
    assert sorted(workshop.branches()) == ["epic/one", "main"]
    assert "stray" in workshop.git("log", "--format=%s", "--glob=refs/yoke/keep/branch")


async def test_branches_that_agents_make_are_kept_and_removed(workshop: Workshop) -> None:
    """All of them, not only the last; those of the user stay, though an agent was on them."""
    workshop.git("branch", "users")
    make = "git switch -q -c {0}; echo {0} > {0}; git add {0}; git commit -qm {0}"
    steps = (make.format("first"), "git switch -q users", "git switch -q epic/one", make.format("second"))
    workshop.plan(epic("one", task("one.a", "; ".join(steps))))
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert workshop.branches() == ["main", "users"]
    assert workshop.git("log", "-1", "--format=%s", "--glob=refs/yoke/keep/branch") == "first"


async def test_branches_of_agents_in_a_run_that_was_killed(workshop: Workshop) -> None:
    workshop.git("branch", "users")
    lock = '"$(git rev-parse --git-common-dir)/yoke/run.lock"'
    kill = f"kill -9 $(sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/' {lock}); sleep 600"
    make = "git switch -q users; git switch -q -c stray; echo x > x; git add x; git commit -qm stray"
    workshop.plan(epic("one", task("one.a", f"test -e ../../go || {{ {make}; {kill}; }}; echo a > a.txt")))
    assert workshop.yoke("run").returncode == -9
    (workshop.root / "go").touch()
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert workshop.branches() == ["main", "users"]
    assert "stray" in workshop.git("log", "--format=%s", "--glob=refs/yoke/keep/branch").splitlines()


@pytest.mark.parametrize("back", ["git switch -q epic/one", "true"], ids=["left", "on-it"])
async def test_a_branch_of_an_agent_whose_commit_was_collected_goes(workshop: Workshop, back: str) -> None:
    """With it there, git does nothing that looks at all refs."""
    workshop.config(agents={"max_attempts": 2})
    lose = "o=$(git rev-parse HEAD | sed 's|^..|&/|'); rm -f $(git rev-parse --git-common-dir)/objects/$o"
    make = f"git switch -q -c mine; echo x > x; git add x; git commit -qm x; {lose}; {back}; exit 1"
    once = f"test -e {workshop.root}/../once || {{ touch {workshop.root}/../once; {make}; }}"
    workshop.plan(epic("one", task("one.a", f"{once}; echo a > a.txt")))
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert workshop.branches() == ["main"]
    assert workshop.git("fsck", "--no-dangling", "--no-reflogs") == ""


async def test_a_landing_whose_commit_was_collected_as_garbage(workshop: Workshop) -> None:
    """While a landing is tested, no ref leads to its commit; a crash and a `git gc` later it is gone."""
    lock = '"$(git rev-parse --git-common-dir)/yoke/run.lock"'
    kill = f"kill -9 $(sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/' {lock}); sleep 600"
    workshop.config(checks={"landing": [f"test -e ../../go || {{ {kill}; }}"]})
    workshop.plan(epic("one", task("one.a")))
    assert workshop.yoke("run").returncode == -9
    (workshop.root / "go").touch()
    shutil.rmtree(workshop.root / ".worktrees")
    workshop.git("worktree", "prune")
    workshop.git("reflog", "expire", "--expire=now", "--all")
    workshop.git("gc", "-q", "--prune=now")
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK, report.reason
    assert workshop.git("log", "-1", "--format=%s", "main") == "Land one: Epic one"


@pytest.mark.parametrize("kind", ["tree", "commit"])
async def test_what_git_removes_while_lanes_are_joined_is_made_anew(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Nothing reaches the merge of two lanes until their epic's branch is moved."""
    gone: list[Path] = []

    async def merge_and_lose(repo: Repo, ours: str, theirs: str, message: str, *, tree: str) -> str:
        made = await commit_merge(repo, ours, theirs, message, tree=tree)
        if not gone:
            oid = tree if kind == "tree" else made
            gone.append(workshop.root / ".git/objects" / oid[:2] / oid[2:])
            gone[0].unlink()
        return made

    monkeypatch.setattr(lanes, "commit_merge", merge_and_lose)
    workshop.config(parallel={"strategy": "by_task"}, agents={"max_attempts": 1})
    workshop.plan(epic("one", task("one.a"), task("one.b"), task("one.c", depends_on=["one.a", "one.b"])))
    report = await workshop.run()
    assert (report.exit_code, [entry.epic for entry in report.landed]) == (ExitCode.OK, ["one"]), report
    assert gone
    assert workshop.git("fsck", "--full", "--no-dangling") == ""
    workshop.assert_tidy()


@pytest.mark.parametrize(
    "done", ["printf '%s\\n' $new >$ref.lock", "cd ..; {real} update-ref $ref $new $old"]
)
async def test_git_is_killed_as_it_joins_two_lanes(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: str
) -> None:
    """It leaves its lock, for which everybody would wait for ever, or has done what it was to do."""
    real = shutil.which("git")
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *"yoke: join"*) mkdir {tmp_path}/once 2>/dev/null || exec {real} "$@" ;; '
        f'*) exec {real} "$@" ;; esac\n'
        "while [ $# -gt 3 ]; do shift; done\n"
        f"ref=$1 new=$2 old=$3; cd {workshop.root}/.git\n"
        f"{done.format(real=real)}\n"
        "kill -9 $$\n"
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    workshop.config(parallel={"strategy": "by_task"})
    workshop.plan(epic("one", task("one.a"), task("one.b"), task("one.c", depends_on=["one.a", "one.b"])))
    report = await workshop.run()
    assert (tmp_path / "once").exists()
    assert (report.exit_code, len(report.completed)) == (ExitCode.OK, 3)
    failed = [event for event in workshop.of("session.finished") if event["state"] == "failed"]
    assert len(failed) == ("lock" in done)
    workshop.assert_tidy()


@pytest.mark.parametrize("moment", ["merge -q --ff-only", "worktree add"])
async def test_what_git_removes_before_it_lands_is_merged_anew(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Nothing reaches the merge until it is tested, nor where nothing tests it until it has landed."""
    real = shutil.which("git")
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    scratch = ".landing" if "worktree" in moment else ""
    wrapper.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *"{moment}"*{scratch}*)\n'
        f"  mkdir {tmp_path}/once 2>/dev/null && {real} -C {workshop.root} prune --expire=now ;;\n"
        f'esac\nexec {real} "$@"\n'
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    workshop.config(checks={"landing": ["true"] if scratch else []})
    workshop.plan(epic("one", task("one.a")))
    report = await workshop.run()
    assert (tmp_path / "once").exists()
    assert (report.exit_code, [entry.epic for entry in report.landed]) == (ExitCode.OK, ["one"])
    assert len(workshop.of("landing.testing")) == 2
    assert workshop.git("status", "--porcelain") == ""
    workshop.assert_tidy()


async def test_locks_of_a_killed_git_are_removed(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a")))
    common = workshop.root / ".git"
    names = (
        *("packed-refs.lock", "packed-refs.new", "refs/heads/main.lock", "refs/yoke/keep/x.lock"),
        *("logs/refs/heads/epic/x.lock", "objects/info/commit-graph.lock"),
    )
    for name in names:
        (common / name).parent.mkdir(parents=True, exist_ok=True)
        (common / name).touch()
    report = await workshop.run()
    assert report.exit_code is ExitCode.OK
    assert not [name for name in names if (common / name).exists()]
    workshop.assert_tidy()


async def test_refs_that_lead_to_nothing_are_removed(workshop: Workshop) -> None:
    kept = workshop.git("commit-tree", "HEAD^{tree}", "-m", "Kept")
    lost = workshop.git("commit-tree", "HEAD^{tree}", "-m", "Lost")
    workshop.git("update-ref", "refs/yoke/keep/kept", kept)
    workshop.git("update-ref", "refs/yoke/keep/lost", lost)
    (workshop.root / ".git/objects" / lost[:2] / lost[2:]).unlink()
    workshop.plan(epic("one", task("one.a")))
    assert (await workshop.run()).exit_code is ExitCode.OK
    assert lost in "".join(event["reason"] for event in workshop.of("warning.raised"))
    assert workshop.git("rev-parse", "refs/yoke/keep/kept") == kept
    workshop.git("log", "--all")


@pytest.mark.parametrize("code", ["$code", "128"], ids=["moved", "failed"])
async def test_what_git_removes_as_it_lands_is_written_again(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """A collection of garbage looked before the target was moved, and deletes after it."""
    real = shutil.which("git")
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(
        "#!/bin/sh\n"
        'case "$*" in *"merge -q --ff-only"*) ;;\n'
        f'*) exec {real} "$@" ;; esac\n'
        f'{real} "$@"; code=$?\n'
        f"cd {workshop.root}/.git/objects\n"
        f"{{ {real} rev-parse main; {real} rev-list -1 --objects main ^main^ ^main^2; }} |\n"
        "cut -c-40 | sort -u | sed 's|^..|&/|' | tee -a ../../../removed | xargs rm\n"
        f"exit {code}\n"
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    workshop.plan(epic("one", task("one.a")), epic("two", task("two.a", "sleep 0.5; echo two > two")))
    report = await workshop.run()
    assert (report.exit_code, {entry.epic for entry in report.landed}) == (ExitCode.OK, {"one", "two"}), (
        report
    )
    assert len((tmp_path / "removed").read_text().split()) == 3
    assert workshop.git("fsck", "--full", "--no-dangling") == ""
    assert workshop.git("status", "--porcelain") == ""
    workshop.assert_tidy()
