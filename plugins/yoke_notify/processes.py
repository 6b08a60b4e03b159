"""Short-lived programs: started in a group of their own, and ended with it when they take too long."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from yoke_notify.failure import FailedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PIPE, _NOWHERE = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL


async def run(argv: Sequence[str], stdin: bytes, env: Mapping[str, str], seconds: float) -> None:
    """Run a program to its end. Raises FailedError when it fails or takes too long."""
    name = os.path.basename(argv[0])  # noqa: PTH119 - a word of the settings, maybe no path
    # No variable may hold a zero.
    clean = {key: value.replace("\0", "") for key, value in env.items()}
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=_PIPE,
            stdout=_NOWHERE,
            stderr=_NOWHERE,
            env={**os.environ, **clean},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise FailedError(
            f"{name} could not be started: {getattr(error, 'strerror', None) or error}"
        ) from error
    try:
        await asyncio.wait_for(process.communicate(stdin), seconds)
    except TimeoutError:
        raise FailedError(f"{name} took longer than {seconds:g} s") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode:
        raise FailedError(f"{name} failed with exit code {process.returncode}")
