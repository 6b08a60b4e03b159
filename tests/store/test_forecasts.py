"""Forecasts of conflicts and hot files, as the store keeps them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from yokeflow.store.forecasts import Forecast, conflict_files, open_forecasts
from yokeflow.store.projection import apply
from yokeflow.store.status import status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from yokeflow.events import Event

Told = tuple[list[Forecast], dict[str, int], dict[str, Any]]


@pytest.fixture
def tell(store, project):
    """Apply events; what is open then, conflicts by file, and the public object."""

    async def tell(*events: Event) -> Told:
        async with store.begin() as conn:
            await apply(conn, project, events)
            files = {each.path: each.conflicts for each in await conflict_files(conn, project)}
            return await open_forecasts(conn, project), files, await status(conn, project)

    return tell


async def test_a_forecast_opens_changes_and_goes(story, tell: Callable[..., Awaitable[Told]]) -> None:
    def found(files: list[str], new: list[str], tasks: dict[str, list[str]]) -> Event:
        more = {"with_epic": "e2", "target": "main", "more": 0, "new": new}
        event: Event = story.epic_event("forecast.conflicted", "e1", files=files, tasks=tasks, **more)
        return event

    first = found(["a", "b"], ["a", "b"], {"e1": ["1a"], "e2": ["2a"]})
    opened, files, shown = await tell(first)
    assert opened == [Forecast("e1", "e2", "main", ("a", "b"), 0, {"e1": ("1a",), "e2": ("2a",)})]
    assert files == {"a": 1, "b": 1}
    assert shown["forecasts"] == [
        {
            "epics": ["e1", "e2"],
            "target": None,
            "files": ["a", "b"],
            "more": 0,
            "tasks": {"e1": ["1a"], "e2": ["2a"]},
            "since": shown["forecasts"][0]["since"],
            "meaning": "e1 and e2 do not merge: whichever lands second will conflict",
        }
    ]
    assert shown["interventions"] == []
    opened, files, _ = await tell(found(["a", "c"], ["c"], {}), first)
    assert [each.files for each in opened] == [("a", "c")]
    assert files == {"a": 1, "b": 1, "c": 1}
    opened, _, shown = await tell(
        story.epic_event("forecast.cleared", "e1", with_epic="e2", target="main", files=["a", "c"])
    )
    assert (opened, shown["forecasts"]) == ([], [])
    opened, files, shown = await tell(found(["a"], ["a"], {}))
    assert [each.files for each in opened] == [("a",)]
    assert files["a"] == 2
    assert shown["hot_files"] == []


async def test_files_that_often_conflict_are_hot(story, tell: Callable[..., Awaitable[Told]]) -> None:
    long = "x" * 5000
    opened, files, shown = await tell(
        story.epic_event(
            "forecast.conflicted", "e1", with_epic="e2", target="main", files=["a"], new=["a", long], tasks={}
        ),
        story.epic_event(
            "forecast.conflicted", "e2", with_epic="", target="main", files=["a"], new=["a"], tasks={}
        ),
        story.epic_event("landing.queued", "e2"),
        story.epic_event("landing.conflicted", "e2", files=["a", "b"], with_commit="c" * 40),
        story.epic_event("handover.conflicted", "e2", with_epic="e1", files=["a"]),
    )
    assert files == {"a": 3, "b": 1}
    assert shown["hot_files"] == [{"path": "a", "conflicts": 3}]
    assert [each.pair for each in opened] == [("e1", "e2"), ("e2", "")]
    (_, target) = shown["forecasts"]
    assert (target["epics"], target["target"]) == (["e2"], "main")
    assert target["meaning"] == "e2 does not merge into main as it is now: its landing will conflict"
