"""What sessions teach later ones, kept only while it helps: the plugin's hooks.

No module of this package may have the name of a hook: importing it would put it in the function's place.
"""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from yokeflow.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    import click

    from yokeflow.config import Config
    from yokeflow.hookspecs import Host
    from yokeflow.model import Attempt, SessionResult

_log = logging.getLogger(__name__)


@hookimpl
def register_migrations() -> Path:
    """The branch `yoke_expertise`."""
    return Path(__file__).parent / "migrations"


@hookimpl
def register_commands() -> Sequence[click.Command]:
    """`yoke expertise`, whose module is imported when commands are asked for."""
    return (import_module("yoke_expertise.command").command,)


@hookimpl
async def begin_run(config: Config, host: Host) -> None:
    """Learn from sessions that earlier runs did not come to, and bring the expertise files up to date."""
    import_module("yoke_expertise.runs").forget(host)
    await _softly("learning", "catch_up", config, host)
    await _softly("revision", "at_start", config, host)


@hookimpl
def recall(attempt: Attempt, config: Config, host: Host) -> Awaitable[Sequence[str]] | Sequence[str]:
    """The lessons that fit the task, without those that are kept back to measure them."""
    lessons: Awaitable[Sequence[str]] | Sequence[str]
    lessons = import_module("yoke_expertise.telling").recall(attempt, config, host)
    return lessons


@hookimpl
async def learn(result: SessionResult, transcript: Path, config: Config, host: Host) -> None:
    """Take what the session teaches, and retire lessons that were found not to help."""
    await import_module("yoke_expertise.learning").learn(result, transcript, config, host)
    await import_module("yoke_expertise.revision").after_session(config, host, result.attempt.session)


async def _softly(module: str, name: str, config: Config, host: Host) -> None:
    """What is not learned or shown must not keep a run from starting."""
    try:
        await getattr(import_module(f"yoke_expertise.{module}"), name)(config, host)
    except Exception as error:  # noqa: BLE001 - `learn` fails softly by the core's promise, this by ours
        _log.warning("expertise is left as it is, since %s failed: %r", name, error)
