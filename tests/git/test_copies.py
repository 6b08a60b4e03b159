"""What a landing wrote outlives a garbage collection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.git.conftest import commit, run
from yokeflow.engine.landing.copies import Copies
from yokeflow.engine.landing.queue import Member

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from yokeflow.git.repo import Repo


def member(project: Path, name: str) -> Member:
    """An epic that is merged onto the first commit."""
    old = run(project, "rev-parse", "main")
    run(project, "switch", "-q", "-c", name, "main")
    tip = commit(project, name, **{name: name})
    run(project, "switch", "-q", "--detach", "main")
    run(project, "merge", "-q", "--no-ff", "-m", f"Land {name}", name)
    made = run(project, "rev-parse", "HEAD")
    return Member(name, (), tip, old, run(project, "rev-parse", "HEAD^{tree}"), made)


async def test_a_landing_is_written_again_while_another_passes_its_checks(
    repo: Repo, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(project, "config", "user.name", "Ada")
    run(project, "config", "user.email", "ada@example.com")
    first, second = member(project, "first"), member(project, "second")
    copies, look = Copies(repo), repo.object
    await copies.take([first])
    (repo.common_dir / "objects" / first.commit[:2] / first.commit[2:]).unlink()
    passed: list[Member] = []

    async def late(name: str) -> str | None:
        if not passed:
            passed.append(second)
            await copies.take([second])
        return await look(name)

    monkeypatch.setattr(repo, "object", late)
    await copies.restore()
    assert passed
    assert run(project, "rev-parse", f"{first.commit}^{{tree}}") == first.tree
