"""Worktrees from the pool are just like new ones, whatever was done in the lane they were before."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.git.conftest import commit, run, write
from yokeflow.git.locks import anybody_in
from yokeflow.git.repo import Repo
from yokeflow.git.worktrees import Worktrees

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


@asynccontextmanager
async def pooling(trees: Worktrees, size: int = 1, *, coming: int = 5) -> AsyncIterator[None]:
    """A pool that works also in a repository of a few files."""
    async with trees.pool.working(size, "main", least=0):
        trees.pool.expect(coming)
        yield


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never happened")


async def filled(trees: Worktrees, count: int = 1) -> None:
    await until(lambda: trees.pool.ready == count and not has_closed(trees))


def has_closed(trees: Worktrees) -> bool:
    return trees.pool.closed.is_dir() and any(trees.pool.closed.iterdir())


def files(folder: Path) -> dict[str, tuple[object, ...]]:
    """Everything in a folder: kind, rights, number of names and content."""
    found: dict[str, tuple[object, ...]] = {}
    for parent, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = os.path.join(parent, name)  # noqa: PTH118 - names may be anything
            status = os.lstat(path)
            content: object = os.readlink(path) if stat.S_ISLNK(status.st_mode) else ""  # noqa: PTH115
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:  # noqa: PTH123 - as above
                    content = file.read()
            links = 0 if stat.S_ISDIR(status.st_mode) else status.st_nlink
            found[os.path.relpath(path, folder)] = (oct(status.st_mode), links, content)
    return found


def said_by_git(path: Path) -> dict[str, str]:
    """What git says about a worktree."""
    questions = (
        "status --porcelain --ignored --branch",
        "config --list --show-scope",
        "for-each-ref",
        "rev-parse --git-dir --absolute-git-dir",
        "ls-files -v --stage",
        "stash list",
        "rev-parse -q --verify @{-1}",
        "rev-parse --verify -q refs/worktree/mine",
        "bisect log",
        "check-ignore -v own.tmp",
        "sparse-checkout list",
        "rerere status",
    )
    return {question: run(path, *question.split(), check=False) for question in questions}


def everything(project: Path, path: Path) -> dict[str, object]:
    """All that tells one worktree from another."""
    git_dir = project / ".git" / "worktrees" / path.name
    names = sorted(name for name in files(git_dir) if name != "ORIG_HEAD")
    return {"files": files(path), "git": said_by_git(path), "names": names}


def fresh(project: Path) -> dict[str, object]:
    """The same of a worktree that git has just made in this very place."""
    path = project / ".worktrees" / "next"
    run(project, "worktree", "add", "-q", "--no-checkout", "-b", "epic/next", str(path), "main")
    run(path, "reset", "-q", "--hard")
    (project / ".git" / "worktrees" / "next" / "yoke-lane").write_text("next")
    found = everything(project, path)
    run(project, "worktree", "remove", "--force", str(path))
    run(project, "branch", "-q", "-D", "epic/next")
    return found


def shell(path: Path, script: str) -> None:
    subprocess.run(
        ["sh", "-ec", f"G=$(git rev-parse --git-dir)\n{script}"], cwd=path, check=True, capture_output=True
    )


#: What an agent can leave behind in its worktree, none of which may reach the next lane.
POISONS = {
    "ignored and untracked": "echo 1 > cache.log; mkdir -p deep/er empty src/more; echo 2 > deep/er/x",
    "changed and deleted": "echo changed > a.txt; rm b.txt",
    "same size and time": "touch -r a.txt ../ref; printf 'ONE\\n' > a.txt; touch -r ../ref a.txt; rm ../ref",
    "hidden changes": "git update-index --assume-unchanged a.txt; printf 'ONE\\n' > a.txt;"
    "git update-index --skip-worktree b.txt; rm b.txt",
    "rights": "chmod 600 a.txt; chmod +x b.txt; chmod 700 src",
    "unwritable": "chmod 400 a.txt; chmod 500 src",
    "a second name outside": "ln a.txt ../../second-name",
    "a link for a folder": "mv src ../../moved; ln -s ../../moved src",
    "a link for a file": "mv a.txt ../../a; ln -s ../../a a.txt",
    "a folder for a file": "rm a.txt; mkdir a.txt; echo 1 > a.txt/x",
    "a pipe": "mkfifo pipe; rm a.txt; mkfifo a.txt",
    "a repository inside": "git init -q inner; cd inner; echo 1 > x; git add x; git commit -q -m Inner",
    "worktree configuration": "git config extensions.worktreeConfig true;"
    "git config --worktree user.name Evil; git config --worktree core.hooksPath /tmp/evil",
    "sparse": "git sparse-checkout set --no-cone a.txt; git sparse-checkout disable",
    "exclude": "mkdir -p $G/info; echo own.tmp > $G/info/exclude",
    "attributes": "echo '* eol=crlf' > .gitattributes; rm a.txt; git checkout -q a.txt; rm .gitattributes",
    "worktree refs": "git update-ref refs/worktree/mine HEAD; git bisect start; git bisect bad",
    "a merge": "git switch -q -c side; echo 1 > a.txt; git commit -qam Side; git switch -q epic/auth;"
    "echo 2 > a.txt; git commit -qam Ours; git merge -q side || true; git branch -q -D side",
    "a rebase": "git switch -q -c side; echo 1 > a.txt; git commit -qam Side; git switch -q epic/auth;"
    "echo 2 > a.txt; git commit -qam Ours; git rebase -q side || true; git branch -q -D side",
    "an index of its own kind": "git update-index --split-index --untracked-cache; echo 1 > n; git add -N n",
    "no index": "rm $G/index",
    "locks": "touch $G/index.lock $G/HEAD.lock",
    "a wrong .git file": "rm .git; echo 'gitdir: /nowhere' > .git",
    "hooks": "mkdir -p $G/hooks; echo 'exit 1' > $G/hooks/pre-commit",
    "somebody's log": "git commit -q --allow-empty -m One; git commit -q --amend -m Two --allow-empty",
}


@pytest.mark.parametrize("poison", POISONS)
async def test_nothing_of_a_lane_reaches_the_next(trees: Worktrees, project: Path, poison: str) -> None:
    await trees.ignore()
    path = await trees.open("auth", "epic/auth", "main")
    shell(path, POISONS[poison])
    async with pooling(trees, coming=0):
        await trees.retire("auth")
        assert not path.exists()
        run(project, "branch", "-q", "-D", "epic/auth")
        trees.pool.expect(1)
        await filled(trees)
        trees.pool.expect(0)
        expected = fresh(project)
        assert await trees.open("next", "epic/next", "main") == project / ".worktrees" / "next"
        assert trees.pool.ready == 0
        path = project / ".worktrees" / "next"
        assert everything(project, path) == expected
        assert run(path, "log", "-g", "--format=%H%gs", "HEAD") == run(project, "rev-parse", "main")
    await trees.close("next")
    await trees.pool.empty()


async def test_files_of_a_lane_are_used_again(trees: Worktrees, project: Path) -> None:
    path = await trees.open("auth", "epic/auth", "main")
    kept, changed = (path / "b.txt").stat().st_ino, (path / "a.txt").stat().st_ino
    write(path, {"a.txt": "agent"})
    await trees.repo.commit_all(path, "Work", {})
    async with pooling(trees, coming=0):
        await trees.retire("auth")
        trees.pool.expect(1)
        await filled(trees)
        path = await trees.open("next", "epic/next", "main")
        assert (path / "b.txt").stat().st_ino == kept
        assert (path / "a.txt").stat().st_ino != changed
        assert (path / "a.txt").read_text() == "one\n"


async def test_what_was_not_committed_is_kept_before_files_are_used_again(
    trees: Worktrees, project: Path
) -> None:
    path = await trees.open("auth", "epic/auth", "main")
    run(path, "checkout", "-q", "--detach")
    stray = commit(path, "Detached", x="1")
    write(path, {"left.txt": "precious"})
    async with pooling(trees, coming=0):
        await trees.retire("auth")
        trees.pool.expect(1)
        await filled(trees)
        kept = set((await trees.repo.refs("refs/yoke/keep/lane/auth/")).values())
        assert await trees.repo.is_kept(stray)
        [left] = kept - {stray}
        assert run(project, "show", f"{left}:left.txt") == "precious"


async def test_a_landed_branch_can_go_at_once_and_nothing_is_kept(trees: Worktrees, project: Path) -> None:
    path = await trees.open("auth", "epic/auth", "main")
    write(path, {"x": "1"})
    await trees.repo.commit_all(path, "Work", {})
    run(project, "merge", "-q", "epic/auth")
    async with pooling(trees):
        await trees.retire("auth")
        run(project, "branch", "-q", "-d", "epic/auth")
        await filled(trees)
    assert await trees.repo.refs("refs/yoke/") == {}


async def test_the_pool_follows_the_target(trees: Worktrees, project: Path) -> None:
    async with pooling(trees, 2):
        await filled(trees, 2)
        newest = commit(project, "Next", x="1")
        path = await trees.open("auth", "epic/auth", newest)
        assert run(path, "rev-parse", "HEAD") == newest
        assert (path / "x").exists()
        trees.pool.wake()
        await filled(trees, 2)
        await until(lambda: all((each / "x").exists() for each in trees.pool.folder.iterdir()))
        path = await trees.open("older", "epic/older", f"{newest}~1")
        assert not (path / "x").exists()
        assert run(path, "status", "--porcelain") == ""


async def test_rules_that_change_between_commits_are_obeyed(trees: Worktrees, project: Path) -> None:
    async with pooling(trees):
        await filled(trees)
        newest = commit(project, "Rules", **{".gitattributes": "*.txt text eol=crlf\n"})
        path = await trees.open("auth", "epic/auth", newest)
        assert (path / "a.txt").read_bytes() == b"one\r\n"
        trees.pool.wake()
        await until(lambda: any((each / "a.txt").exists() for each in trees.pool.folder.iterdir()))
        await trees.retire("auth")
        await until(lambda: not has_closed(trees))
        await filled(trees)
        path = await trees.open("next", "epic/next", newest)
        assert (path / "a.txt").read_bytes() == b"one\r\n"


async def test_settings_that_change_meanwhile_are_obeyed(trees: Worktrees, project: Path) -> None:
    async with pooling(trees):
        await filled(trees)
        run(project, "config", "core.autocrlf", "true")
        path = await trees.open("auth", "epic/auth", "main")
        assert (path / "a.txt").read_bytes() == b"one\r\n"


async def test_no_more_wait_than_are_to_come(trees: Worktrees) -> None:
    async with pooling(trees, 4, coming=2):
        await filled(trees, 2)
        trees.pool.expect(0)
        await trees.open("auth", "epic/auth", "main")
        await trees.retire("auth")
        await until(lambda: not has_closed(trees))
        assert trees.pool.ready == 1


async def test_many_at_once_from_a_small_pool(trees: Worktrees, project: Path) -> None:
    base = run(project, "rev-parse", "main")
    async with pooling(trees, 3):
        await filled(trees, 3)
        paths = await asyncio.gather(*(trees.open(f"e{n}", f"epic/e{n}", base) for n in range(12)))
        assert all((path / "a.txt").is_file() for path in paths)
        await asyncio.gather(*(trees.retire(f"e{n}") for n in range(12)))
    listed = run(project, "worktree", "list", "--porcelain")
    assert "prunable" not in listed
    await trees.pool.empty()
    assert run(project, "worktree", "list").count("\n") == 0


async def test_names_of_lanes_that_are_no_names_of_git(trees: Worktrees, project: Path) -> None:
    async with pooling(trees, 2):
        await filled(trees, 2)
        for lane in ("e 1 (ä)", ".hidden"):
            path = await trees.open(lane, "epic/" + lane.strip(".").encode().hex(), "main")
            assert path == trees.path(lane)
            assert run(path, "status", "--porcelain") == ""
        assert [one.broken for one in await trees.list()] == ["", ""]


async def test_an_existing_branch_or_folder_is_not_taken_over(trees: Worktrees, project: Path) -> None:
    run(project, "branch", "epic/auth", commit(project, "Ahead", x="1"))
    run(project, "reset", "-q", "--hard", "main~1")
    async with pooling(trees):
        await filled(trees)
        path = await trees.open("auth", "epic/auth", "main")
        assert (path / "x").exists()
        run(project, "branch", "blocks", "main")
        with pytest.raises(Exception, match="blocks"):
            await trees.open("other", "blocks/other", "main")
        assert not (project / ".worktrees" / "other").exists()
    await trees.pool.empty()
    assert [one.lane for one in await trees.list()] == ["auth"]


async def test_what_a_person_locked_or_is_in_is_left_alone(trees: Worktrees, project: Path) -> None:
    async with pooling(trees, 2):
        await filled(trees, 2)
        locked, visited = sorted(trees.pool.folder.iterdir())
        run(project, "worktree", "unlock", str(locked))
        run(project, "worktree", "lock", "--reason", "mine", str(locked))
        person = await asyncio.create_subprocess_exec("sleep", "60", cwd=visited)
        try:
            trees.pool.expect(0)
            await trees.open("auth", "epic/auth", "main")
        finally:
            here = [locked.is_dir(), visited.is_dir()]
            await trees.pool.empty()
            here += [locked.is_dir(), visited.is_dir()]
            person.kill()
            await person.wait()
        assert all(here)
    run(project, "worktree", "unlock", str(locked))
    await trees.pool.empty()
    assert not trees.pool.folder.exists()


async def test_a_lane_that_a_person_is_in_is_not_used_again(trees: Worktrees) -> None:
    path = await trees.open("auth", "epic/auth", "main")
    inode = (path / "a.txt").stat().st_ino
    person = await asyncio.create_subprocess_exec("sleep", "60", cwd=path / "src")
    try:
        async with pooling(trees):
            await trees.retire("auth")
            await filled(trees)
            path = await trees.open("next", "epic/next", "main")
            assert (path / "a.txt").stat().st_ino != inode
    finally:
        person.kill()
        await person.wait()


@pytest.mark.parametrize("why", ["submodules", "sparse", "small", "off"])
async def test_where_worktrees_are_not_all_alike_there_is_no_pool(
    trees: Worktrees, project: Path, template: Path, why: str
) -> None:
    if why == "submodules":
        shutil.copytree(template, project.parent / "library")
        allow = ("-c", "protocol.file.allow=always")
        run(project, *allow, "submodule", "--quiet", "add", str(project.parent / "library"), "lib")
        commit(project, "Add a library")
    if why == "sparse":
        run(project, "sparse-checkout", "set", "src")
    await trees.open("auth", "epic/auth", "main")
    size = 0 if why == "off" else 2
    async with trees.pool.working(size, "main", least=1000 if why == "small" else 0):
        trees.pool.expect(3)
        await trees.retire("auth")
        await asyncio.sleep(0.1)
        assert not trees.pool.folder.exists()
        assert not trees.pool.closed.exists()


async def test_a_pool_that_fails_costs_only_time(
    trees: Worktrees, project: Path, git_only_path: Callable[[str], None]
) -> None:
    real = shutil.which("git")
    git_only_path(f'case "$*" in *"--detach"*) echo no >&2; exit 1;; esac\nexec {real} "$@"')
    path = await trees.open("auth", "epic/auth", "main")
    write(path, {"left": "1"})
    async with pooling(trees):
        await trees.retire("auth")
        path = await trees.open("next", "epic/next", "main")
        assert (path / "a.txt").exists()
    await trees.pool.empty()
    [kept] = (await trees.repo.refs("refs/yoke/keep/lane/auth/")).values()
    assert run(project, "show", f"{kept}:left") == "1"


_KILLED_AT = (
    "import asyncio, os, signal, sys\nfrom pathlib import Path\nfrom yokeflow.git import repo as r, runner\n"
    "from yokeflow.git.repo import Repo\nfrom yokeflow.git.worktrees import Worktrees\n"
    "left = int(sys.argv[2])\n"
    "def step(*_):\n global left\n left -= 1\n if left < 0: os.kill(os.getpid(), signal.SIGKILL)\n"
    "def hook(event, args):\n"
    " if event in ('os.rename', 'os.remove', 'os.rmdir', 'os.mkdir', 'subprocess.Popen') or (\n"
    "  event == 'open' and isinstance(args[0], str) and '.git' in args[0] and 'w' in str(args[1])): step()\n"
    "async def main():\n"
    " repo = await Repo.discover(Path(sys.argv[1]))\n"
    " trees = Worktrees(repo, repo.worktree_folder('.worktrees'))\n"
    " path = await trees.open('auth', 'epic/auth', 'main')\n"
    " (path / 'left.txt').write_text('precious')\n"
    " async with trees.pool.working(2, 'main', least=0):\n"
    "  sys.addaudithook(hook)\n"
    "  trees.pool.expect(2)\n"
    "  await trees.retire('auth')\n"
    "  while trees.pool.ready < 2: await asyncio.sleep(0.01)\n"
    "  await trees.open('next', 'epic/next', 'main')\n"
    " await trees.pool.empty()\n"
    "asyncio.run(main())\nprint('through')\n"
)


@pytest.mark.parametrize("group", range(3))
async def test_killed_at_any_step_nothing_is_lost_and_nothing_is_left(
    template: Path, tmp_path: Path, group: int
) -> None:
    """Nine of some hundred steps: all of them take minutes."""
    for step in range(3 + 12 * group, 108, 36):
        project = tmp_path / f"project-{step}"
        shutil.copytree(template, project, symlinks=True)
        killed = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _KILLED_AT, str(project), str(step), stdout=asyncio.subprocess.PIPE
        )
        await killed.communicate()
        # Git that outlives its caller ends by itself.
        await until(lambda: not anybody_in(project))  # noqa: B023 - asked before the next one
        await _is_as_it_should_be(project)


async def _is_as_it_should_be(project: Path) -> None:
    repo = await Repo.discover(project)
    trees = Worktrees(repo, repo.worktree_folder(".worktrees"))
    await trees.repair()
    assert await trees.repair() == []
    assert {one.lane for one in await trees.list()} <= {"auth", "next"}
    if (trees.path("auth") / "left.txt").exists():
        await trees.close("auth")
    kept = (await repo.refs("refs/yoke/keep/lane/auth/")).values()
    assert {run(project, "show", f"{one}:left.txt", check=False) for one in kept} == {"precious"}
    path = await trees.open("next", "epic/next", "main")
    assert run(path, "status", "--porcelain", "--ignored") == ""
    assert run(path, "branch", "--show-current") == "epic/next"
    await trees.close("next")
    await trees.close("auth")
    await trees.empty_trash()
    assert not (project / ".worktrees").exists()
    assert run(project, "worktree", "list").count("\n") == 0
    assert run(project, "for-each-ref", "--format=%(refname)", "refs/worktree") == ""
