"""The roles in which agents work: the plugin's hooks."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yoke_profiles.choose import choose
from yokeflow.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yokeflow.config import Config, ProfileOptions
    from yokeflow.hookspecs import Host
    from yokeflow.model import Plan, Profile, Task


class _Memory:
    """What was found in the store, beside the config that it was found for."""

    config: Config | None = None
    profiles: Mapping[str, ProfileOptions]

    def keep(self, config: Config, profiles: Mapping[str, ProfileOptions]) -> None:
        """From now on these are the profiles where this config holds."""
        self.config, self.profiles = config, profiles

    def of(self, config: Config) -> Mapping[str, ProfileOptions]:
        """All that is known; the config's own profiles where the store was not asked."""
        return self.profiles if config is self.config else config.agents.profiles


_memory = _Memory()


@hookimpl
def register_migrations() -> Path:
    """The branch `yoke_profiles`."""
    return Path(__file__).parent / "migrations"


@hookimpl
async def begin_run(plan: Plan, config: Config, host: Host) -> None:
    """Copy the config's profiles into the store, add those of the store, and find one for every task."""
    async with host.begin() as conn:
        await _stored().copy(conn, host.project_id, config.agents.profiles)
        profiles = await _stored().known(conn, host.project_id, config.agents.profiles)
    _memory.keep(config, profiles)
    import_module("yokeflow.plan.roles").roles(plan, lambda task: choose(task, 1, profiles))


@hookimpl
async def begin_preview(config: Config, host: Host) -> None:
    """Add the profiles of the store."""
    async with host.begin() as conn:
        _memory.keep(config, await _stored().known(conn, host.project_id, config.agents.profiles))


@hookimpl
def select_profile(task: Task, number: int, config: Config) -> Profile | None:
    """By the task's `profile`, its `needs`, its category, its files; then who takes over after failures."""
    return choose(task, number, _memory.of(config))


def _stored() -> Any:
    """Imported when it is needed, since it takes SQLAlchemy."""
    return import_module("yoke_profiles.stored")
