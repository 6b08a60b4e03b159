"""Merges on trial: what they say, what they leave, and what happens when git cannot."""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.git.conftest import commit, run, write
from yokeflow.git.forecast import MOST_FILES, Trial, excerpt, trials

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from yokeflow.git.repo import Repo

CLEAN = Trial()


def branch(folder: Path, name: str, *, start: str = "main", task: str = "", **files: str) -> str:
    """A branch with one commit more than its start."""
    run(folder, "checkout", "-q", "-B", name, start)
    made = commit(folder, f"{name}\n\nYoke-Task: {task}" if task else name, **files)
    run(folder, "checkout", "-q", "main")
    return made


async def merged(repo: Repo, *pairs: tuple[str, str]) -> Sequence[Trial | None]:
    named = [
        (await repo.resolve(ours) or ours, await repo.resolve(theirs) or theirs) for ours, theirs in pairs
    ]
    async with trials(repo, repo.state_dir / "trial") as on_trial:
        return await on_trial.merge(named)


def conflict(*files: str) -> Trial:
    return Trial(files, clean=False)


async def test_every_pair_is_answered_in_its_place(repo: Repo, project: Path) -> None:
    one = branch(project, "one", **{"a.txt": "uno\n"})
    two = branch(project, "two", **{"a.txt": "dos\n", "b.txt": "dos\n"})
    three = branch(project, "three", **{"b.txt": "tres\n"})
    found = await merged(repo, (one, two), (one, three), (two, three), (one, one))
    assert found == [conflict("a.txt"), CLEAN, conflict("b.txt"), CLEAN]
    assert await merged(repo) == []


async def test_names_are_taken_as_they_are(repo: Repo, project: Path) -> None:
    names = ["a\nb.txt", ' "quoted" ', "ümlaut.txt", "-dash", os.fsdecode(b"latin-\xe9.txt")]
    for side in ("one", "two"):
        run(project, "checkout", "-q", "-b", side, "main")
        write(project, dict.fromkeys(names, f"{side}\n"))
        commit(project, side)
    (found,) = await merged(repo, ("one", "two"))
    assert found is not None
    assert sorted(found.files) == sorted(names)


async def test_many_files_are_counted_and_few_are_named(repo: Repo, project: Path) -> None:
    for side in ("one", "two"):
        run(project, "checkout", "-q", "-b", side, "main")
        write(project, {f"d/{'long' * 40}-{number:04}": side for number in range(3000)})
        commit(project, side)
    found = await merged(repo, *[("one", "two")] * 8, ("one", "main"))
    assert found[-1] == CLEAN
    (first,) = set(found[:-1])
    assert first is not None
    assert (len(first.files), first.more) == (MOST_FILES, 3000 - MOST_FILES)


async def test_a_renamed_folder_is_seen(repo: Repo, project: Path) -> None:
    """No path is changed on both sides, so a comparison of paths alone would find nothing."""
    write(project, {f"old/{n}.txt": "".join(f"{n} {i}\n" for i in range(20)) for n in range(4)})
    commit(project, "More")
    run(project, "checkout", "-q", "-b", "moved", "main")
    run(project, "mv", "old", "new")
    commit(project, "Move", **{"new/0.txt": "".join(f"0 {i}\n" for i in range(19)) + "moved\n"})
    run(project, "checkout", "-q", "-b", "changed", "main")
    commit(project, "Change", **{"old/0.txt": "".join(f"0 {i}\n" for i in range(19)) + "changed\n"})
    assert await merged(repo, ("moved", "changed")) == [conflict("new/0.txt")]


async def test_nothing_of_it_stays(repo: Repo, project: Path) -> None:
    one = branch(project, "one", **{"a.txt": "uno\n", "c.txt": "new\n"})
    two = branch(project, "two", **{"a.txt": "dos\n"})

    def everything() -> set[str]:
        return {str(path) for path in (project / ".git").rglob("*")}

    before = everything()
    async with trials(repo, repo.state_dir / "trial") as on_trial:
        assert await on_trial.merge([(one, two)]) == [conflict("a.txt")]
        made = await on_trial.with_parents(one, [two])
        assert await repo.resolve(made) is None
    assert everything() - {str(repo.state_dir)} == before
    # What a killed process left does not stay either.
    (repo.state_dir / "trial" / "ab").mkdir(parents=True)
    assert await merged(repo, ("one", "two")) == [conflict("a.txt")]
    assert everything() - {str(repo.state_dir)} == before


async def test_what_merges_wrote_is_swept_when_it_is_much(
    repo: Repo, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yokeflow.git.forecast._MANY", 2)
    one = branch(project, "one", **{"a.txt": "uno\n"})
    two = branch(project, "two", **{"a.txt": "dos\n"})
    async with trials(repo, repo.state_dir / "trial") as on_trial:
        assert await on_trial.merge([(one, two)]) == [conflict("a.txt")]
        assert not await on_trial.freshen()
        assert await on_trial.merge([(two, one)]) == [conflict("a.txt")]
        assert await on_trial.freshen()
        assert [path.name for path in (repo.state_dir / "trial").iterdir()] == ["info"]
        assert await on_trial.merge([(one, two)]) == [conflict("a.txt")]


async def test_a_pair_that_cannot_be_merged_does_not_hide_the_others(repo: Repo, project: Path) -> None:
    one = branch(project, "one", **{"a.txt": "uno\n"})
    two = branch(project, "two", **{"a.txt": "dos\n"})
    run(project, "checkout", "-q", "--orphan", "stranger")
    stranger = commit(project, "Stranger", **{"a.txt": "strange\n"})
    gone = "0" * 40
    found = await merged(repo, (one, two), (one, stranger), (one, gone), (two, one), (gone, two))
    assert found == [conflict("a.txt"), None, None, conflict("a.txt"), None]
    assert await merged(repo, *[(one, gone)] * 50, (one, two)) == [None] * 51


async def test_git_without_stdin_is_asked_pair_by_pair(
    repo: Repo, project: Path, git_only_path: Callable[[str], None]
) -> None:
    branch(project, "one", **{"a.txt": "uno\n"})
    branch(project, "two", **{"a.txt": "dos\n"})
    git_only_path(
        f'for arg; do if [ "$arg" = --stdin ]; then exit 129; fi; done\nexec {shutil.which("git")} "$@"'
    )
    assert await merged(repo, ("one", "two"), ("one", "main"), ("one", "0" * 40)) == [
        conflict("a.txt"),
        CLEAN,
        None,
    ]


async def test_cancelling_ends_git_and_leaves_nothing(
    repo: Repo, project: Path, tmp_path: Path, git_only_path: Callable[[str], None]
) -> None:
    """A merge that prints without an end and never ends by itself."""
    branch(project, "one", **{"a.txt": "uno\n"})
    branch(project, "two", **{"a.txt": "dos\n"})
    pid = tmp_path / "pid"
    endless = f"echo $$ > {pid}.new; mv {pid}.new {pid}; exec yes conflict"
    git_only_path(
        f'for arg; do if [ "$arg" = merge-tree ]; then {endless}; fi; done\nexec {shutil.which("git")} "$@"'
    )
    task = asyncio.create_task(merged(repo, ("one", "two")))
    while not pid.exists():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not psutil.pid_exists(int(pid.read_text()))
    assert not (repo.state_dir / "trial").exists()


async def test_pairs_without_a_path_in_common_are_merged_where_they_may_conflict(
    repo: Repo, project: Path
) -> None:
    """A file where the other has a folder; a path that both changed to the same is none."""
    one = branch(project, "one", **{"x": "file\n", "a.txt": "same\n"})
    two = branch(project, "two", **{"x/y": "in a folder\n", "a.txt": "same\n"})
    (found,) = await merged(repo, (one, two))
    assert found is not None
    assert not found.clean
    far = branch(project, "far", **{"a.txt": "same\n", "src__c.txt": "far\n"})
    assert await merged(repo, (one, far), (far, two), (far, "main")) == [CLEAN] * 3


async def test_a_pair_is_merged_only_where_that_may_tell_something(
    repo: Repo, project: Path, tmp_path: Path, git_only_path: Callable[[str], None]
) -> None:
    tips = [branch(project, f"b{n}", **{f"new-{n}.txt": "new\n"}) for n in range(4)]
    asked = tmp_path / "asked"
    git_only_path(f'echo "$@" >> {asked}\nexec {shutil.which("git")} "$@"')
    async with trials(repo, repo.state_dir / "trial") as on_trial:
        assert await on_trial.merge([(tips[0], other) for other in tips[1:]]) == [CLEAN] * 3
    assert "diff-tree" in asked.read_text()
    assert "merge-tree" not in asked.read_text()


async def test_work_that_was_handed_over_is_no_conflict(repo: Repo, project: Path) -> None:
    """The second epic builds on the first and changes the same lines further."""
    first = branch(project, "first", **{"a.txt": "uno\n"})
    second = branch(project, "second", start="first", **{"a.txt": "uno dos\n"})
    assert await merged(repo, (first, second)) == [CLEAN]


async def test_history_of_a_squashed_landing_tells_what_is_known_already(repo: Repo, project: Path) -> None:
    """The first epic landed as one commit; the second was built on its own commits, a third on the target."""
    first = branch(project, "first", **{"a.txt": "uno\n", "new.txt": "1\n2\n3\n"})
    second = branch(project, "second", start="first", **{"new.txt": "1\n2\n3 second\n"})
    run(project, "checkout", "-q", "main")
    run(project, "merge", "-q", "--squash", "first")
    landed = commit(project, "Land first")
    third = branch(project, "third", **{"b.txt": "tres\n"})
    assert await merged(repo, (second, landed), (second, third)) == [conflict("new.txt")] * 2
    async with trials(repo, repo.state_dir / "trial") as on_trial:
        target = await on_trial.with_parents(landed, [first])
        other = await on_trial.with_parents(third, [first])
        assert await on_trial.merge([(second, target), (second, other), (other, target)]) == [CLEAN] * 3


async def test_what_the_target_took_back_conflicts_with_what_was_built_on_it(
    repo: Repo, project: Path
) -> None:
    """Both ends of the target are the same, so only what happened in between tells."""
    old = branch(project, "old", **{"b.txt": "old\n"})
    commit(project, "Land", **{"a.txt": "uno\n"})
    built = branch(project, "built", **{"a.txt": "uno dos\n"})
    run(project, "revert", "--no-edit", "HEAD")
    fresh = branch(project, "fresh", **{"c.txt": "new\n"})
    target = run(project, "rev-parse", "main")
    async with trials(repo, repo.state_dir / "trial") as on_trial:
        pairs = [(built, target), (built, fresh), (old, target), (old, fresh)]
        expected = [conflict("a.txt"), conflict("a.txt"), CLEAN, CLEAN]
        assert await on_trial.merge(pairs, target) == expected
        assert await on_trial.merge(pairs, target) == expected


async def test_tasks_whose_commits_changed_the_files(repo: Repo, project: Path) -> None:
    branch(project, "one", task="one.a", **{"a.txt": "1\n"})
    branch(project, "one", start="one", task="one.b", **{"b.txt": "1\n"})
    one = branch(project, "one", start="one", task="one.c", **{"a.txt": "2\n", "*": "glob\n"})
    async with trials(repo, repo.state_dir / "trial") as on_trial:
        assert await on_trial.authors(one, "main", ["a.txt"], "Yoke-Task") == ["one.c", "one.a"]
        assert await on_trial.authors(one, "main", ["*"], "Yoke-Task") == ["one.c"]
        assert await on_trial.authors("main", one, ["a.txt"], "Yoke-Task") == []


async def test_an_excerpt_names_files_and_hunks_and_is_short(repo: Repo, project: Path) -> None:
    lines = "".join(f"def f{n}():\n    return {n}\n\n" for n in range(2000))
    write(project, {"code.py": lines})
    commit(project, "Code")
    ours = branch(project, "ours", **{"b.txt": "ours\n"})
    theirs = branch(project, "theirs", **{"code.py": lines.replace("return 2", "return 3")})
    told = await excerpt(repo, theirs, ours, ["code.py", "b.txt"], limit=300)
    assert told.startswith("code.py\n@@ -8 +8 @@ def f2():\n")
    assert "b.txt" not in told
    assert told.endswith("\n…")
    assert len(told) <= 302
    assert await excerpt(repo, ours, theirs, ["b.txt"]) == "b.txt\n@@ -1 +1 @@"
