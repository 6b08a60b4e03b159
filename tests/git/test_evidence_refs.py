"""What git alone can tell of how a landing was tested."""

from __future__ import annotations

import asyncio
import subprocess
from typing import TYPE_CHECKING

from tests.git.conftest import commit, run
from yokeflow.git import evidence
from yokeflow.git.evidence import Evidence, Proof

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from yokeflow.git.repo import Repo

GREEN = Proof("passed", "0123456789abcdef", 1.5, "make test: all")
SHAKY = Proof("flaky", "0123456789abcdef", 0.25, "pytest -q 'a b'")


async def test_evidence_is_read_back_by_commit(repo: Repo, project: Path) -> None:
    one, two = run(project, "rev-parse", "HEAD"), commit(project, "More", x="x")
    tree = await repo.tree_of(one)
    await evidence.attach(repo, one, tree, [GREEN, SHAKY])
    assert await evidence.read(repo) == {one: Evidence(tree, (GREEN, SHAKY))}
    assert await evidence.read(repo, two) == {}


async def test_the_commit_itself_stays_as_it_was_tested(repo: Repo, project: Path) -> None:
    before = run(project, "rev-parse", "HEAD")
    await evidence.attach(repo, before, await repo.tree_of(before), [GREEN])
    assert (
        run(project, "rev-parse", "HEAD", f"{evidence.EVIDENCE}{before}^{{commit}}").split() == [before] * 2
    )
    assert run(project, "tag") == ""


async def test_git_shows_evidence_without_us(repo: Repo, project: Path) -> None:
    head = run(project, "rev-parse", "HEAD")
    tree = await repo.tree_of(head)
    await evidence.attach(repo, head, tree, [SHAKY])
    shown = run(project, "show", "--no-patch", f"{evidence.EVIDENCE}{head}")
    assert f"Yoke-Checks: {tree}=flaky" in shown
    assert "Yoke-Check: flaky 0123456789abcdef 0.250s pytest -q 'a b'" in shown
    run(project, "fsck", "--strict")


async def test_evidence_that_comes_at_once_or_later_is_joined(repo: Repo, project: Path) -> None:
    head = run(project, "rev-parse", "HEAD")
    tree = await repo.tree_of(head)
    proofs = [Proof("passed", "e", 1.0, f"check {number}") for number in range(4)]
    await asyncio.gather(*(evidence.attach(repo, head, tree, [proof]) for proof in proofs))
    await evidence.attach(repo, head, tree, proofs[:1])
    found = (await evidence.read(repo))[head].proofs
    assert sorted(proof.command for proof in found) == [proof.command for proof in proofs]


async def test_a_tag_that_a_garbage_collection_takes_is_written_again(
    repo: Repo, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = run(project, "rev-parse", "HEAD")
    move = repo.update_ref
    taken: list[Path] = []

    async def late(ref: str, new: str, old: str | None, message: str) -> None:
        if not taken:
            taken.append(repo.common_dir / "objects" / new[:2] / new[2:])
            taken[0].unlink()
        await move(ref, new, old, message)

    monkeypatch.setattr(repo, "update_ref", late)
    await evidence.attach(repo, head, await repo.tree_of(head), [GREEN])
    assert taken
    assert (await evidence.read(repo))[head].proofs == (GREEN,)


async def test_a_garbage_collection_has_nothing_to_say_about_evidence(repo: Repo, project: Path) -> None:
    head = run(project, "rev-parse", "HEAD")
    await evidence.attach(repo, head, await repo.tree_of(head), [GREEN])
    collect = ["git", "gc", "--quiet"]
    done = subprocess.run(collect, cwd=project, check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert list(await evidence.read(repo)) == [head]


async def test_a_landing_without_checks_leaves_no_ref(repo: Repo, project: Path) -> None:
    head = run(project, "rev-parse", "HEAD")
    await evidence.attach(repo, head, await repo.tree_of(head), [])
    assert await repo.refs("refs/yoke/") == {}
