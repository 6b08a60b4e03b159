"""Worktrees of lanes: made, reused, repaired, closed, in every kind of repository."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest

from tests.git.conftest import commit, run, write
from yokeflow.errors import GitError, ProjectBusyError, RepositoryError
from yokeflow.git.repo import Repo
from yokeflow.git.worktrees import Worktrees

if TYPE_CHECKING:
    from pathlib import Path


def lanes_of(repo: Repo) -> Worktrees:
    return Worktrees(repo, repo.worktree_folder(".worktrees"))


async def test_open_makes_a_worktree_and_reuses_it(trees: Worktrees, project: Path) -> None:
    base = run(project, "rev-parse", "main")
    path = await trees.open("auth", "epic/auth", base)
    assert path == project / ".worktrees" / "auth"
    assert run(path, "branch", "--show-current") == "epic/auth"
    assert run(path, "status", "--porcelain") == ""
    assert (path / "src" / "c.txt").read_text() == "three\n"
    write(path, {"new.txt": "mine"})
    tip = commit(path, "Work", a="1")
    write(path, {"left.txt": "over"})
    assert await trees.open("auth", "epic/auth", base) == path
    assert (path / "left.txt").read_text() == "over"
    assert run(path, "rev-parse", "HEAD") == tip
    assert run(project, "status", "--porcelain") == ""


async def test_an_existing_branch_is_taken_where_it_is(trees: Worktrees, project: Path) -> None:
    base = run(project, "rev-parse", "main")
    run(project, "checkout", "-q", "-b", "epic/auth")
    tip = commit(project, "Earlier", x="1")
    run(project, "checkout", "-q", "main")
    path = await trees.open("auth", "epic/auth", base)
    assert run(path, "rev-parse", "HEAD") == tip


async def test_fifty_at_once(trees: Worktrees, project: Path) -> None:
    base = run(project, "rev-parse", "main")
    paths = await asyncio.gather(*(trees.open(f"e{n}", f"epic/e{n}", base) for n in range(50)))
    assert len(set(paths)) == 50
    assert all((path / "a.txt").is_file() for path in paths)
    assert len(await trees.repo.refs("refs/heads/epic/")) == 50
    listed = await trees.list()
    assert len(listed) == 50
    assert not any(one.broken or one.locked for one in listed)
    await asyncio.gather(*(trees.close(f"e{n}") for n in range(50)))
    assert await trees.list() == []


async def test_a_branch_that_the_user_is_on_is_refused(trees: Worktrees, project: Path) -> None:
    run(project, "checkout", "-q", "-b", "epic/auth")
    with pytest.raises(RepositoryError, match="in use elsewhere") as caught:
        await trees.open("auth", "epic/auth", "main")
    assert "switch that checkout" in caught.value.hint


async def test_a_start_that_does_not_exist_is_refused(trees: Worktrees) -> None:
    with pytest.raises(RepositoryError, match="no commit nowhere"):
        await trees.open("auth", "epic/auth", "nowhere")


async def test_ignore_writes_one_line_of_its_own(trees: Worktrees, project: Path) -> None:
    exclude = project / ".git" / "info" / "exclude"
    exclude.write_text("mine", encoding="utf-8")
    await trees.ignore()
    killed, others = exclude.with_name("exclude.0123abcd"), exclude.with_name("mine.0123abcd")
    killed.touch()
    others.touch()
    await trees.ignore()
    assert exclude.read_text(encoding="utf-8") == "mine\n/.worktrees/\n"
    assert (killed.exists(), others.exists()) == (False, True)
    (project / ".worktrees").mkdir()
    write(project, {".worktrees/x": ""})
    assert run(project, "status", "--porcelain") == ""


async def test_ignore_takes_a_strange_folder_literally(repo: Repo, project: Path) -> None:
    trees = Worktrees(repo, project / "work trees [1]")
    await trees.open("a", "epic/a", "main")
    assert run(project, "status", "--porcelain") == ""


@pytest.mark.parametrize("name", ["with space", "ünïcødé 日本", "quote'\"$x", "new\nline"])
async def test_strange_folders(template: Path, tmp_path: Path, name: str) -> None:
    project = tmp_path / name
    shutil.copytree(template, project)
    repo = await Repo.discover(project)
    trees = lanes_of(repo)
    path = await trees.open("a", "epic/a", "main")
    write(path, {"ä b": "1"})
    assert await repo.commit_all(path, "Work", {"Yoke-Task": "a"})
    assert [(one.lane, one.branch, one.broken) for one in await trees.list()] == [("a", "epic/a", "")]
    await trees.close("a")
    assert not path.exists()


async def test_a_bare_repository(project: Path, tmp_path: Path) -> None:
    run(tmp_path, "clone", "-q", "--bare", "project", "bare.git")
    repo = await Repo.discover(tmp_path / "bare.git")
    trees = lanes_of(repo)
    path = await trees.open("a", "epic/a", "main")
    assert path == tmp_path / "bare.git" / ".worktrees" / "a"
    write(path, {"x": "1"})
    done = await repo.commit_all(path, "Work", {})
    assert done == await repo.branch("epic/a")
    await trees.reset(path, "epic/a", await repo.resolve("main") or "")
    assert not (path / "x").exists()
    await trees.close("a")
    assert await trees.list() == []


async def test_a_detached_head_does_not_matter(trees: Worktrees, project: Path) -> None:
    run(project, "checkout", "-q", "--detach")
    path = await trees.open("a", "epic/a", "main")
    assert run(path, "branch", "--show-current") == "epic/a"


async def test_a_dirty_main_checkout_stays_as_it_is(trees: Worktrees, project: Path) -> None:
    write(project, {"a.txt": "edited", "b.txt": "staged", "untracked": "x"})
    run(project, "add", "b.txt")
    before = run(project, "status", "--porcelain")
    path = await trees.open("a", "epic/a", "main")
    write(path, {"a.txt": "agent"})
    await trees.repo.commit_all(path, "Work", {})
    await trees.close("a")
    assert run(project, "status", "--porcelain") == before
    assert (project / "a.txt").read_text() == "edited"


async def test_a_shallow_clone(project: Path, tmp_path: Path) -> None:
    commit(project, "Second", x="1")
    run(tmp_path, "clone", "-q", "--depth=1", f"file://{project}", "shallow")
    trees = lanes_of(await Repo.discover(tmp_path / "shallow"))
    path = await trees.open("a", "epic/a", "main")
    assert (path / "x").exists()


async def test_a_sparse_checkout_is_inherited(trees: Worktrees, project: Path) -> None:
    commit(project, "Other", other__file="1")
    run(project, "sparse-checkout", "set", "src")
    path = await trees.open("a", "epic/a", "main")
    assert (path / "src" / "c.txt").exists()
    assert not (path / "other").exists()
    write(path, {"src/new": "1"})
    done = await trees.repo.commit_all(path, "Work", {})
    assert run(project, "show", "--format=", "--name-only", str(done)) == "src/new"


@pytest.fixture
def with_submodule(project: Path, tmp_path: Path, template: Path) -> Path:
    shutil.copytree(template, tmp_path / "library")
    allow = ("-c", "protocol.file.allow=always")
    run(project, *allow, "submodule", "--quiet", "add", str(tmp_path / "library"), "lib dir")
    commit(project, "Add a library")
    return project


async def test_submodules_are_filled_from_what_is_cloned(with_submodule: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "library")
    repo = await Repo.discover(with_submodule)
    trees = lanes_of(repo)
    path = await trees.open("a", "epic/a", "main")
    assert (path / "lib dir" / "a.txt").read_text() == "one\n"
    assert run(path, "status", "--porcelain") == ""
    assert await repo.commit_all(path, "Nothing", {}) is None
    await trees.close("a")
    assert not path.exists()
    assert (with_submodule / "lib dir" / "a.txt").exists()


@pytest.mark.parametrize("by_agent", [True, False], ids=["agent-commits", "we-commit"])
async def test_commits_inside_a_submodule_outlive_the_lane(with_submodule: Path, by_agent: bool) -> None:
    repo = await Repo.discover(with_submodule)
    trees = lanes_of(repo)
    await trees.scratch.open("main")
    path = await trees.open("a", "epic/a", "main")
    run(path / "lib dir", "checkout", "-q", "-b", "deep")
    inner = commit(path / "lib dir", "Inner", fix="1")
    commit(path / "lib dir", "Later", more="1")
    run(path / "lib dir", "checkout", "-q", inner)
    if by_agent:
        commit(path, "Take it")
    assert bool(await repo.commit_all(path, "Work", {})) is not by_agent
    await trees.close("a")
    await trees.empty_trash()
    clone = with_submodule / ".git" / "modules" / "lib dir"
    assert run(clone, "rev-parse", f"refs/yoke/keep/{inner[:12]}") == inner
    assert (await trees.scratch.open("epic/a") / "lib dir" / "fix").read_text() == "1"
    run(with_submodule, "merge", "-q", "epic/a")
    run(with_submodule, "submodule", "--quiet", "update", "--no-fetch")
    assert (with_submodule / "lib dir" / "fix").exists()


async def test_a_submodule_that_the_agent_adds_is_kept(project: Path, tmp_path: Path, template: Path) -> None:
    trees = lanes_of(await Repo.discover(project))
    path = await trees.open("a", "epic/a", "main")
    run(path, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(template), "lib")
    inner = commit(path / "lib", "Inner", fix="1")
    assert await trees.repo.commit_all(path, "Work", {})
    await trees.close("a")
    await trees.empty_trash()
    assert run(project, "rev-parse", f"refs/yoke/keep/{inner[:12]}") == inner


async def test_a_submodule_commit_that_is_nowhere_is_an_error(with_submodule: Path) -> None:
    repo = await Repo.discover(with_submodule)
    trees = lanes_of(repo)
    path = await trees.open("a", "epic/a", "main")
    run(path, "update-index", "--cacheinfo", f"160000,{'1' * 40},lib dir")
    run(path, "commit", "-q", "-m", "Rubbish")
    (path / "lib dir" / ".git").rename(path / "aside")
    with pytest.raises(GitError, match="submodule lib dir cannot be filled"):
        await trees.scratch.open("epic/a")
    (path / "aside").rename(path / "lib dir" / ".git")
    run(path, "update-index", "--assume-unchanged", "lib dir")
    with pytest.raises(GitError, match="submodule lib dir cannot be kept") as caught:
        await repo.commit_all(path, "Work", {})
    assert "leave lib dir as it was" in caught.value.hint


async def test_submodules_that_are_not_cloned_stay_empty(with_submodule: Path, tmp_path: Path) -> None:
    run(tmp_path, "clone", "-q", "project", "fresh")
    trees = lanes_of(await Repo.discover(tmp_path / "fresh"))
    path = await trees.open("a", "epic/a", "main")
    assert list((path / "lib dir").iterdir()) == []
    assert run(path, "status", "--porcelain") == ""


async def test_hooks_and_signing_of_the_user_cannot_fail_us(
    trees: Worktrees, project: Path, git_home: Path
) -> None:
    for name in ("post-checkout", "pre-commit", "commit-msg", "prepare-commit-msg", "reference-transaction"):
        hook = project / ".git" / "hooks" / name
        hook.write_text("#!/bin/sh\necho no >&2\nexit 1\n", encoding="utf-8")
        hook.chmod(0o755)
    run(git_home, "config", "--global", "commit.gpgSign", "true")
    run(git_home, "config", "--global", "gpg.program", "/bin/false")
    path = await trees.open("a", "epic/a", "main")
    write(path, {"x": "1"})
    done = await trees.repo.commit_all(path, "Work", {"Yoke-Task": "a"})
    assert done == run(path, "rev-parse", "HEAD")
    await trees.reset(path, "epic/a", str(await trees.repo.resolve("main")))
    assert not (path / "x").exists()


async def test_a_user_without_identity(trees: Worktrees, project: Path, git_home: Path) -> None:
    (git_home / ".gitconfig").write_text("", encoding="utf-8")
    path = await trees.open("a", "epic/a", "main")
    write(path, {"x": "1"})
    done = await trees.repo.commit_all(path, "Work", {})
    assert (
        run(project, "log", "-1", "--format=%an <%ae> %cn", str(done)) == "YokeFlow <yoke@localhost> YokeFlow"
    )


async def test_an_identity_of_the_user_is_used(trees: Worktrees, project: Path) -> None:
    path = await trees.open("a", "epic/a", "main")
    write(path, {"x": "1"})
    done = await trees.repo.commit_all(path, "Work\n\nMore", {"Yoke-Task": "a"})
    assert run(project, "log", "-1", "--format=%an %s %(trailers:key=Yoke-Task)", str(done)) == (
        "Ada Work Yoke-Task: a"
    )
    assert await trees.repo.commit_all(path, "Again", {}) is None


async def test_commit_all_leaves_ignored_files_out(trees: Worktrees) -> None:
    path = await trees.open("a", "epic/a", "main")
    write(path, {"debug.log": "x"})
    assert await trees.repo.commit_all(path, "Work", {}) is None


async def test_commit_all_makes_plain_files_of_a_nested_repository(trees: Worktrees, project: Path) -> None:
    path = await trees.open("a", "epic/a", "main")
    inner, bare_bones = path / "app", path / "fresh"
    for folder in (inner, bare_bones, inner / "deep"):
        folder.mkdir(parents=True)
        run(folder, "init", "-q", "-b", "trunk")
        write(folder, {"file": folder.name})
    history = commit(inner / "deep", "Deep")
    history = commit(inner, "Inner")
    run(path, "add", "-A", check=False)
    done = await trees.repo.commit_all(path, "Work", {})
    names = run(project, "ls-tree", "-r", "--name-only", str(done)).splitlines()
    assert {"app/file", "app/deep/file", "fresh/file"} <= set(names)
    assert await trees.repo.is_kept(history)
    assert run(path, "status", "--porcelain") == ""


async def test_commit_all_concludes_a_merge(trees: Worktrees, project: Path) -> None:
    path = await trees.open("a", "epic/a", "main")
    commit(path, "Mine", x="1")
    other = commit(project, "Theirs", y="1")
    run(path, "merge", "-q", "--no-ff", "--no-commit", "main")
    done = await trees.repo.commit_all(path, "Join", {})
    assert other in run(project, "log", "-1", "--format=%P", str(done)).split()
    assert not (project / ".git" / "worktrees" / "a" / "MERGE_HEAD").exists()


async def test_commit_all_never_takes_the_users_checkout_for_a_lane(trees: Worktrees, project: Path) -> None:
    path = await trees.open("a", "epic/a", "main")
    write(project, {"users": "edit"})
    (path / ".git").unlink()
    write(path, {"agents": "edit"})
    done = await trees.repo.commit_all(path, "Work", {})
    assert run(project, "show", "--format=", "--name-only", str(done)) == "agents"
    assert run(project, "log", "-1", "--format=%s", "main") == "Start"
    shutil.rmtree(path)
    assert await trees.repo.commit_all(path, "Work", {}) is None


async def test_use_locks_while_in_use(trees: Worktrees) -> None:
    path = await trees.open("a", "epic/a", "main")
    async with trees.in_use(path):
        [one] = await trees.list()
        assert one.locked
        assert str(os.getpid()) in one.locked
        assert await trees.repair() == []
        assert (await trees.clean("main", ["epic/"])).kept == {"epic/a": f"it is locked: {one.locked}"}
        refused = run(path, "worktree", "remove", "--force", str(path), check=False)
        assert (path / "a.txt").exists(), refused
        # We ourselves may do everything with it.
        assert await trees.open("a", "epic/a", "main") == path
        await trees.reset(path, "epic/a", "main")
    assert (await trees.list())[0].locked is None
    async with trees.in_use(path):
        await trees.close("a")
    assert await trees.list() == []


async def test_a_lane_in_use_that_the_agent_takes_elsewhere(trees: Worktrees, project: Path) -> None:
    path = await trees.open("a", "epic/a", "main")
    async with trees.in_use(path):
        run(path, "worktree", "move", "-f", "-f", str(path), str(project.parent / "moved"))
        await trees.reset(path, "epic/a", "main")
        assert run(path, "branch", "--show-current") == "epic/a"
    assert [one.path for one in await trees.list()] == [path]


async def test_a_lock_of_a_person_stays(trees: Worktrees) -> None:
    path = await trees.open("a", "epic/a", "main")
    run(path, "worktree", "lock", "--reason", "mine", str(path))
    async with trees.in_use(path):
        pass
    assert (await trees.list())[0].locked == "mine"


async def test_another_process_that_uses_a_lane_is_respected(trees: Worktrees, project: Path) -> None:
    script = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom yokeflow.git.repo import Repo\n"
        "from yokeflow.git.worktrees import Worktrees\n"
        "async def main():\n repo = await Repo.discover(Path(sys.argv[1]))\n"
        " trees = Worktrees(repo, repo.worktree_folder('.worktrees'))\n"
        " async with trees.in_use(await trees.open('a', 'epic/a', 'main')):\n"
        "  print('ready', flush=True)\n  await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    other = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(project), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert other.stdout is not None
        assert await other.stdout.readline() == b"ready\n"
        with pytest.raises(ProjectBusyError, match=str(other.pid)):
            await trees.open("a", "epic/a", "main")
    finally:
        other.kill()
        await other.communicate()
    [one] = await trees.list()
    assert one.broken == "its lock is of a process that ended"
    assert await trees.repair() == ["a: its lock is of a process that ended: put right"]
    assert (await trees.list())[0].locked is None


async def test_close_keeps_what_was_not_committed(trees: Worktrees, project: Path) -> None:
    path = await trees.open("a", "epic/a", "main")
    write(path, {"left.txt": "precious"})
    await trees.close("a")
    assert not path.exists()
    assert not (project / ".git" / "worktrees" / "a").exists()
    [kept] = (await trees.repo.refs("refs/yoke/keep/lane/a/")).values()
    assert run(project, "show", f"{kept}:left.txt") == "precious"
    assert await trees.repo.branch("epic/a")
    assert await trees.empty_trash() == 2
    assert not (project / ".worktrees").exists()
    assert (await trees.open("a", "epic/a", "main")) == path
    await trees.close("a")
    await trees.close("a")


async def test_close_of_a_clean_lane_keeps_nothing(trees: Worktrees) -> None:
    await trees.open("a", "epic/a", "main")
    await trees.close("a")
    assert await trees.repo.refs("refs/yoke/keep/") == {}


async def test_scratch_holds_exactly_the_commit(trees: Worktrees, project: Path) -> None:
    first = run(project, "rev-parse", "main")
    second = commit(project, "Next", x="1")
    path = await trees.scratch.open(second)
    assert (path / "x").exists()
    write(path, {"left": "1", "cache.log": "warm", "a.txt": "changed"})
    assert await trees.scratch.open(first) == path
    assert run(path, "status", "--porcelain", "--ignored") == "!! cache.log"
    assert run(path, "rev-parse", "HEAD") == first
    assert await trees.list() == []
    (path / ".git").unlink()
    await trees.scratch.open(second)
    assert (path / "x").exists()
    shutil.rmtree(path)
    await trees.scratch.open(first)
    assert run(path, "rev-parse", "HEAD") == first
    write(path, {"left": "1"})
    await trees.scratch.close()
    await trees.scratch.close()
    assert not path.exists()
    assert run(project, "worktree", "list").count("\n") == 0
    assert await trees.repo.refs("refs/yoke/keep/") == {}


async def test_repair_after_kill_of_worktree_add(trees: Worktrees, project: Path) -> None:
    """What `kill -9` of git leaves: a branch, half a folder, a locked entry with an index.lock."""
    run(project, "worktree", "add", "-q", "--no-checkout", "-b", "epic/a", ".worktrees/a", "main")
    entry = project / ".git" / "worktrees" / "a"
    (entry / "locked").write_text("initializing\n", encoding="utf-8")
    (entry / "index.lock").touch()
    write(project / ".worktrees" / "a", {"a.txt": "half"})
    [line] = await trees.repair()
    assert "never finished" in line
    assert not entry.exists()
    path = await trees.open("a", "epic/a", "main")
    assert run(path, "status", "--porcelain") == ""
    assert await trees.repair() == []


async def test_repair_after_kill_of_a_worktree_add_that_had_only_begun(
    trees: Worktrees, project: Path
) -> None:
    git_dir = project / ".git" / "worktrees" / "-landing"
    git_dir.mkdir(parents=True)
    (git_dir / "locked").write_text("initializing")
    [line] = await trees.repair()
    assert "git died" in line
    assert not git_dir.parent.exists()


async def test_repair_leaves_what_git_is_about_to_finish(trees: Worktrees, project: Path) -> None:
    git_dir = project / ".git" / "worktrees" / "persons"
    git_dir.mkdir(parents=True)
    (git_dir / "locked").write_text("initializing")
    asyncio.get_running_loop().call_later(
        0.05, (git_dir / "gitdir").write_text, f"{project.parent / 'persons' / '.git'}\n"
    )
    assert await trees.repair() == []
    assert git_dir.exists()


async def test_open_alone_recovers_from_the_same(trees: Worktrees, project: Path) -> None:
    run(project, "worktree", "add", "-q", "--no-checkout", "-b", "epic/a", ".worktrees/a", "main")
    entry = project / ".git" / "worktrees" / "a"
    (entry / "locked").write_text("initializing\n", encoding="utf-8")
    (entry / "index.lock").touch()
    path = await trees.open("a", "epic/a", "main")
    assert run(path, "status", "--porcelain") == ""


async def test_repair_of_each_break(trees: Worktrees, project: Path) -> None:
    paths = {
        name: await trees.open(name, f"epic/{name}", "main") for name in ("gone", "link", "lock", "admin")
    }
    shutil.rmtree(paths["gone"])
    (paths["link"] / ".git").unlink()
    write(paths["link"], {"work": "1"})
    (project / ".git" / "worktrees" / "lock" / "index.lock").touch()
    shutil.rmtree(project / ".git" / "worktrees" / "admin")
    write(paths["admin"], {"work": "2"})
    write(project, {".worktrees/users-own/file": "x", ".git/yoke/index-left/index": ""})
    lines = await trees.repair()
    assert [line.split(":")[0] for line in lines] == ["gone", "link", "lock", "admin"]
    assert await trees.repair() == []
    assert run(paths["link"], "status", "--porcelain") == "?? work"
    [kept] = (await trees.repo.refs("refs/yoke/keep/lane/admin/")).values()
    assert run(project, "show", f"{kept}:work") == "2"
    assert (project / ".worktrees" / "users-own" / "file").exists()
    assert not (project / ".git" / "yoke" / "index-left").exists()
    assert run(project, "status", "--porcelain") == ""


async def test_clean_removes_only_what_is_proved(trees: Worktrees, project: Path) -> None:
    repo = trees.repo
    for name in ("landed", "open", "dirty", "kept"):
        path = await trees.open(name, f"epic/{name}", "main")
        write(path, {name: "1"})
        await repo.commit_all(path, name, {})
    run(project, "merge", "-q", "epic/landed", "epic/dirty")
    write(project / ".worktrees" / "dirty", {"more": "1"})
    await repo.keep("squashed/kept", str(await repo.branch("epic/kept")))
    run(project, "branch", "lane/old", "main")
    run(project, "branch", "lane/unproved", "epic/open")
    run(project, "branch", "users/own", "main")
    planned = await trees.clean("main", ["epic/", "lane/"], dry_run=True)
    assert len(await trees.list()) == 4
    done = await trees.clean("main", ["epic/", "lane/"])
    assert planned == done
    assert set(done.removed) == {"epic/landed", "epic/kept", "lane/old"}
    assert done.kept == {
        "epic/dirty": "it has uncommitted changes",
        "epic/open": "1 of its commits are not in main",
        "lane/unproved": "1 of its commits are not in main",
    }
    assert [one.lane for one in await trees.list()] == ["dirty", "open"]
    left = {ref.removeprefix("refs/heads/") for ref in await repo.refs("refs/heads/")}
    assert left == {"main", "epic/dirty", "epic/open", "lane/unproved", "users/own"}
