"""The history of epics that landed as one commit each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.git.conftest import commit, run
from yokeflow.git.made import writer_of
from yokeflow.git.merge import merge_trees
from yokeflow.git.squashed import keep_squashed, squashed, with_history

if TYPE_CHECKING:
    from pathlib import Path

    from yokeflow.git.repo import Repo


def squash(project: Path, branch: str) -> str:
    """Land a branch on main as one commit."""
    run(project, "checkout", "-q", "main")
    run(project, "merge", "-q", "--squash", branch)
    run(project, "commit", "-q", "-m", f"Land {branch}")
    return run(project, "rev-parse", "HEAD")


async def landed_in_two_parts(repo: Repo, project: Path) -> tuple[str, str, str, str]:
    """An epic that landed twice: its first commit and landing, its second commit and landing."""
    run(project, "checkout", "-q", "-b", "epic/a")
    first = commit(project, "One", one="1")
    landing = squash(project, "epic/a")
    await keep_squashed(repo, "a", landing, first)
    run(project, "checkout", "-q", "epic/a")
    second = commit(project, "Two", two="2")
    later = squash(project, "epic/a")
    await keep_squashed(repo, "a", later, second)
    return first, landing, second, later


async def test_what_has_the_landing_gets_its_history_and_nothing_else_does(repo: Repo, project: Path) -> None:
    first, landing, second, later = await landed_in_two_parts(repo, project)
    assert dict(await squashed(repo, {"a"})) == {landing: first, later: second}
    assert await with_history(repo, first, {"a"}) == first
    assert await with_history(repo, landing, {"b"}) == landing
    viewed = await with_history(repo, landing, {"a"})
    assert await repo.is_ancestor(first, viewed)
    assert not await repo.is_ancestor(second, viewed)
    assert await repo.tree_of(viewed) == await repo.tree_of(landing)
    whole = await with_history(repo, later, {"a"})
    assert await repo.is_ancestor(first, whole)
    assert await repo.is_ancestor(second, whole)


async def test_work_that_knows_a_part_of_a_squash_takes_in_the_rest(repo: Repo, project: Path) -> None:
    """Not as something that it had removed."""
    first, *_, later = await landed_in_two_parts(repo, project)
    run(project, "checkout", "-q", "-b", "other", first)
    other = commit(project, "Other", other="3")
    ours = await with_history(repo, later, {"a"})
    merged = await merge_trees(repo, ours, await with_history(repo, other, {"a"}))
    assert merged.tree is not None
    assert {"one", "two", "other"} <= set(run(project, "ls-tree", "--name-only", merged.tree).split())


async def test_a_landing_that_git_has_no_more_is_passed_over(repo: Repo, project: Path) -> None:
    run(project, "checkout", "-q", "-b", "epic/a")
    tip = commit(project, "One", one="1")
    run(project, "update-ref", f"refs/yoke/keep/squashed/a/{'1' * 40}", tip)
    main = run(project, "rev-parse", "main")
    assert await squashed(repo, {"a"}) == []
    assert await with_history(repo, main, {"a"}) == main


def test_lines_that_were_taken_by_name_are_nobodys_own_work() -> None:
    assert writer_of("Take in main\n\nYoke-Task: a.1\nYoke-Conflicts: ours\n") == "yoke"
