"""Revise expertise at its interval: the store after a session, the checkout when a run starts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from uuid import UUID

from yoke_expertise.checkout import write_files
from yoke_expertise.compile import hold
from yoke_expertise.runs import remembered
from yoke_expertise.upkeep import Left, is_due, revise, until_due
from yokeflow.errors import StoreError, YokeError

if TYPE_CHECKING:
    from yokeflow.config import Config
    from yokeflow.hookspecs import Host

_log = logging.getLogger(__name__)


async def when_due(config: Config, host: Host, session: str = "") -> bool:
    """Validate, prune and compile when it is time; whether it was.

    The store is not asked again before it can be time, as far as this run knows.
    """
    state = remembered(host)
    if not state.may_be_due:
        return False
    async with host.begin() as conn:
        left = await until_due(conn, host.project_id, config)
    if left != Left():
        state.wait(left.seconds, left.sessions)
        return False
    tracked = await host.tracked_files()
    async with host.begin() as conn:
        await hold(conn, host.project_id)
        # Another session may have come first.
        if not await is_due(conn, host.project_id, config):
            return False
        about = UUID(session) if session else None
        done = await revise(conn, host.project_id, config, tracked, session=about)
        left = await until_due(conn, host.project_id, config)
    state.wait(left.seconds, left.sessions)
    host.emit(
        "expertise.revised",
        versions={each.domain: each.version for each in done.versions},
        validated=[str(each.memory.id) for each in done.validated],
        pruned=[str(each.memory.id) for each in done.pruned],
    )
    return True


async def after_session(config: Config, host: Host, session: str) -> None:
    """Revise when the session made it due; the checkout is left alone while the run goes on."""
    remembered(host).session_ended()
    try:
        await when_due(config, host, session)
    except StoreError as error:
        _log.warning("expertise is revised another time: %s", error.message)


async def at_start(config: Config, host: Host) -> None:
    """Revise when due, and show in the checkout what was compiled since the last run.

    Nothing is landing yet, so nothing is in the way. A fault here costs the files, not the run.
    """
    learning = config.learning
    if not learning.enabled or learning.self_improve_interval == "never":
        return
    try:
        await when_due(config, host)
        if not (host.root / ".git").exists():
            return
        async with host.begin() as conn:
            written = await write_files(conn, host.project_id, host.root, learning)
    except StoreError as error:
        _log.warning("expertise is revised another time: %s", error.message)
    except YokeError as error:
        _log.warning("expertise files were not written: %s", error)
    else:
        for each in written:
            if each.state == "edited":
                _log.warning("%s was edited: `yoke expertise import` takes the edits in", each.path)
            elif each.state == "refused":
                _log.warning("expertise files were not written: %s", each.why)
