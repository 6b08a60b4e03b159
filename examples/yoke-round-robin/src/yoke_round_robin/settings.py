"""What a project may say about turns."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from yokeflow.config import Section


class RoundRobin(Section):
    """Epics take turns."""

    enabled: bool = True
    """False leaves the order to other plugins."""
    first: tuple[str, ...] = ()
    """Ids of epics that take their turn before the others, in this order."""
    tasks: Annotated[int, Field(ge=1)] = 1
    """Tasks of an epic in one turn."""
