"""Runs and their batches."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import text, update
from sqlalchemy.dialects.postgresql import insert

from yokeflow.store.projections.registry import as_uuid, commit, on
from yokeflow.store.tables import Run

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncConnection

    from yokeflow.events import Event

#: Numbers the batches of a run from 1 and keeps the starting order inside each; unknown tasks are left out.
_INSERT_BATCHES = text("""
WITH wanted AS (
    SELECT number, tasks
    FROM jsonb_array_elements(CAST(:batches AS jsonb)) WITH ORDINALITY AS batch(tasks, number)
), made AS (
    INSERT INTO parallel_batches (project_id, run_id, number)
    SELECT CAST(:project AS uuid), CAST(:run AS uuid), number FROM wanted
    ON CONFLICT (run_id, number) DO NOTHING
    RETURNING id, number
)
INSERT INTO parallel_batch_items (batch_id, work_item_id, position)
SELECT made.id, item.id, task.place - 1
FROM made
JOIN wanted USING (number)
CROSS JOIN LATERAL jsonb_array_elements_text(wanted.tasks) WITH ORDINALITY AS task(key, place)
JOIN work_items item ON item.project_id = CAST(:project AS uuid) AND item.key = task.key
ON CONFLICT DO NOTHING
""")


@on("run.started")
async def started(conn: AsyncConnection, project: UUID, event: Event) -> None:
    """A project has one run at a time, so an earlier one that never ended was interrupted."""
    run, data = as_uuid(event.run), event.data
    await conn.execute(
        update(Run)
        .where(Run.project_id == project, Run.state.in_(("running", "paused")), Run.id != run)
        .values(state="interrupted", finished_at=event.at)
    )
    await conn.execute(
        insert(Run)
        .values(
            id=run,
            project_id=project,
            target=data.get("target") or "",
            target_commit=commit(data, "target_commit"),
            strategy=data.get("strategy") or "",
            concurrency=data.get("concurrency") or 1,
            pid=data.get("pid"),
            host=data.get("host") or "",
            critical_path=data.get("critical_path") or [],
            options=data.get("options") or {},
            started_at=event.at,
        )
        .on_conflict_do_nothing()
    )
    batches = json.dumps(data.get("batches") or [])
    await conn.execute(_INSERT_BATCHES, {"project": str(project), "run": str(run), "batches": batches})


@on("run.paused", "run.continued")
async def paused_or_continued(conn: AsyncConnection, _project: UUID, event: Event) -> None:
    """Only a run that has not ended can be paused or go on."""
    state = "paused" if event.type == "run.paused" else "running"
    await conn.execute(
        update(Run)
        .where(Run.id == as_uuid(event.run), Run.state.in_(("running", "paused")))
        .values(state=state)
    )


@on("run.finished")
async def finished(conn: AsyncConnection, _project: UUID, event: Event) -> None:
    """Close the run."""
    await conn.execute(
        update(Run)
        .where(Run.id == as_uuid(event.run))
        .values(
            state=event.data["state"],
            exit_code=event.data.get("exit_code"),
            reason=event.data.get("reason") or "",
            finished_at=event.at,
        )
    )
