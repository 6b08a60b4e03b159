"""Merging without a checkout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.git.conftest import commit, run, write
from yokeflow.errors import GitError, RepositoryError
from yokeflow.git.merge import commit_merge, merge_trees
from yokeflow.git.repo import Repo

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def sides(project: Path) -> tuple[str, str]:
    """A commit on main and one on a branch that does not conflict with it."""
    run(project, "checkout", "-q", "-b", "epic/a")
    theirs = commit(project, "Theirs", x="1")
    run(project, "checkout", "-q", "main")
    return commit(project, "Ours", y="1"), theirs


async def test_a_clean_merge_is_a_tree(repo: Repo, project: Path, sides: tuple[str, str]) -> None:
    write(project, {"a.txt": "user is editing"})
    before = run(project, "status", "--porcelain"), run(project, "for-each-ref")
    merged = await merge_trees(repo, *sides)
    assert merged.conflicts == ()
    assert merged.tree
    names = run(project, "ls-tree", "-r", "--name-only", str(merged.tree)).split()
    assert {"x", "y"} <= set(names)
    commit_ = await commit_merge(repo, *sides, "Join\n\nYoke-Epic: a\n", tree=merged.tree)
    last = (await repo.commits(sides[0], commit_))[-1]
    assert run(project, "log", "-1", "--format=%P|%T|%s", commit_) == (
        f"{sides[0]} {sides[1]}|{merged.tree}|Join"
    )
    assert last.trailers == {"Yoke-Epic": ["a"]}
    assert (run(project, "status", "--porcelain"), run(project, "for-each-ref")) == before


async def test_squash_leaves_the_other_parent_out(repo: Repo, project: Path, sides: tuple[str, str]) -> None:
    tree = (await merge_trees(repo, *sides)).tree
    assert tree
    squashed = await commit_merge(repo, *sides, "Squash", tree=tree, squash=True)
    assert run(project, "log", "-1", "--format=%P", squashed) == sides[0]
    assert run(project, "show", f"{squashed}:x") == "1"


async def test_conflicts_are_named(repo: Repo, project: Path) -> None:
    strange = "dir/with\nnew line ü"
    run(project, "checkout", "-q", "-b", "epic/a")
    write(project, {"a.txt": "theirs\n", strange: "theirs"})
    theirs = commit(project, "Theirs", clean="1")
    run(project, "checkout", "-q", "main")
    write(project, {"a.txt": "ours\n", strange: "ours"})
    ours = commit(project, "Ours")
    merged = await merge_trees(repo, ours, theirs)
    assert merged.tree is None
    assert set(merged.conflicts) == {"a.txt", strange}
    assert "CONFLICT (content): Merge conflict in a.txt" in merged.output


async def test_a_shallow_clone_merges_when_the_base_is_inside(
    project: Path, tmp_path: Path, sides: tuple[str, str]
) -> None:
    run(tmp_path, "clone", "-q", "--depth=2", "--no-single-branch", f"file://{project}", "shallow")
    repo = await Repo.discover(tmp_path / "shallow")
    assert (await merge_trees(repo, *sides)).tree


async def test_too_shallow_says_how_to_go_on(project: Path, tmp_path: Path, sides: tuple[str, str]) -> None:
    run(tmp_path, "clone", "-q", "--depth=1", "--no-single-branch", f"file://{project}", "shallow")
    repo = await Repo.discover(tmp_path / "shallow")
    with pytest.raises(RepositoryError, match="no common history") as caught:
        await merge_trees(repo, *sides)
    assert "git fetch --unshallow" in caught.value.hint


async def test_a_commit_that_is_missing_is_an_error(repo: Repo) -> None:
    with pytest.raises(GitError):
        await merge_trees(repo, "main", "0" * 39 + "1")


async def test_a_bare_repository_merges(project: Path, tmp_path: Path, sides: tuple[str, str]) -> None:
    run(tmp_path, "clone", "-q", "--bare", "project", "bare.git")
    repo = await Repo.discover(tmp_path / "bare.git")
    tree = (await merge_trees(repo, *sides)).tree
    assert tree
    joined = await commit_merge(repo, *sides, "Join", tree=tree)
    assert run(tmp_path / "bare.git", "show", f"{joined}:x") == "1"


async def test_a_user_who_signs_and_has_no_identity(
    repo: Repo, project: Path, git_home: Path, sides: tuple[str, str]
) -> None:
    (git_home / ".gitconfig").write_text("[commit]\n\tgpgSign = true\n[gpg]\n\tprogram = /bin/false\n")
    joined = await commit_merge(repo, *sides, "Join", tree=await repo.tree_of("main"))
    assert run(project, "log", "-1", "--format=%cn", joined) == "YokeFlow"
