"""The state of a project as the plan, git and the journal tell it, without any store."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from yokeflow.engine.facts.rebuild import facts_of, history_of, plan_of
from yokeflow.engine.project import Project
from yokeflow.model import Strength
from yokeflow.store.fold import blank_item, fold, of_plan
from yokeflow.store.rebuild import Known

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from yokeflow.events import Event
    from yokeflow.git.repo import Repo
    from yokeflow.model import Epic, Plan, Task
    from yokeflow.store.rebuild import Lost


@dataclass(frozen=True, slots=True)
class Told:
    """A state, and the seconds since the newest thing it knows."""

    state: dict[str, Any]
    age: float


async def of_git(repo: Repo, journal: Sequence[Event]) -> Told | None:
    """What the plan and git say, then what the journal still holds; None when neither has anything to say.

    Raises DocumentError for settings that are wrong, RepositoryError when there is no target branch.
    """
    project = await Project.open(repo.root)
    plan = plan_of(project)
    facts = await facts_of(project, plan, await history_of(project), Known())
    events = [*facts.events(), *journal]
    if not events:
        return None
    blank = of_plan(plan, project.name)
    blank["items"] += _unplanned(facts.items(), plan)
    state = fold(blank, events, needs=needs_of(plan))
    # What is not in the plan counts only where it is finished, as in the store.
    planned = plan.ids if plan else frozenset[str]()
    items = [item for item in state["items"] if item["id"] in planned or item["status"] == "completed"]
    newest = max(event.at for event in events)
    return Told({**state, "items": items}, max((datetime.now(UTC) - newest).total_seconds(), 0.0))


def _unplanned(items: Mapping[str, Lost], plan: Plan | None) -> list[dict[str, Any]]:
    """Items that git knows and the plan does not have, every task below its epic."""
    planned = plan.ids if plan else frozenset[str]()
    lost = [item for key, item in items.items() if key not in planned]
    blank = [*(item for item in lost if item.is_epic), *(item for item in lost if not item.is_epic)]
    return [
        blank_item(item.key, "epic" if item.is_epic else "task", item.epic or None, item.title or item.key)
        for item in blank
    ]


def needs_of(plan: Plan | None) -> dict[str, list[str]]:
    """Hard predecessors of every item."""
    needs: defaultdict[str, list[str]] = defaultdict(list)
    items: tuple[Epic | Task, ...] = (*plan.epics, *plan.tasks.values()) if plan else ()
    for item in items:
        needs[item.id] += [edge.predecessor for edge in item.depends_on if edge.strength is Strength.HARD]
    return needs
