"""What sessions cost, and what a run may spend: the plugin's hooks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from yoke_costs.budget import Account
from yokeflow.hookspecs import hookimpl

if TYPE_CHECKING:
    from yokeflow.config import Config
    from yokeflow.events import Event
    from yokeflow.model import Attempt, SessionResult

#: By run, while it goes on.
_accounts: dict[str, Account] = {}


@hookimpl
def reserve_budget(attempt: Attempt, config: Config) -> float | None:
    """Set money aside for a session, as far as the run's budget reaches."""
    if not config.cost.enabled:
        return None
    return _accounts.setdefault(attempt.run, Account()).reserve(attempt.session, config.cost)


@hookimpl
def settle_budget(result: SessionResult) -> None:
    """Count what the session cost instead of what was set aside."""
    account = _accounts.get(result.attempt.run)
    if account is not None:
        account.settle(result.attempt.session, result.report.cost_usd)


@hookimpl
def on_event(event: Event) -> None:
    """Close the account of a run that is over."""
    if event.type == "run.finished":
        _accounts.pop(event.run, None)


@hookimpl
def register_migrations() -> Path:
    """The branch `yoke_costs`."""
    return Path(__file__).parent / "migrations"
