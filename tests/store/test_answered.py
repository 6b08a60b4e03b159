"""What was asked and answered, found again by what a person types."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.store.conftest import Story
from yokeflow.store.answered import SHORTEST_ID, last_answer
from yokeflow.store.projection import apply

if TYPE_CHECKING:
    from uuid import UUID

    from yokeflow.store.connection import Store


@pytest.mark.parametrize(("letters", "found"), [(SHORTEST_ID, True), (SHORTEST_ID - 1, False)])
async def test_an_answer_is_found_by_as_few_letters_as_its_question_was(
    store: Store, project: UUID, story: Story, letters: int, found: bool
) -> None:
    asked = str(uuid4())
    given = {"intervention": asked, "choice": "answer", "by": "ada"}
    events = [
        story.started(),
        story.task_event("intervention.opened", "1a", intervention=asked, kind="question", reason="?"),
        story.task_event("intervention.resolved", "1a", **given),
    ]
    async with store.begin() as conn:
        await apply(conn, project, events)
        answer = await last_answer(conn, project, asked[:letters])
    assert (answer is not None) == found
