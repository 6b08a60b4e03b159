"""The handlers by type of event, and what most of them need."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, UUID, uuid5

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from yokeflow.events import Event
from yokeflow.store.tables import WorkItem

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Changes the tables of a project by one event. It runs once for an event, in the transaction that stores it.
Handler = Callable[[AsyncConnection, UUID, Event], Awaitable[None]]

_HANDLERS: dict[str, list[Handler]] = defaultdict(list)
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def on(*types: str) -> Callable[[Handler], Handler]:
    """Have a function called for events of these types, after those that were there before it."""

    def add(handler: Handler) -> Handler:
        for type_ in types:
            _HANDLERS[type_].append(handler)
        return handler

    return add


def handlers(type_: str) -> tuple[Handler, ...]:
    """The functions for a type of event; none for an unknown one."""
    return tuple(_HANDLERS.get(type_, ()))


def item_of(event: Event) -> str:
    """Key of the work item that an event is about."""
    return event.task or event.epic


def as_uuid(text: str) -> UUID:
    """An id as events spell it; a text that is no UUID gets one of its own, always the same."""
    try:
        return UUID(text)
    except ValueError:
        return uuid5(NAMESPACE_OID, text)


def commit(data: Mapping[str, Any], name: str = "commit") -> str | None:
    """An object id in full, or None where there is none."""
    value = data.get(name)
    return value if isinstance(value, str) and _COMMIT.fullmatch(value) else None


async def change_item(
    conn: AsyncConnection, project: UUID, key: str, *only_from: str, **values: object
) -> None:
    """Set columns of one work item and raise its version; `only_from` are statuses it must have."""
    statement = update(WorkItem).where(WorkItem.project_id == project, WorkItem.key == key)
    if only_from:
        statement = statement.where(WorkItem.status.in_(only_from))
    await conn.execute(statement.values(version=WorkItem.version + 1, **values))
