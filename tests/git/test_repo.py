"""Finding a repository, its refs, and commits with trailers."""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.git.conftest import commit, run, write
from yokeflow.errors import DiskFullError, GitError, RefMovedError, RepositoryError
from yokeflow.git.branches import landed, remove_branch
from yokeflow.git.repo import Repo
from yokeflow.git.runner import FOREIGN_VARIABLES, run_git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TRAILERS = {"Yoke-Task": "auth.model", "Yoke-Session": "5e55"}


async def test_discovers_from_a_folder_inside(project: Path) -> None:
    repo = await Repo.discover(project / "src")
    assert (repo.root, repo.common_dir, repo.bare) == (project, project / ".git", False)
    assert repo.state_dir == project / ".git" / "yoke"


async def test_discovers_the_main_checkout_from_a_linked_worktree_and_from_the_git_folder(
    project: Path,
) -> None:
    run(project, "worktree", "add", "-q", "../other", "-b", "other")
    assert (await Repo.discover(project.parent / "other")).root == project
    assert (await Repo.discover(project / ".git")).root == project


async def test_discovers_a_bare_repository(project: Path, tmp_path: Path) -> None:
    run(tmp_path, "clone", "-q", "--bare", "project", "bare.git")
    repo = await Repo.discover(tmp_path / "bare.git")
    assert repo.bare
    assert repo.root == repo.common_dir == tmp_path / "bare.git"
    assert repo.worktree_folder(".worktrees") == tmp_path / "bare.git" / ".worktrees"
    assert await repo.target_branch(None) == "main"


async def test_a_worktree_of_a_bare_repository_is_its_root(project: Path, tmp_path: Path) -> None:
    run(tmp_path, "clone", "-q", "--bare", "project", "bare.git")
    run(tmp_path / "bare.git", "worktree", "add", "-q", "../work", "-b", "work")
    repo = await Repo.discover(tmp_path / "work")
    assert (repo.root, repo.bare) == (tmp_path / "work", True)
    assert await repo.target_branch(None) == "work"


async def test_a_separate_git_folder(project: Path, tmp_path: Path) -> None:
    run(project, "init", "-q", "--separate-git-dir", str(tmp_path / "elsewhere"))
    repo = await Repo.discover(project)
    assert (repo.root, repo.common_dir) == (project, tmp_path / "elsewhere")


async def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="no git repository") as caught:
        await Repo.discover(tmp_path)
    assert "git init" in caught.value.hint


async def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="is not a folder"):
        await Repo.discover(tmp_path / "nothing")


async def test_no_commit_yet(tmp_path: Path) -> None:
    run(tmp_path, "init", "-q", "-b", "main")
    with pytest.raises(RepositoryError, match="no commit yet") as caught:
        await Repo.discover(tmp_path)
    assert "git commit --allow-empty" in caught.value.hint


async def test_an_old_git_is_refused(project: Path, git_only_path) -> None:
    git_only_path("echo git version 2.37.9")
    with pytest.raises(RepositoryError, match=r"2\.37\.9 is too old") as caught:
        await Repo.discover(project)
    assert "2.38" in caught.value.hint


async def test_git_is_missing(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(RepositoryError, match="git is not installed"):
        await Repo.discover(project)


async def test_target_branch(repo: Repo, project: Path) -> None:
    assert await repo.target_branch(None) == "main"
    run(project, "branch", "release")
    assert await repo.target_branch("release") == "release"
    with pytest.raises(RepositoryError, match="no branch nowhere"):
        await repo.target_branch("nowhere")
    run(project, "checkout", "-q", "--detach")
    with pytest.raises(RepositoryError, match="no branch is checked out") as caught:
        await repo.target_branch(None)
    assert "project.target" in caught.value.hint
    assert await repo.target_branch("main") == "main"


async def test_git_that_is_killed_as_it_only_looks_is_asked_again(
    repo: Repo, project: Path, tmp_path: Path, git_only_path: Callable[[str], None]
) -> None:
    real = shutil.which("git")
    git_only_path(f'mkdir {tmp_path}/once 2>/dev/null && kill -9 $$; exec {real} "$@"')
    assert (await repo.git("-c", "core.quotePath=false", "rev-list", "main")).text
    (tmp_path / "once").rmdir()
    with pytest.raises(GitError):
        await repo.git("branch", "new", "main")
    assert await repo.branch("new") is None


async def test_a_target_whose_commit_is_gone(repo: Repo, project: Path) -> None:
    lost = commit(project, "Lost", lost="x")
    (project / ".git/objects" / lost[:2] / lost[2:]).unlink()
    with pytest.raises(RepositoryError, match=f"main leads to {lost[:12]}, which .* not have") as caught:
        await repo.target_branch(None)
    assert "git reflog main" in caught.value.hint


async def test_the_variables_of_git_do_not_redirect_us(
    repo: Repo, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    shutil.copytree(project, other)
    head = commit(other, "Elsewhere")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.bare")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "true")
    found = await Repo.discover(project)
    assert (found.root, found.bare) == (project, False)
    assert await found.resolve("HEAD") not in {None, head}


def test_every_variable_that_git_calls_local_is_removed(project: Path) -> None:
    named = run(project, "rev-parse", "--local-env-vars").split()
    assert set(named) <= FOREIGN_VARIABLES


async def test_a_lock_that_goes_away_is_waited_for(repo: Repo, project: Path) -> None:
    lock = project / ".git" / "index.lock"
    lock.touch()
    asyncio.get_running_loop().call_later(0.15, lock.unlink)
    await repo.git("add", "-A")


async def test_a_full_disk_has_an_error_of_its_own(repo: Repo, git_only_path) -> None:
    git_only_path("echo 'fatal: write error: No space left on device' >&2; exit 128")
    with pytest.raises(DiskFullError):
        await repo.git("gc")


async def test_other_failures_name_the_command(repo: Repo) -> None:
    with pytest.raises(GitError, match="git cat-file -t nonsense") as caught:
        await repo.git("cat-file", "-t", "nonsense")
    assert caught.value.returncode == 128


async def test_git_outlives_a_cancelled_caller(repo: Repo, project: Path, tmp_path: Path) -> None:
    slow = f"alias.slow=!sleep 0.3; touch '{tmp_path}/done'"
    task = asyncio.ensure_future(run_git("-c", slow, "slow", cwd=project))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (tmp_path / "done").exists()


async def test_refs_move_only_from_where_they_are_expected(repo: Repo, project: Path) -> None:
    old = run(project, "rev-parse", "HEAD")
    new = commit(project, "Next", x="1")
    await repo.update_ref("refs/heads/epic/a", old, None, "test")
    await repo.update_ref("refs/heads/epic/a", new, old, "test")
    with pytest.raises(RefMovedError) as caught:
        await repo.update_ref("refs/heads/epic/a", new, old, "test")
    assert caught.value.actual == new
    with pytest.raises(RefMovedError):
        await repo.update_ref("refs/heads/epic/a", new, None, "test")
    assert await repo.refs("refs/heads/epic/") == {"refs/heads/epic/a": new}
    with pytest.raises(RefMovedError):
        await repo.delete_ref("refs/heads/epic/a", old)
    await repo.delete_ref("refs/heads/epic/a", new)
    assert await repo.branch("epic/a") is None


async def test_a_name_like_an_option_is_no_option(repo: Repo) -> None:
    assert await repo.resolve("--all") is None


async def test_keep_never_overwrites(repo: Repo, project: Path) -> None:
    first = run(project, "rev-parse", "HEAD")
    second = commit(project, "Next", x="1")
    names = [await repo.keep("a..b.lock/s 1", oid) for oid in (first, first, second)]
    assert names[0] == names[1] != names[2]
    assert await repo.refs("refs/yoke/keep/") == {names[0]: first, names[2]: second}
    assert await repo.keep("auth.model/5e55", first) == "refs/yoke/keep/auth.model/5e55"
    await repo.delete_ref("refs/yoke/keep/auth.model/5e55", first)
    assert (await repo.keep("alone", first)).startswith("refs/yoke/keep/alone/")
    assert await repo.is_kept(second)


async def test_commits_are_read_with_trailers(repo: Repo, project: Path) -> None:
    base = run(project, "rev-parse", "HEAD")
    commit(project, "First: ünï", x="1")
    message = "Second\n\nBody\n\nYoke-Task: a\nYoke-Task: b\nSigned-off-by: Ada <a@b>\n"
    last = commit(project, message, x="2")
    found = await repo.commits(base, "main")
    assert [one.subject for one in found] == ["First: ünï", "Second"]
    assert found[1].oid == last
    assert found[1].parents == (found[0].oid,)
    assert found[1].trailers == {"Yoke-Task": ["a", "b"], "Signed-off-by": ["Ada <a@b>"]}
    assert found[1].tree == await repo.tree_of("main")
    assert await repo.commits("main", "main") == []


def details(project: Path, rev: str) -> str:
    return run(project, "log", "-1", "--format=%an %ae %ad %cn %ce %cd %T %s", "--date=raw", rev)


async def test_stamp_adds_trailers_and_keeps_the_rest(
    repo: Repo, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = run(project, "rev-parse", "HEAD")
    run(project, "checkout", "-q", "-b", "epic/a")
    monkeypatch.setenv("GIT_AUTHOR_DATE", "1234567890 +0300")
    monkeypatch.setenv("GIT_COMMITTER_NAME", "Bot")
    commit(project, "One", x="1")
    run(project, "checkout", "-q", "-b", "side")
    commit(project, "Side\n\nKey: value", y="1")
    run(project, "checkout", "-q", "epic/a")
    commit(project, "Two", x="2")
    run(project, "merge", "-q", "--no-ff", "-m", "Join", "side")
    run(project, "branch", "-q", "-D", "side")
    monkeypatch.delenv("GIT_AUTHOR_DATE")
    head = run(project, "rev-parse", "HEAD")
    new = await repo.stamp(base, head, TRAILERS)
    assert new != head
    old_commits, new_commits = await repo.commits(base, head), await repo.commits(base, new)
    assert len(new_commits) == 4
    assert all(one.trailers["Yoke-Task"] == ["auth.model"] for one in new_commits)
    assert all(one.trailers["Yoke-Session"] == ["5e55"] for one in new_commits)
    assert [details(project, one.oid) for one in new_commits] == [
        details(project, one.oid) for one in old_commits
    ]
    assert len(new_commits[-1].parents) == 2
    assert {tuple(one.trailers) for one in new_commits if one.subject == "Side"} == {
        ("Key", "Yoke-Task", "Yoke-Session")
    }
    assert await repo.stamp(base, new, TRAILERS) == new
    assert await repo.branch("epic/a") == head


async def test_stamp_leaves_the_commits_of_others_alone(repo: Repo, project: Path) -> None:
    base = run(project, "rev-parse", "HEAD")
    run(project, "checkout", "-q", "-b", "epic/a")
    mine = commit(project, "Mine", x="1")
    run(project, "checkout", "-q", "main")
    theirs = commit(project, "Theirs", y="1")
    run(project, "checkout", "-q", "epic/a")
    run(project, "merge", "-q", "-m", "Take main", "main")
    new = await repo.stamp(base, run(project, "rev-parse", "HEAD"), TRAILERS)
    oids = {one.oid for one in await repo.commits(base, new)}
    assert theirs in oids
    assert mine not in oids
    own = await repo.stamp(base, theirs, TRAILERS, own=["epic/a"])
    assert own == theirs


async def test_stamp_drops_a_signature_that_would_be_wrong(repo: Repo, project: Path) -> None:
    base = run(project, "rev-parse", "HEAD")
    raw = run(project, "cat-file", "commit", commit(project, "Signed", x="1"))
    header, message = raw.split("\n\n", 1)
    signed = f"{header}\ngpgsig -----BEGIN\n line\n -----END\n\n{message}\n"
    head = run(project, "hash-object", "-t", "commit", "-w", "--stdin", stdin=signed)
    run(project, "update-ref", "refs/heads/main", head)
    new = await repo.stamp(base, head, TRAILERS)
    assert "gpgsig" not in run(project, "cat-file", "commit", new)
    run(project, "fsck", "--strict")


async def test_landed_is_the_proof_for_removing_a_branch(repo: Repo, project: Path) -> None:
    run(project, "checkout", "-q", "-b", "epic/a")
    tip = commit(project, "Work", x="1")
    run(project, "checkout", "-q", "main")
    assert not await landed(repo, tip, "main")
    assert not await remove_branch(repo, "epic/a", "main")
    assert await repo.branch("epic/a") == tip
    await repo.keep("squashed/a", tip)
    assert await remove_branch(repo, "epic/a", "main")
    assert await repo.branch("epic/a") is None
    run(project, "branch", "epic/b", tip)
    run(project, "merge", "-q", tip)
    assert await landed(repo, tip, "main")
    assert await remove_branch(repo, "epic/b", "main")
    assert await remove_branch(repo, "epic/b", "main")


async def test_what_only_a_branch_of_ours_has_is_kept_when_it_goes(repo: Repo, project: Path) -> None:
    run(project, "checkout", "-q", "-b", "lane/a.1")
    tip = commit(project, "Work", x="1")
    run(project, "checkout", "-q", "main")
    assert await remove_branch(repo, "lane/a.1", "main", ours=True)
    assert await repo.branch("lane/a.1") is None
    assert await repo.is_kept(tip)


async def test_names_without_utf8_survive(repo: Repo, project: Path) -> None:
    base = run(project, "rev-parse", "HEAD")
    (project / os.fsdecode(b"na\xffme")).touch()
    write(project, {"with\nnewline": "x"})
    run(project, "add", "-A")
    run(project, "commit", "-q", "-m", "Names")
    out = await repo.git("diff-tree", "-r", "-z", "--name-only", base, "HEAD")
    assert out.parts == ["na\udcffme", "with\nnewline"]


@pytest.mark.parametrize("said", ["write error: No space left on device", "write error. Out of diskspace"])
async def test_a_full_disk_is_told_from_other_errors(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\necho 'fatal: sha1 file: {said}' >&2\nexit 128\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(DiskFullError):
        await repo.git("add", "-A")
