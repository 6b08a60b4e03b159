"""What there is to undo, and what there is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.engine.undo.undoing import Undo
from yokeflow.errors import YokeError

if TYPE_CHECKING:
    from yokeflow.engine.undo.choice import Undoing


async def chosen(workshop: Workshop, what: str) -> list[str]:
    """The epics that would be undone."""
    found: list[str] = []
    project = await workshop.project()

    def refuse(undoing: Undoing) -> bool:
        found.extend(undoing.epics)
        return False

    await Undo(project, project.load_plan(), by="x").execute(what, refuse)
    return found


async def test_what_a_person_had_brought_to_the_target_is_no_landing_to_undo(workshop: Workshop) -> None:
    """It landed without a commit of its own, beside one that has one, then alone."""
    first, second = epic("first", task("first.a")), epic("second", task("second.a"))
    third = epic("third", task("third.a"))
    workshop.write("first.a.txt", "in the way\n")
    workshop.plan(first)
    assert [waiting.kind for waiting in (await workshop.run()).waiting] == ["checkout"]
    (workshop.root / "first.a.txt").unlink()
    workshop.git("merge", "-q", "epic/first")
    workshop.plan(first, second)
    run = (await workshop.run()).run
    workshop.write("third.a.txt", "in the way\n")
    workshop.plan(first, second, third)
    await workshop.run()
    (workshop.root / "third.a.txt").unlink()
    workshop.git("merge", "-q", "epic/third")
    alone = (await workshop.run()).run
    for name in ("", "last", run):
        assert await chosen(workshop, name) == ["second"]
    for name in ("first", "third", alone):
        with pytest.raises(YokeError, match="was on main before it landed: no commit of its own"):
            await chosen(workshop, name)
