"""A lane comes back to a known commit, whatever an agent made of it, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.git.conftest import commit, run, write
from yokeflow.errors import RepositoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from yokeflow.git.worktrees import Worktrees


@pytest.fixture
async def lane(trees: Worktrees) -> Path:
    """A lane with one commit of an agent on top of main."""
    path = await trees.open("a", "epic/a", "main")
    commit(path, "Agent", a="agent\n")
    return path


def switch_branch(lane: Path) -> None:
    run(lane, "checkout", "-q", "-b", "elsewhere")
    commit(lane, "Elsewhere", precious="1")


def detach(lane: Path) -> None:
    run(lane, "checkout", "-q", "--detach")
    commit(lane, "Detached", precious="1")


def orphan(lane: Path) -> None:
    run(lane, "checkout", "-q", "--orphan", "alone")
    write(lane, {"precious": "1"})


def merge_in_progress(lane: Path) -> None:
    run(lane, "checkout", "-q", "-b", "other", "main")
    write(lane, {"a.txt": "other\n"})
    commit(lane, "Other", precious="1")
    run(lane, "checkout", "-q", "epic/a")
    write(lane, {"a.txt": "mine\n"})
    commit(lane, "Mine")
    run(lane, "merge", "other", check=False)
    assert run(lane, "ls-files", "-u")


def rebase_in_progress(lane: Path) -> None:
    run(lane, "checkout", "-q", "-b", "other", "main")
    write(lane, {"a.txt": "other\n"})
    commit(lane, "Other")
    run(lane, "checkout", "-q", "epic/a")
    write(lane, {"a.txt": "mine\n", "precious": "1"})
    commit(lane, "Mine")
    run(lane, "rebase", "other", check=False)
    assert "rebase" in run(lane, "status")


def bisect_in_progress(lane: Path) -> None:
    write(lane, {"precious": "1"})
    run(lane, "bisect", "start")
    run(lane, "bisect", "bad")


def leave_locks(lane: Path) -> None:
    write(lane, {"precious": "1"})
    git_dir = Path(run(lane, "rev-parse", "--absolute-git-dir"))
    (git_dir / "index.lock").touch()
    (git_dir / "HEAD.lock").touch()
    (git_dir / "../../refs/heads/epic/a.lock").touch()


def delete_link(lane: Path) -> None:
    write(lane, {"precious": "1"})
    (lane / ".git").unlink()


def link_becomes_a_repository(lane: Path) -> None:
    (lane / ".git").unlink()
    write(lane, {"precious": "1"})
    run(lane, "init", "-q")


def damage_index(lane: Path) -> None:
    write(lane, {"precious": "1"})
    git_dir = Path(run(lane, "rev-parse", "--absolute-git-dir"))
    (git_dir / "index").write_bytes(b"rubbish")


def nest(lane: Path) -> None:
    (lane / "inner").mkdir()
    run(lane / "inner", "init", "-q")
    write(lane, {"precious": "1"})
    commit(lane / "inner", "Inner", x="1")


def take_away_rights(lane: Path) -> None:
    write(lane, {"precious": "1", "src/new": "2"})
    (lane / "a.txt").unlink()
    for name in ("precious", "src/c.txt", "src/new", "b.txt"):
        (lane / name).chmod(0)
    (lane / "src").chmod(0o500)


def hide(lane: Path) -> None:
    write(lane, {"b.txt": "hidden\n", "precious": "1"})
    run(lane, "update-index", "--assume-unchanged", "b.txt")


def delete_admin(lane: Path) -> None:
    write(lane, {"precious": "1"})
    shutil.rmtree(run(lane, "rev-parse", "--absolute-git-dir"))


def admin(lane: Path) -> Path:
    return Path(run(lane, "rev-parse", "--absolute-git-dir"))


def rubbish_in_head(lane: Path) -> None:
    write(lane, {"precious": "1"})
    (admin(lane) / "HEAD").write_text("rubbish\n")


def rubbish_in_commondir(lane: Path) -> None:
    write(lane, {"precious": "1"})
    (admin(lane) / "commondir").write_text("rubbish\n")


def rubbish_in_gitdir(lane: Path) -> None:
    write(lane, {"precious": "1"})
    (admin(lane) / "gitdir").write_text("rubbish\n")


def nothing_in_gitdir(lane: Path) -> None:
    write(lane, {"precious": "1"})
    folder = admin(lane)
    (folder / "gitdir").write_text("")
    (folder / "yoke-lane").unlink()
    (lane / ".git").unlink()


def delete_commondir(lane: Path) -> None:
    write(lane, {"precious": "1"})
    (admin(lane) / "commondir").unlink()


def empty_admin(lane: Path) -> None:
    write(lane, {"precious": "1"})
    folder = admin(lane)
    shutil.rmtree(folder)
    folder.mkdir()


def folders_in_admin(lane: Path) -> None:
    write(lane, {"precious": "1"})
    folder = admin(lane)
    for name in ("HEAD.lock", "index"):
        (folder / name).unlink(missing_ok=True)
        write(folder, {f"{name}/x": "1"})


def take_elsewhere(lane: Path) -> None:
    write(lane, {"precious": "1"})
    run(lane, "worktree", "move", str(lane), str(lane.parent.parent.parent / "moved"))


def files_become_folders(lane: Path) -> None:
    (lane / "a.txt").unlink()
    write(lane, {"a.txt/deep": "1", "precious": "1"})
    shutil.rmtree(lane / "src")
    (lane / "src").symlink_to("/etc")


MESSES: list[Callable[[Path], None]] = [
    switch_branch, detach, orphan, merge_in_progress, rebase_in_progress, bisect_in_progress, leave_locks,
    delete_link, link_becomes_a_repository, damage_index, nest, take_away_rights, hide, delete_admin,
    take_elsewhere, files_become_folders, rubbish_in_head, rubbish_in_commondir, rubbish_in_gitdir,
    nothing_in_gitdir, delete_commondir, empty_admin, folders_in_admin,
]  # fmt: skip


def assert_is_at(lane: Path, project: Path, tip: str) -> None:
    assert run(lane, "branch", "--show-current") == "epic/a"
    assert run(project, "rev-parse", "epic/a") == run(lane, "rev-parse", "HEAD") == tip
    assert "clean" in run(lane, "status")
    assert "in progress" not in run(lane, "status")
    assert run(lane, "status", "--porcelain") == ""
    assert (lane / "b.txt").read_text() == "two\n"
    assert (lane / "src" / "c.txt").read_text() == "three\n"
    assert Path(run(lane, "rev-parse", "--path-format=absolute", "--git-common-dir")) == project / ".git"


def reachable(project: Path, path: str) -> bool:
    """Whether some ref reaches a commit that has the file."""
    return bool(run(project, "log", "--all", "-1", "--format=%H", "--", path))


@pytest.mark.parametrize("mess", MESSES, ids=lambda mess: mess.__name__)
async def test_reset_brings_a_lane_back(
    trees: Worktrees, lane: Path, project: Path, mess: Callable[[Path], None]
) -> None:
    start = run(project, "rev-parse", "main")
    tip = run(lane, "rev-parse", "HEAD")
    mess(lane)
    await trees.reset(lane, "epic/a", start)
    assert_is_at(lane, project, start)
    assert not (lane / "precious").exists()
    assert reachable(project, "precious")
    assert run(project, "for-each-ref", "--contains", tip)
    assert run(project, "status", "--porcelain") == ""


@pytest.mark.parametrize("mess", MESSES, ids=lambda mess: mess.__name__)
async def test_open_gives_a_lane_that_works(
    trees: Worktrees, lane: Path, project: Path, mess: Callable[[Path], None]
) -> None:
    mess(lane)
    assert await trees.open("a", "epic/a", "main") == lane
    assert run(lane, "branch", "--show-current") == "epic/a"
    assert "in progress" not in run(lane, "status")
    assert reachable(project, "precious") or (lane / "precious").exists()
    await trees.reset(lane, "epic/a", "main")
    assert reachable(project, "precious")


@pytest.mark.parametrize("mess", MESSES, ids=lambda mess: mess.__name__)
async def test_repair_and_other_lanes_stand_any_mess(
    trees: Worktrees, lane: Path, project: Path, mess: Callable[[Path], None]
) -> None:
    mess(lane)
    other = await trees.open("b", "epic/b", "main")
    assert run(other, "status", "--porcelain") == ""
    await trees.repair()
    await trees.reset(lane, "epic/a", "main")
    assert_is_at(lane, project, run(project, "rev-parse", "main"))
    assert reachable(project, "precious")
    await trees.clean("main", ["epic/"])
    assert run(project, "worktree", "list").count("\n") == 0


async def test_what_was_at_head_is_known_without_head(trees: Worktrees, lane: Path, project: Path) -> None:
    run(lane, "checkout", "-q", "--detach")
    lost = commit(lane, "On no branch", x="1")
    rubbish_in_head(lane)
    await trees.reset(lane, "epic/a", "main")
    assert run(project, "for-each-ref", "--contains", lost)


@pytest.fixture
def immutable() -> Iterator[Callable[[Path], None]]:
    """Make things that not even their owner may delete, until the test ends."""
    made: list[int] = []

    def attribute(sign: str, number: int) -> bool:
        # By then it may be somewhere else.
        command = ["chattr", f"{sign}i", str(Path(f"/proc/self/fd/{number}").readlink())]
        return not subprocess.run(command, capture_output=True, check=False).returncode

    def make(path: Path) -> None:
        number = os.open(path, os.O_RDONLY)
        made.append(number)
        if not attribute("+", number):
            pytest.skip("nothing can be made immutable here")

    yield make
    for number in made:
        attribute("-", number)
        os.close(number)


@pytest.mark.parametrize("name", ["a.txt", "precious", ".git", "cache.log"])
async def test_a_file_that_nobody_may_delete(
    trees: Worktrees, lane: Path, project: Path, immutable: Callable[[Path], None], name: str
) -> None:
    start = run(project, "rev-parse", "main")
    write(lane, {"a.txt": "edited\n", "precious": "1", "cache.log": "warm"})
    immutable(lane / name)
    await trees.reset(lane, "epic/a", start)
    assert_is_at(lane, project, start)
    assert reachable(project, "precious")
    await trees.close("a")
    await trees.empty_trash()
    left = [path.name for path in (project / ".worktrees").rglob("*") if path.is_file()]
    assert left == [name]
    assert not trees.path("a").exists()


async def test_checks_may_leave_a_file_that_nobody_may_delete(
    trees: Worktrees, project: Path, immutable: Callable[[Path], None]
) -> None:
    first = run(project, "rev-parse", "main")
    path = await trees.scratch.open(first)
    write(path, {"left": "1"})
    immutable(path / "left")
    assert await trees.scratch.open(first) == path
    assert run(path, "status", "--porcelain") == ""
    (admin(path) / "HEAD").write_text("rubbish\n")
    await trees.scratch.open(first)
    assert run(path, "rev-parse", "HEAD") == first
    await trees.scratch.close()
    assert await trees.empty_trash() > 0
    assert run(project, "worktree", "list").count("\n") == 0


async def test_a_lane_that_nobody_may_move_is_named(
    trees: Worktrees, lane: Path, project: Path, immutable: Callable[[Path], None]
) -> None:
    (admin(lane) / "HEAD").write_text("rubbish\n")
    immutable(lane)
    with pytest.raises(RepositoryError, match="cannot be moved away") as caught:
        await trees.reset(lane, "epic/a", "main")
    assert "remove that folder yourself" in caught.value.hint
    assert await trees.repair()


async def test_reset_when_the_folder_is_gone(trees: Worktrees, lane: Path, project: Path) -> None:
    start = run(project, "rev-parse", "main")
    run(lane, "checkout", "-q", "--detach")
    lost = commit(lane, "On no branch", x="1")
    shutil.rmtree(lane)
    await trees.reset(lane, "epic/a", start)
    assert_is_at(lane, project, start)
    assert run(project, "for-each-ref", "--contains", lost)


async def test_reset_never_follows_a_link_out_of_the_lane(
    trees: Worktrees, lane: Path, project: Path, tmp_path: Path
) -> None:
    start = run(project, "rev-parse", "main")
    outside = tmp_path / "outside"
    write(outside, {"a.txt": "mine", "mine": "mine"})
    shutil.rmtree(lane)
    lane.symlink_to(outside)
    await trees.reset(lane, "epic/a", start)
    assert_is_at(lane, project, start)
    assert {path.name for path in outside.iterdir()} == {"a.txt", "mine"}
    assert (outside / "a.txt").read_text() == "mine"


async def test_ignored_files_stay(trees: Worktrees, lane: Path) -> None:
    write(lane, {"cache.log": "warm", "left": "1"})
    await trees.reset(lane, "epic/a", "main")
    assert (lane / "cache.log").exists()
    assert not (lane / "left").exists()


async def test_a_lane_that_is_back_already_is_left_alone(trees: Worktrees, lane: Path, project: Path) -> None:
    tip = run(lane, "rev-parse", "HEAD")
    stamp = (lane / "a.txt").stat().st_mtime_ns
    await trees.reset(lane, "epic/a", tip)
    stamped = await trees.repo.stamp("main", tip, {"Yoke-Task": "t"})
    await trees.reset(lane, "epic/a", stamped)
    assert_is_at(lane, project, stamped)
    assert (lane / "a.txt").stat().st_mtime_ns == stamp
    assert await trees.repo.refs("refs/yoke/keep/") == {}


async def test_adopt_takes_over_another_branch(trees: Worktrees, lane: Path, project: Path) -> None:
    base, before = run(project, "rev-parse", "main"), {"main", "epic/a", "theirs"}
    run(project, "branch", "theirs")
    run(lane, "checkout", "-q", "-b", "feature/mine")
    tip = commit(lane, "Work", x="1")
    write(lane, {"left": "1"})
    assert await trees.adopt(lane, "epic/a", base, before) == tip
    assert run(lane, "branch", "--show-current") == "epic/a"
    assert run(project, "rev-parse", "epic/a") == tip
    assert run(lane, "status", "--porcelain") == "?? left"
    assert await trees.repo.branch("feature/mine") is None
    run(lane, "checkout", "-q", "theirs")
    tip = commit(lane, "More", y="1")
    assert await trees.adopt(lane, "epic/a", base, before) == tip
    assert await trees.repo.branch("theirs") == tip


async def test_adopt_takes_over_a_detached_head(trees: Worktrees, lane: Path, project: Path) -> None:
    base = run(project, "rev-parse", "main")
    old = run(lane, "rev-parse", "HEAD")
    run(lane, "checkout", "-q", "--detach", "main")
    tip = commit(lane, "Other work", x="1")
    assert await trees.adopt(lane, "epic/a", base, set()) == tip
    assert run(lane, "branch", "--show-current") == "epic/a"
    assert await trees.repo.is_kept(old)


async def test_adopt_on_its_own_branch_changes_nothing(trees: Worktrees, lane: Path) -> None:
    tip = run(lane, "rev-parse", "HEAD")
    assert await trees.adopt(lane, "epic/a", "main", set()) == tip


async def test_work_is_collected_past_the_locks_of_a_killed_git(
    trees: Worktrees, lane: Path, project: Path
) -> None:
    base = run(project, "rev-parse", "main")
    leave_locks(lane)
    assert await trees.adopt(lane, "epic/a", base, set())
    done = await trees.repo.commit_all(lane, "Work", {})
    assert run(project, "rev-parse", "epic/a") == done
    assert run(project, "show", f"{done}:precious") == "1"


async def test_adopt_refuses_what_does_not_build_on_the_start(
    trees: Worktrees, lane: Path, project: Path
) -> None:
    tip = run(lane, "rev-parse", "HEAD")
    run(lane, "checkout", "-q", "--orphan", "alone")
    commit(lane, "From nothing")
    assert await trees.adopt(lane, "epic/a", run(project, "rev-parse", "main"), set()) is None
    assert await trees.repo.branch("epic/a") == tip
    shutil.rmtree(lane)
    shutil.rmtree(project / ".git" / "worktrees" / "a")
    assert await trees.adopt(lane, "epic/a", "main", set()) is None
