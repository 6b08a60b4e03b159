"""Run `yoke` to its end, and wait for nothing longer than a person would."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING, Any

from tests.torture.kills import NO_KILL

if TYPE_CHECKING:
    from tests.torture.kills import Kill
    from tests.torture.starting import Started
    from tests.torture.world import World

#: Seconds after which a run counts as one that never ends.
_PATIENCE = 150.0
#: Seconds between looks at what runs.
PAUSE = 0.01


class TortureError(Exception):
    """A promise was broken; the message says which."""


def run(world: World, *args: str, kill: Kill = NO_KILL, beside: bool = False) -> int:
    """The exit code of a command; `beside` others that are going on, which it must not disturb."""
    started, begin = world.start(*args, kill=kill, beside=beside), time.monotonic()
    while started.poll() is None:
        bound(world, started, time.monotonic() - begin)
        time.sleep(PAUSE)
    return started.returncode or 0


def bound(world: World, started: Started, elapsed: float) -> None:
    """Raises TortureError for what never ends."""
    if elapsed < _PATIENCE:
        return
    # The fault handler prints where every thread was.
    started.send_signal(signal.SIGABRT)
    time.sleep(2)
    raise TortureError(f"a run did not end within {_PATIENCE:.0f} s:\n{world.last_log()[-3000:]}")


def told(world: World, *args: str, beside: bool = False) -> Any:
    """What a command says with `--json`; None when it did not work."""
    if run(world, *args, "--json", beside=beside):
        return None
    said = world.last_log()
    starts = [at for at in (said.find("["), said.find("{")) if at >= 0]
    # Warnings stand before and behind it.
    return json.JSONDecoder().raw_decode(said, min(starts))[0] if starts else None
