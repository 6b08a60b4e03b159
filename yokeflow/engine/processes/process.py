"""Run one agent or check: feed it, read it without blocking or growing, end it and all it started."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from yokeflow.engine.processes.environment import named_environment, scrubbed_environment, sweep
from yokeflow.engine.processes.nursery import NURSERY, request
from yokeflow.engine.processes.supervised import Supervised, Why
from yokeflow.engine.processes.transcript import TAIL, Lines, Transcript
from yokeflow.engine.secrets.redact import redact_bytes, secret_values

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from yokeflow.model import Launch

__all__ = ["TAIL", "Exit", "Why", "run_process", "scrubbed_environment", "sweep"]

_FILES = 8192


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended."""

    #: The program's own exit code, negative for a signal; 127 when it did not start.
    code: int
    #: `exited` by itself, ended by us for `timeout`, `silence` or as `stopped`, or `unstartable`.
    why: Why
    seconds: float
    #: The last 64 KB of output and errors as text; the reason when unstartable.
    tail: str

    @property
    def ok(self) -> bool:
        """It ended by itself with exit code 0."""
        return self.why == "exited" and self.code == 0


async def run_process(
    launch: Launch,
    *,
    cwd: Path,
    env: Mapping[str, str],
    transcript: Path,
    limit: int = 20_000_000,
    timeout: float | None = None,
    silence: float | None = None,
    grace: float = 10.0,
    mark: tuple[str, str],
    on_line: Callable[[bytes], None] | None = None,
    stop: asyncio.Event | None = None,
    hurry: Callable[[], bool] = lambda: False,
) -> Exit:
    """Run `launch` in `cwd` until nothing that it started is left.

    Its environment is `env` (see `scrubbed_environment`), what `launch` adds, and `mark`. Output
    and errors go to the file `transcript`, without secrets: whole up to `limit` bytes, then a notice and the
    last 64 KB. `on_line` gets the lines of standard output without newline, as they come, cut at 1 MB; after
    `limit` bytes only those of the last megabyte, and of blocks of tiny lines only the last of each block.

    When `stop` is set the program gets its stop signal and `grace` seconds, or a second at most when `hurry`
    says so; the same happens after `timeout` seconds, or `silence` seconds without output. Cancelling the
    call kills at once, and leaves nothing behind either. A program that cannot be started gives an Exit with
    why="unstartable" and the reason in `tail`.

    Raises DiskFullError when the transcript cannot be written, and whatever `on_line` raises, both after
    everything was killed.
    """
    _allow_many_files()
    started = time.monotonic()
    whole_env = {**named_environment(launch.pass_env), **env, **launch.env, mark[0]: mark[1]}
    secrets = secret_values({**os.environ, **whole_env})
    with Transcript(transcript, limit, lambda data: redact_bytes(data, secrets)) as kept:
        try:
            wanted = request(launch.argv, cwd=cwd, env=whole_env, stop_signal=launch.stop_signal, grace=grace)
            child = NURSERY.bear(feed=bool(launch.stdin))
        except (OSError, ValueError) as error:
            return _unstartable(kept, _reason(error), started)
        session = Supervised(child, wanted, kept, mark)
        try:
            session.connect(launch.stdin, Lines(limit, on_line), Lines(limit, None))
            why = await session.watch(timeout, silence, stop)
            if why != "exited":
                await session.end(grace, hurry=hurry())
        finally:
            await session.close()
        tail = kept.close()
        if session.refusal:
            return _unstartable(kept, session.refusal, started)
        return Exit(session.code, why, time.monotonic() - started, tail)


@cache
def _allow_many_files() -> None:
    """Hundreds of sessions need more open files than the customary 1,024: a session takes five."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {os.fsdecode(error.filename)}"
    return str(error)


def _unstartable(kept: Transcript, reason: str, started: float) -> Exit:
    text = f"cannot be started: {reason}"
    kept.write(f"[yoke: {text}]\n".encode(errors="replace"))
    return Exit(127, "unstartable", time.monotonic() - started, text)
