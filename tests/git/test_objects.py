"""Programs of git that stay open and answer many questions."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.git.conftest import commit, run
from yokeflow.errors import GitError

if TYPE_CHECKING:
    from pathlib import Path

    from yokeflow.git.repo import Repo


def programs() -> list[psutil.Process]:
    """The git programs that this process has open."""
    return [each for each in psutil.Process().children() if each.name() == "git"]


async def test_changed_files_of_many_commits_need_one_process(repo: Repo, project: Path) -> None:
    start = run(project, "rev-parse", "main")
    first = commit(project, "One", **{"ä b": "1", "line\nend of\n": "2"})
    (project / "a.txt").unlink()
    second = commit(project, "Two")
    pairs = [(start, first), (first, second), (second, start), (start, start)]
    alone = [await repo.changed_files(*pair) for pair in pairs]
    async with repo.reading():
        assert [await repo.changed_files(*pair) for pair in pairs] == alone
        assert [each.cmdline()[1] for each in programs()] == ["cat-file", "diff-tree"]
    assert alone == [["line\nend of\n", "ä b"], ["a.txt"], ["a.txt", "line\nend of\n", "ä b"], []]
    assert programs() == []


async def test_many_files_and_many_at_once(repo: Repo, project: Path) -> None:
    start = run(project, "rev-parse", "main")
    names = {f"folder{n % 9}/{'long' * 40}{n}": str(n) for n in range(700)}
    many = commit(project, "Many", **{name.replace("/", "__"): text for name, text in names.items()})
    async with repo.reading():
        answers = await asyncio.gather(*(repo.changed_files(start, many) for _ in range(5)))
        assert all(set(answer) == set(names) for answer in answers)


async def test_a_commit_that_is_nowhere_is_an_error_and_the_next_answer_is_right(
    repo: Repo, project: Path
) -> None:
    start = run(project, "rev-parse", "main")
    async with repo.reading():
        with pytest.raises(GitError):
            await repo.changed_files(start, "1" * 40)
        second = commit(project, "Two", x="1")
        assert await repo.changed_files(start, second) == ["x"]


async def test_a_program_that_dies_is_started_again(repo: Repo, project: Path) -> None:
    start = run(project, "rev-parse", "main")
    second = commit(project, "Two", x="1")
    async with repo.reading():
        await repo.changed_files(start, second)
        for program in programs():
            program.kill()
            program.wait()
        assert await repo.changed_files(start, second) == ["x"]
        assert await repo.resolve("main") == second


async def test_whoever_is_cancelled_leaves_no_answer_to_the_next(repo: Repo, project: Path) -> None:
    start = run(project, "rev-parse", "main")
    second = commit(project, "Two", x="1")
    async with repo.reading():
        for steps in range(12):
            asked = asyncio.ensure_future(repo.changed_files(start, start))
            for _ in range(steps):
                await asyncio.sleep(0)
            asked.cancel()
            with suppress(asyncio.CancelledError):
                await asked
            assert await repo.changed_files(start, second) == ["x"]
            assert await repo.resolve("main~1") == start
