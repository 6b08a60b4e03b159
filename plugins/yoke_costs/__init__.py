"""What sessions cost, and what may be spent: the plugin's hooks."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from yoke_costs import budget, pricing
from yoke_costs.accounts import Books
from yoke_costs.limits import limits_of
from yokeflow.errors import StoreError
from yokeflow.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence

    import click

    from yokeflow.config import Config
    from yokeflow.events import Event
    from yokeflow.hookspecs import Host
    from yokeflow.model import Attempt, BudgetLeft, Reservation, SessionResult, Usage

#: By run, while it goes on.
_books: dict[str, Books] = {}


@hookimpl
async def begin_run(config: Config, host: Host) -> None:
    """Load what tasks, epics and the day have cost so far, and what sessions usually need."""
    if not config.cost.enabled:
        return
    books = _books[host.run] = Books()
    # Imports SQLAlchemy, which takes long and which nothing else here needs.
    loading = import_module("yoke_costs.loading")
    try:
        async with host.begin() as conn:
            await loading.load(conn, host.project_id, config.cost, books)
    except StoreError:
        # A run's own limits need no history; any other would be passed without it.
        if any(limit.scope != "run" for limit in limits_of(config.cost)):
            raise


@hookimpl
def budget_left(attempt: Attempt, config: Config) -> BudgetLeft | None:
    """The budget of the attempt of which the smallest share is left."""
    return budget.left(_of(attempt), attempt, config.cost) if config.cost.enabled else None


@hookimpl
def reserve_budget(attempt: Attempt, config: Config) -> Reservation | None:
    """Set aside what a session may spend, as far as every budget reaches."""
    return budget.reserve(_of(attempt), attempt, config) if config.cost.enabled else None


@hookimpl
def check_spending(attempt: Attempt, usage: Sequence[Usage], config: Config) -> str | None:
    """Let a session outgrow what was set aside as long as every budget has room."""
    return budget.check(_of(attempt), attempt, usage, config) if config.cost.enabled else None


@hookimpl
def price_usage(usage: Sequence[Usage], config: Config) -> float | None:
    """Dollars by the prices of the config, else by the list."""
    return pricing.price_all(usage, config) if config.cost.enabled else None


@hookimpl
def settle_budget(result: SessionResult, config: Config, host: Host) -> None:
    """Count what the session cost instead of what was set aside."""
    books = _books.get(result.attempt.run)
    if books is not None and config.cost.enabled:
        for mark in budget.settle(books, result, config):
            host.emit("budget.warned", **mark.data())


@hookimpl
def on_event(event: Event) -> None:
    """Count what agents were asked, and close the books of a run that is over."""
    books = _books.get(event.run)
    if books is not None and event.type == "agent.asked":
        budget.count_asked(books, event)
    elif event.type == "run.finished":
        _books.pop(event.run, None)


@hookimpl
def register_commands() -> Sequence[click.Command]:
    """`yoke cost`."""
    # Brings what reads the store, which a run has no use for here.
    return [import_module("yoke_costs.command").command]


@hookimpl
def register_migrations() -> Path:
    """The branch `yoke_costs`."""
    return Path(__file__).parent / "migrations"


def _of(attempt: Attempt) -> Books:
    return _books.setdefault(attempt.run, Books())
