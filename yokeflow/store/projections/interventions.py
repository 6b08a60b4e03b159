"""What waits for a person, and how it was answered."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert

from yokeflow.store.projections.registry import as_uuid, change_item, item_of, on
from yokeflow.store.tables import Intervention, Run, WorkItem

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yokeflow.events import Event

#: What belongs to a question beside its words.
_ABOUT = ("stage", "commits", "kept_ref", "rejected")
#: Kinds on which a task waits that is neither failed nor at work.
_WORDS = {"approval", "question"}

#: The first answer counts.
_RESOLVE = text("""
UPDATE interventions
SET resolved_at = CAST(:at AS timestamptz), choice = CAST(:choice AS text), resolved_by = CAST(:by AS text),
    metadata = metadata || CAST(:more AS jsonb), version = version + 1
WHERE id = CAST(:intervention AS uuid) AND resolved_at IS NULL
""")


@on("intervention.opened")
async def opened(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """Something waits for a person. A task whose session ended with a question is not at work any more."""
    data = event.data
    item = select(WorkItem.id).where(WorkItem.project_id == project, WorkItem.key == item_of(event))
    await conn.execute(
        insert(Intervention)
        .values(
            id=as_uuid(data["intervention"]),
            project_id=project,
            run_id=select(Run.id).where(Run.id == as_uuid(event.run)).scalar_subquery(),
            work_item_id=item.scalar_subquery(),
            kind=data["kind"],
            reason=data.get("reason") or "",
            choices=list(data.get("choices") or ()),
            metadata_json={name: data[name] for name in _ABOUT if data.get(name)},
            opened_at=event.at,
        )
        .on_conflict_do_nothing()
    )
    if event.task and data["kind"] in _WORDS:
        await change_item(conn, project, event.task, "in_progress", status="pending")


@on("intervention.resolved")
async def resolved(conn: AsyncConnection, _project: UUID, event: Event) -> None:
    """A person has answered, or nobody need."""
    data = event.data
    await conn.execute(
        _RESOLVE,
        {
            "intervention": str(as_uuid(data["intervention"])),
            "at": event.at,
            "choice": data.get("choice"),
            "by": data.get("by"),
            "more": json.dumps({"text": data["text"]} if data.get("text") else {}),
        },
    )
