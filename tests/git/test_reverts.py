"""Commits taken back without a checkout, and how that is found again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.git.conftest import commit, run
from yokeflow.git.commits import commit_tree
from yokeflow.git.reverts import find_reverts, inverse, positions, take_back

if TYPE_CHECKING:
    from pathlib import Path

    from yokeflow.git.repo import Repo
    from yokeflow.git.reverts import Reverts


def merge(project: Path, name: str, **files: str) -> str:
    """A branch with a commit, merged; gives the merge."""
    run(project, "checkout", "-q", "-b", name)
    commit(project, f"Work of {name}", **files)
    run(project, "checkout", "-q", "main")
    run(project, "merge", "-q", "--no-ff", "-m", f"Land {name}", name)
    return run(project, "rev-parse", "HEAD")


def files(project: Path, tree: str) -> list[str]:
    return run(project, "ls-tree", "-r", "--name-only", tree).split()


async def test_a_merge_is_taken_back_and_what_came_later_stays(repo: Repo, project: Path) -> None:
    one = merge(project, "one", one="1\n", a="a changed\n")
    tip = merge(project, "two", two="2\n")
    before = run(project, "status", "--porcelain")
    taken = await take_back(repo, tip, [one])
    assert taken.tree is not None
    assert files(project, taken.tree) == [".gitignore", "a.txt", "b.txt", "src/c.txt", "two"]
    assert (run(project, "rev-parse", "HEAD"), run(project, "status", "--porcelain")) == (tip, before)


async def test_several_are_taken_back_newest_first(repo: Repo, project: Path) -> None:
    start = run(project, "rev-parse", "HEAD")
    one = merge(project, "one", f="1\n2\n3\n")
    two = merge(project, "two", f="1\ntwo\n3\n")
    taken = await take_back(repo, two, [two, one])
    assert taken.tree == await repo.tree_of(start)


async def test_later_changes_of_the_same_lines_are_in_the_way(repo: Repo, project: Path) -> None:
    one = merge(project, "one", f="1\n")
    tip = commit(project, "Mine", f="mine\n")
    taken = await take_back(repo, tip, [one])
    assert (taken.tree, taken.commit, taken.conflicts) == (None, one, ("f",))


async def test_what_was_taken_back_comes_back_by_a_merge_of_the_inverse(repo: Repo, project: Path) -> None:
    """Where merging the branch again would bring nothing, since git has seen its commits."""
    one = merge(project, "one", f="1\n")
    run(project, "revert", "-m", "1", "--no-edit", one)
    again = await inverse(repo, run(project, "rev-parse", "HEAD"))
    assert await repo.tree_of(again) == await repo.tree_of(one)
    tip = commit(project, "Later", g="g\n")
    taken = await take_back(repo, tip, [run(project, "rev-parse", "HEAD^")])
    assert taken.tree is not None
    assert {"f", "g"} <= set(files(project, taken.tree))


def taker(found: Reverts, commit: str) -> str:
    """The commit that takes another one back now; empty for none."""
    revert = found.of(commit)
    return revert.commit if revert else ""


async def test_reverts_of_reverts_are_followed(repo: Repo, project: Path) -> None:
    one = merge(project, "one", f="1\n")
    run(project, "revert", "-m", "1", "--no-edit", one)
    first = run(project, "rev-parse", "HEAD")
    found = await find_reverts(repo, first)
    assert (taker(found, one), [revert.commit for revert in found]) == (first, [first])
    run(project, "revert", "--no-edit", first)
    second = run(project, "rev-parse", "HEAD")
    found = await find_reverts(repo, second)
    assert found.of(one) is None
    assert taker(found, first) == second
    tree = await repo.tree_of(first)
    third = await commit_tree(repo, tree, [second], f"Undo\n\nYoke-Undoes: {second}\n".encode())
    found = await find_reverts(repo, third)
    assert taker(found, one) == first
    assert [revert.ours for revert in found] == [False, False, True]
    assert [revert.commit for revert in await find_reverts(repo, third, second)] == [third]


async def test_what_an_agent_reverts_is_its_work(repo: Repo, project: Path) -> None:
    one = merge(project, "one", f="1\n")
    message = f"Revert\n\nThis reverts commit {one}.\n\nYoke-Task: x\n"
    tip = await commit_tree(repo, await repo.tree_of(one), [one], message.encode())
    assert list(await find_reverts(repo, tip)) == []


async def test_places_are_counted_from_the_newest(repo: Repo, project: Path) -> None:
    old = run(project, "rev-parse", "HEAD")
    new = commit(project, "New", f="1\n")
    assert await positions(repo, new) == {new: 0, old: 1}
