"""What to do about conflicts where nobody knows better: what `landing.conflicts` says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.hookspecs import hookimpl
from yokeflow.model import ConflictDecision

if TYPE_CHECKING:
    from yokeflow.config import Config


@hookimpl
def resolve_conflict(config: Config) -> ConflictDecision:
    """Ask a person, let `landing.conflict_agent` try, or wait, for every conflict alike."""
    return ConflictDecision(config.landing.conflicts, config.landing.conflict_agent)
