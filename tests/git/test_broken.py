"""Refs that lead to nothing, and those that lead to what is only away."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.git.conftest import run
from yokeflow.git.broken import drop_broken_refs

if TYPE_CHECKING:
    from pathlib import Path

    from yokeflow.git.repo import Repo

REF = "refs/yoke/keep/lost"


@pytest.fixture
def lost(repo: Repo) -> str:
    """A commit that a ref of ours names and that is not there."""
    oid = run(repo.root, "commit-tree", "HEAD^{tree}", "-m", "Lost")
    run(repo.root, "update-ref", REF, oid)
    (repo.common_dir / "objects" / oid[:2] / oid[2:]).unlink()
    return oid


async def test_one_that_leads_to_nothing_is_told_so_that_it_can_be_put_back(repo: Repo, lost: str) -> None:
    (line,) = await drop_broken_refs(repo)
    assert REF in line
    assert lost in line
    assert REF not in await repo.refs("refs/yoke/")


@pytest.mark.parametrize("deep", [False, True])
async def test_none_is_removed_while_borrowed_objects_are_away(
    repo: Repo, lost: str, tmp_path: Path, *, deep: bool
) -> None:
    """As where they are on a disk that is not mounted yet."""
    borrows = repo.common_dir / "objects"
    if deep:
        (tmp_path / "near" / "info").mkdir(parents=True)
        (borrows / "info/alternates").write_text(f"# near\n{tmp_path / 'near'}\n", encoding="utf-8")
        borrows = tmp_path / "near"
    (borrows / "info/alternates").write_text(f"{tmp_path / 'away'}\n", encoding="utf-8")
    assert await drop_broken_refs(repo) == ()
    assert (await repo.refs("refs/yoke/"))[REF] == lost
    (tmp_path / "away").mkdir()
    assert len(await drop_broken_refs(repo)) == 1
