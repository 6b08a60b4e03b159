"""What somebody is in the middle of in a checkout, and the commands that git itself takes to end it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.git.conftest import commit, run
from yokeflow.git.checkouts import main_checkout

if TYPE_CHECKING:
    from pathlib import Path

    from yokeflow.git.repo import Repo


@pytest.mark.parametrize(
    ("begin", "what"),
    [
        ("merge other", "a merge"),
        ("rebase other", "a rebase"),
        ("rebase --apply other", "a rebase"),
        ("cherry-pick other", "a cherry-pick"),
        ("cherry-pick other~2..other", "a cherry-pick"),
        ("revert HEAD~1", "a revert"),
        ("am -3 ../patch", "a series of patches"),
        ("bisect start HEAD HEAD~1", "a bisection"),
    ],
)
async def test_what_is_in_progress_ends_as_a_person_is_told(
    repo: Repo, project: Path, begin: str, what: str
) -> None:
    run(project, "config", "user.name", "Ada")
    run(project, "config", "user.email", "ada@example.com")
    run(project, "switch", "-q", "-c", "other")
    commit(project, "Theirs", **{"a.txt": "theirs\n"})
    commit(project, "More", **{"a.txt": "more\n"})
    (project.parent / "patch").write_text(run(project, "format-patch", "--stdout", "-1") + "\n")
    run(project, "switch", "-q", "main")
    commit(project, "Ours", **{"a.txt": "ours\n"})
    commit(project, "Ours too", **{"a.txt": "ours too\n"})
    checkout = main_checkout(repo)
    assert checkout
    assert (checkout.in_progress(), checkout.how_to_end()) == ("", "")
    run(project, *begin.split(), check=False)
    assert checkout.in_progress() == what
    *_, last = re.findall(r"`git ([^`]*)`", checkout.how_to_end())
    run(project, *last.split())
    assert checkout.in_progress() == ""
