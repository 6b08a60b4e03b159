"""What a landing wrote outlives a garbage collection."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.git.conftest import commit, run
from yokeflow.engine.landing.copies import Copies
from yokeflow.git.merge import commit_merge, merge_trees

if TYPE_CHECKING:
    from pathlib import Path

    from yokeflow.git.repo import Repo


@pytest.mark.parametrize("many", [3, 1400])
async def test_what_was_written_for_a_merge_is_written_again(repo: Repo, project: Path, many: int) -> None:
    """The commit, its trees and the file that has both sides; nothing that was there before."""
    for number in range(many):
        (project / f"{number}.txt").write_text(f"{number}\n")
    (project / "deep").mkdir()
    (project / "deep/both.txt").write_text("".join(f"{line}\n" for line in range(20)))
    run(project, "add", "-A")
    run(project, "commit", "-qm", "Files")
    run(project, "switch", "-q", "-c", "other")
    (project / "deep/both.txt").write_text("".join(f"{line}\n" for line in range(19)))
    theirs = commit(project, "Theirs", x="1")
    run(project, "switch", "-q", "main")
    (project / "deep/both.txt").write_text("".join(f"{line}\n" for line in range(1, 20)))
    ours = commit(project, "Ours", y="1")
    time.sleep(0.05)
    since = time.time()
    merged = await merge_trees(repo, ours, theirs)
    assert merged.tree
    made = await commit_merge(repo, ours, theirs, "Merge", tree=merged.tree)
    new = run(project, "rev-list", "--objects", "--no-object-names", made, f"^{ours}", f"^{theirs}").split()
    assert len(new) == 4
    copies = Copies(repo)
    copies.take([made], since)
    run(project, "prune", "--expire=now")
    assert await repo.resolve(made) is None
    await copies.restore()
    run(project, "update-ref", "refs/heads/main", made)
    assert run(project, "fsck", "--full", "--no-dangling") == ""
    assert {oid for oid in new if (project / ".git/objects" / oid[:2] / oid[2:]).is_file()} == set(new)
