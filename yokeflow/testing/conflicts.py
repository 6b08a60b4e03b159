"""What plugins promise that say what is to be done about conflicts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from yokeflow.engine.decisions import answers
from yokeflow.model import Conflict, OtherCommit
from yokeflow.testing.asked import Asked, run, valid
from yokeflow.testing.host import TestHost, host
from yokeflow.testing.samples import sample_plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yokeflow.config import Config

_SAID = "CONFLICT (content): Merge conflict in src/app.py"


def conflicts() -> Iterator[Conflict]:
    """One with another epic, one with a person's commit, one of unrelated histories that was tried before."""
    plan = sample_plan()
    shop, docs = plan.epic["shop"], plan.epic["docs"]
    one = Conflict(
        epic=shop,
        tasks=shop.tasks,
        branch="epic/shop",
        tip="1" * 40,
        target="main",
        target_commit="2" * 40,
        base="3" * 40,
        files=("src/app.py",),
        messages=_SAID,
        others=(OtherCommit("4" * 40, "Do docs.one", "docs", "docs.one"),),
        other_tasks=docs.tasks[:1],
        other_epics=(docs,),
    )
    yield one
    person = OtherCommit("5" * 40, "Hurry")
    yield replace(one, others=(person,), other_tasks=(), other_epics=())
    yield replace(one, base="", files=("a b.txt", "ü.bin"), messages="", others=(), tries=9)


def check_conflicts(plugin: object, config: Config | None = None, *, database_url: str | None = None) -> None:
    """Check `resolve_conflict`: a ConflictDecision or None for every conflict."""
    asked = Asked(plugin, config)
    asked.needs("resolve_conflict")

    async def check() -> None:
        async with host(database_url) as lent:
            for each in conflicts():
                await _check(asked, lent, each)

    run(check())


async def _check(asked: Asked, lent: TestHost, conflict: Conflict) -> None:
    answer = await asked.wait("resolve_conflict", conflict=conflict, host=lent)
    valid(answer, answers.conflict, "resolve_conflict")
