"""A whole plugin: every check that applies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from yokeflow.testing.additions import (
    check_agents,
    check_commands,
    check_config_section,
    check_migrations,
)
from yokeflow.testing.asked import Asked
from yokeflow.testing.conflicts import check_conflicts
from yokeflow.testing.decisions import check_model_selection, check_order, check_profiles, check_resolver
from yokeflow.testing.lessons import (
    check_begin_preview,
    check_begin_run,
    check_learn,
    check_listener,
    check_recall,
)
from yokeflow.testing.money import check_budget, check_pricing
from yokeflow.testing.notices import check_notify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from yokeflow.config import AgentOptions, Config

#: By hook, those that need neither a database nor anything else.
_PLAIN: dict[str, Callable[[object, Config | None], None]] = {
    "resolve_dependencies": check_resolver,
    "order_ready": check_order,
    "select_profile": check_profiles,
    "select_model": check_model_selection,
    "price_usage": check_pricing,
    "notify": check_notify,
    "on_event": check_listener,
}
#: Those that are made with a database and without one.
_LENT: dict[str, Callable[..., None]] = {
    "begin_preview": check_begin_preview,
    "begin_run": check_begin_run,
    "reserve_budget": check_budget,
    "recall": check_recall,
    "resolve_conflict": check_conflicts,
    "learn": check_learn,
}
#: Those about what a plugin adds.
_ADDED: dict[str, Callable[[object], None]] = {
    "register_config": check_config_section,
    "register_commands": check_commands,
}


def check_plugin(
    plugin: object,
    config: Config | None = None,
    *,
    database_url: str | None = None,
    agents: Mapping[str, AgentOptions] | None = None,
) -> tuple[str, ...]:
    """Make every check that applies; gives the hooks that were checked, sorted.

    `database_url` is the address of a database with the plugin's tables (`temporary_database(plugin)`);
    without it migrations are not checked, and the others without the store. `agents` are options by kind.
    Raises AssertionError with the promise that was broken.
    """
    asked = Asked(plugin, config)
    done = []
    for hook, check in _PLAIN.items():
        if asked.has(hook):
            check(plugin, config)
            done.append(hook)
    for hook, lent in _LENT.items():
        if asked.has(hook):
            # A budget is checked with limits of the check's own unless the test has some.
            lent(plugin, config, database_url=database_url)
            done.append(hook)
    for hook, added in _ADDED.items():
        if asked.has(hook):
            added(plugin)
            done.append(hook)
    if asked.has("register_agents"):
        check_agents(plugin, agents)
        done.append("register_agents")
    if asked.has("register_migrations") and database_url is not None:
        check_migrations(plugin, database_url)
        done.append("register_migrations")
    return tuple(sorted(done))
