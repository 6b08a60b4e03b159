"""Bringing a branch forward, with and without a checkout that has it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.git.conftest import commit, run, write
from yokeflow.errors import GitError
from yokeflow.git.branches import remove_branch
from yokeflow.git.merge import Advance, advance, commit_merge, finish_advance, merge_trees
from yokeflow.git.repo import Repo
from yokeflow.git.worktrees import Worktrees

if TYPE_CHECKING:
    from collections.abc import Callable

MOVED = Advance(moved=True)


@pytest.fixture
def step(project: Path) -> tuple[str, str]:
    """The commit to reach, which edits a.txt, adds new/file and removes b.txt; and main's own."""
    old = run(project, "rev-parse", "main")
    run(project, "checkout", "-q", "-b", "epic/a")
    (project / "b.txt").unlink()
    new = commit(project, "Landing", a__txt="", new__file="landed\n")
    shutil.rmtree(project / "a")
    write(project, {"a.txt": "landed\n"})
    new = commit(project, "Landing too")
    run(project, "checkout", "-q", "main")
    return new, old


def assert_landed(project: Path, new: str) -> None:
    assert run(project, "rev-parse", "main", "HEAD").split() == [new, new]
    assert (project / "a.txt").read_text() == "landed\n"
    assert (project / "new" / "file").read_text() == "landed\n"
    assert not (project / "b.txt").exists()


async def test_a_clean_checkout_comes_along(repo: Repo, project: Path, step: tuple[str, str]) -> None:
    assert await advance(repo, "main", *step) == MOVED
    assert_landed(project, step[0])
    assert run(project, "status", "--porcelain") == ""
    assert not (repo.state_dir / "advance.json").exists()


async def test_a_landing_takes_few_processes(
    repo: Repo, project: Path, tmp_path: Path, git_only_path: Callable[[str], None]
) -> None:
    trees, old = Worktrees(repo, repo.worktree_folder(".worktrees")), run(project, "rev-parse", "main")
    tip = commit(await trees.open("a", "epic/a", "main"), "Work", x="1")
    # Asked once for all landings.
    await repo.identity()
    log = tmp_path / "log"
    git_only_path(f'echo "$*" >> {log}; exec {shutil.which("git")} "$@"')
    async with repo.reading():
        merged = await merge_trees(repo, old, tip)
        assert merged.tree
        new = await commit_merge(repo, old, tip, "Land", tree=merged.tree)
        assert await advance(repo, "main", new, old) == MOVED
        await trees.close("a")
        assert await remove_branch(repo, "epic/a", "main")
    assert len(log.read_text().splitlines()) <= 9  # one of them answers all questions about names


@pytest.mark.parametrize("way", ["-c mine", "--detach"])
@pytest.mark.parametrize("moment", ["status", "merge"])
async def test_the_user_switches_at_the_last_moment(
    repo: Repo,
    project: Path,
    step: tuple[str, str],
    git_only_path: Callable[[str], None],
    moment: str,
    way: str,
) -> None:
    new, old = step
    real = shutil.which("git")
    git_only_path(
        f'for word; do if [ "$word" = {moment} ] && mkdir "{project}/.git/once" 2>/dev/null; then\n'
        f' env -u GIT_DIR -u GIT_WORK_TREE {real} switch -q {way}; fi; done; exec {real} "$@"'
    )
    write(project, {"mine.txt": "mine"})
    assert (await advance(repo, "main", new, old)).reason == "raced"
    assert run(project, "branch", "--show-current") == ("mine" if "mine" in way else "")
    assert run(project, "rev-parse", "HEAD", "main").split() == [old, old]
    assert run(project, "status", "--porcelain") == "?? mine.txt"
    assert not (repo.state_dir / "advance.json").exists()
    assert await advance(repo, "main", new, old) == MOVED
    assert run(project, "rev-parse", "HEAD", "main").split() == [old, new]


async def test_somebody_moves_the_branch_on_at_once(
    repo: Repo, project: Path, tmp_path: Path, step: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was there; who takes it for not done would do it twice."""
    theirs = commit(project, "Theirs")
    run(project, "reset", "-q", "--hard", step[1])
    real, wrapper = shutil.which("git"), tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    moved = f"{real} -C {project} update-ref refs/heads/main {theirs}"
    wrapper.write_text(f'#!/bin/sh\n{real} "$@" || exit\ncase "$*" in *--ff-only*) {moved} ;; esac\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    assert await advance(repo, "main", *step) == MOVED
    assert run(project, "rev-parse", "main") == theirs
    assert not (repo.state_dir / "advance.json").exists()


async def test_rights_of_the_users_files_stay(repo: Repo, project: Path, step: tuple[str, str]) -> None:
    new, old = step
    write(project, {"secret": "mine", "kept.log": "mine"})
    for name in ("secret", "kept.log"):
        (project / name).chmod(0o400)
    (project / "inner").mkdir()
    # Git cannot add a repository without a commit, whoever asks.
    run(project / "inner", "init", "-q")
    begun = {"branch": "main", "old": old, "new": new, "path": str(project), "clean": ["a.txt", "b.txt"]}
    repo.state_dir.mkdir(exist_ok=True)
    (repo.state_dir / "advance.json").write_text(json.dumps({**begun, "git_dir": str(repo.common_dir)}))
    assert await finish_advance(repo) == MOVED
    assert {(project / name).stat().st_mode & 0o777 for name in ("secret", "kept.log")} == {0o400}
    [kept] = (await repo.refs("refs/yoke/keep/advance/")).values()
    assert run(project, "show", f"{kept}:secret") == "mine"


async def test_a_branch_that_nobody_is_on_moves_alone(
    repo: Repo, project: Path, step: tuple[str, str]
) -> None:
    run(project, "checkout", "-q", "--detach")
    assert await advance(repo, "main", *step) == MOVED
    assert run(project, "rev-parse", "main", "HEAD").split() == list(step)
    assert run(project, "status", "--porcelain") == ""


async def test_a_bare_repository(project: Path, tmp_path: Path, step: tuple[str, str]) -> None:
    run(tmp_path, "clone", "-q", "--bare", "project", "bare.git")
    repo = await Repo.discover(tmp_path / "bare.git")
    assert await advance(repo, "main", *step) == MOVED
    assert await repo.branch("main") == step[0]


async def test_a_linked_checkout_comes_along(repo: Repo, project: Path, step: tuple[str, str]) -> None:
    run(project, "checkout", "-q", "--detach")
    run(project, "worktree", "add", "-q", "../linked place", "main")
    assert await advance(repo, "main", *step) == MOVED
    assert_landed(project.parent / "linked place", step[0])


async def test_unrelated_edits_stay(repo: Repo, project: Path, step: tuple[str, str]) -> None:
    write(project, {"src/c.txt": "my edit", "untracked": "mine", "staged": "mine"})
    run(project, "add", "staged")
    assert await advance(repo, "main", *step) == MOVED
    assert_landed(project, step[0])
    assert run(project, "status", "--porcelain") == "M src/c.txt\nA  staged\n?? untracked"
    assert (project / "src" / "c.txt").read_text() == "my edit"


def edit(project: Path) -> None:
    write(project, {"a.txt": "my edit\n"})


def stage(project: Path) -> None:
    write(project, {"a.txt": "my edit\n"})
    run(project, "add", "a.txt")


def untracked(project: Path) -> None:
    write(project, {"new/file": "mine"})


def ignored(project: Path) -> None:
    write(project, {".git/info/exclude": "new\n", "new/file": "mine"})


def file_for_a_folder(project: Path) -> None:
    write(project, {"new": "mine"})


MESSES = [
    (edit, "a.txt"),
    (stage, "a.txt"),
    (untracked, "new/file"),
    (ignored, "new/file"),
    (file_for_a_folder, "new/file"),
]


@pytest.mark.parametrize(("mess", "file"), MESSES)
async def test_what_would_be_overwritten_stops_it(
    repo: Repo, project: Path, step: tuple[str, str], mess: Callable[[Path], None], file: str
) -> None:
    mess(project)
    before = run(project, "status", "--porcelain", "--ignored"), run(project, "stash", "create")
    result = await advance(repo, "main", *step)
    assert (result.moved, result.reason, result.files) == (False, "checkout", (file,))
    assert result.detail
    assert run(project, "rev-parse", "main") == step[1]
    assert run(project, "status", "--porcelain", "--ignored") == before[0]
    assert not (repo.state_dir / "advance.json").exists()


async def test_settings_of_the_user_do_not_make_it_overwrite(
    repo: Repo, project: Path, step: tuple[str, str]
) -> None:
    for name, value in (
        ("merge.autoStash", "true"),
        ("merge.ff", "false"),
        ("branch.main.mergeOptions", "--squash"),
    ):
        run(project, "config", name, value)
    write(project, {"a.txt": "my edit\n"})
    assert not (await advance(repo, "main", *step)).moved
    assert (project / "a.txt").read_text() == "my edit\n"
    run(project, "checkout", "-q", "a.txt")
    assert await advance(repo, "main", *step) == MOVED


async def test_the_users_own_merge_stops_it(repo: Repo, project: Path, step: tuple[str, str]) -> None:
    run(project, "checkout", "-q", "-b", "other")
    commit(project, "Other", y="1")
    run(project, "checkout", "-q", "main")
    run(project, "merge", "-q", "--no-ff", "--no-commit", "other")
    result = await advance(repo, "main", *step)
    assert (result.moved, result.reason) == (False, "checkout")
    assert "a merge is in progress" in result.detail
    assert (project / ".git" / "MERGE_HEAD").exists()


async def test_a_rebase_that_comes_back_to_the_branch_stops_it(
    repo: Repo, project: Path, step: tuple[str, str]
) -> None:
    mine = commit(project, "Mine", src__c="1")
    run(project, "-c", "sequence.editor=sed -i 1ibreak", "rebase", "-i", "HEAD~1", check=False)
    run(project, "checkout", "-q", "--detach")
    tree = run(project, "rev-parse", f"{mine}^{{tree}}")
    new = run(project, "commit-tree", tree, "-p", mine, "-m", "Next")
    result = await advance(repo, "main", new, mine)
    assert (result.moved, result.reason) == (False, "checkout")
    assert "a rebase is in progress" in result.detail


async def test_two_checkouts_of_the_branch_stop_it(repo: Repo, project: Path, step: tuple[str, str]) -> None:
    run(project, "worktree", "add", "-q", "-f", "../twin", "main")
    result = await advance(repo, "main", *step)
    assert (result.moved, result.reason) == (False, "checkout")
    assert "twin" in result.detail


async def test_a_branch_that_moved_meanwhile_is_a_race(
    repo: Repo, project: Path, step: tuple[str, str]
) -> None:
    users = commit(project, "User", y="1")
    assert await advance(repo, "main", *step) == Advance(moved=False, reason="raced")
    assert await advance(repo, "main", step[0], users) == Advance(moved=False, reason="raced")
    assert run(project, "rev-parse", "main") == users
    assert run(project, "status", "--porcelain") == ""


async def test_nothing_to_finish(repo: Repo) -> None:
    assert await finish_advance(repo) is None


def journal(repo: Repo, step: tuple[str, str], *clean: str) -> None:
    repo.state_dir.mkdir(exist_ok=True)
    begun = {
        "branch": "main", "new": step[0], "old": step[1], "path": str(repo.root),
        "git_dir": str(repo.common_dir), "clean": clean or ["a.txt", "b.txt", "new/file"],
    }  # fmt: skip
    (repo.state_dir / "advance.json").write_text(json.dumps(begun), encoding="utf-8")


async def test_half_written_files_are_finished(repo: Repo, project: Path, step: tuple[str, str]) -> None:
    """As git leaves them that was killed: a lock, and files of both commits."""
    journal(repo, step)
    write(project, {"a.txt": "lan", "new/file": "", "src/c.txt": "my edit", "untracked": "mine"})
    (project / ".git" / "index.lock").touch()
    assert await finish_advance(repo) == MOVED
    assert_landed(project, step[0])
    assert run(project, "status", "--porcelain") == "M src/c.txt\n?? untracked"
    assert await finish_advance(repo) is None
    [kept] = (await repo.refs("refs/yoke/keep/advance/")).values()
    assert run(project, "show", f"{kept}:untracked") == "mine"


async def test_what_the_user_has_staged_stays_staged(
    repo: Repo, project: Path, step: tuple[str, str]
) -> None:
    journal(repo, step)
    write(project, {"a.txt": "lan", "src/c.txt": "staged", "added": "staged too"})
    run(project, "add", "src/c.txt", "added")
    write(project, {"src/c.txt": "changed again"})
    assert await finish_advance(repo) == MOVED
    assert_landed(project, step[0])
    assert run(project, "status", "--porcelain") == "A  added\nMM src/c.txt"


async def test_a_git_that_outlived_us_is_waited_for(repo: Repo, project: Path, step: tuple[str, str]) -> None:
    journal(repo, step)
    slow = f"alias.slow=!sleep 0.3; git merge -q --ff-only {step[0]}"
    survivor = await asyncio.create_subprocess_exec("git", "-c", slow, "slow", cwd=project)
    assert await finish_advance(repo) == MOVED
    assert await asyncio.wait_for(survivor.wait(), 5) == 0
    assert_landed(project, step[0])
    assert run(project, "status", "--porcelain") == ""


async def test_the_index_may_be_ahead_of_the_branch(repo: Repo, project: Path, step: tuple[str, str]) -> None:
    journal(repo, step)
    run(project, "read-tree", "-m", "-u", *reversed(step))
    assert await finish_advance(repo) == MOVED
    assert_landed(project, step[0])
    assert run(project, "status", "--porcelain") == ""


async def test_what_was_dirty_before_is_not_taken_back(
    repo: Repo, project: Path, step: tuple[str, str]
) -> None:
    journal(repo, step, "b.txt", "new/file")
    write(project, {"a.txt": "my edit\n"})
    result = await finish_advance(repo)
    assert result is not None
    assert (result.moved, result.reason) == (False, "checkout")
    assert (project / "a.txt").read_text() == "my edit\n"
    assert run(project, "rev-parse", "main") == step[1]


async def test_a_user_who_went_on_meanwhile_is_left_alone(
    repo: Repo, project: Path, step: tuple[str, str]
) -> None:
    journal(repo, step)
    users = commit(project, "User", y="1")
    assert await finish_advance(repo) == Advance(moved=False, reason="raced")
    assert run(project, "rev-parse", "main") == users
    run(project, "reset", "-q", "--hard", step[1])
    journal(repo, step)
    run(project, "checkout", "-q", "-b", "elsewhere")
    result = await finish_advance(repo)
    assert result is not None
    assert result.reason == "checkout"


async def test_an_advance_that_was_done_is_only_noted(
    repo: Repo, project: Path, step: tuple[str, str]
) -> None:
    journal(repo, step)
    run(project, "merge", "-q", "--ff-only", step[0])
    assert await finish_advance(repo) == MOVED
    assert not (repo.state_dir / "advance.json").exists()


async def test_a_stop_in_the_middle_is_finished_by_the_next_try(
    repo: Repo, project: Path, step: tuple[str, str], git_only_path: Callable[[str], None]
) -> None:
    real = shutil.which("git")
    git_only_path(
        f'case "$*" in *--ff-only*) if [ ! -e "{project}.once" ]; then touch "{project}.once";'
        f' printf lan > "{project}/a.txt"; echo "fatal: unable to write" >&2; exit 128; fi;; esac;'
        f' exec {real} "$@"'
    )
    with pytest.raises(GitError, match="unable to write"):
        await advance(repo, "main", *step)
    assert (repo.state_dir / "advance.json").exists()
    assert await finish_advance(repo) == MOVED
    assert_landed(project, step[0])


_ADVANCE = """
import asyncio, sys
from pathlib import Path
from yokeflow.git.merge import advance
from yokeflow.git.repo import Repo
async def main():
    repo = await Repo.discover(Path(sys.argv[1]))
    print("go", flush=True)
    await advance(repo, "main", sys.argv[2], sys.argv[3])
asyncio.run(main())
"""


@pytest.mark.parametrize("pause", [0.0, 0.01, 0.03, 0.06])
async def test_kill_of_us_and_git(repo: Repo, project: Path, pause: float) -> None:
    """However far it came, the next start brings everything to the new commit and keeps the user's edits."""
    old = commit(project, "Many", **{f"many__{n}": f"{n}\n" * 50 for n in range(400)})
    run(project, "checkout", "-q", "-b", "epic/a")
    new = commit(project, "Landing", **{f"many__{n}": f"{n} landed\n" * 50 for n in range(400)})
    run(project, "checkout", "-q", "main")
    write(project, {"a.txt": "my edit\n", "untracked": "mine"})
    await asyncio.to_thread(_kill_amid, repo, new, old, pause)
    await finish_advance(repo)
    if run(project, "rev-parse", "main") != new:
        assert await advance(repo, "main", new, old) == MOVED
    assert run(project, "status", "--porcelain") == "M a.txt\n?? untracked"
    assert (project / "many" / "399").read_text() == "399 landed\n" * 50
    assert (project / "a.txt").read_text() == "my edit\n"


def _kill_amid(repo: Repo, new: str, old: str, pause: float) -> None:
    command = [sys.executable, "-c", _ADVANCE, str(repo.root), new, old]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        deadline = time.monotonic() + 20
        while not (repo.state_dir / "advance.json").exists() and child.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(pause)
        _kill_tree(child.pid)


def _kill_tree(pid: int) -> None:
    """Kill our process and the git that it started in the checkout."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for one in [str(pid), *children]:
        try:
            os.kill(int(one), signal.SIGKILL)
        except ProcessLookupError:
            continue
