"""Starts `yoke` by forking a process that has loaded everything: most of a short run is loading.

Reads JSON lines `{argv, cwd, env, log}`; answers `+ PID` to each, and `- PID CODE` when it has ended.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import select
import signal
import sys
from typing import Any

import sitecustomize  # type: ignore[import-not-found] # beside this file, and found by PYTHONPATH

_LOADED = (
    *("yokeflow.__main__", "yokeflow.cli.running", "yokeflow.cli.report", "yokeflow.cli.live"),
    *(
        "yokeflow.engine.run",
        "yokeflow.engine.people.control",
        "yokeflow.store.status",
        "yokeflow.store.alembic_runner",
    ),
    *("sqlalchemy.dialects.postgresql.asyncpg", "yoke_resolver", "yoke_models", "yoke_costs"),
    *("yoke_expertise", "yoke_agents", "yoke_profiles"),
)


def _become(asked: dict[str, Any]) -> int:
    """Be a run as if it had just been started; its exit code."""
    os.setsid()
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(null)
    sys.argv = ["yoke", *asked["argv"]]
    sitecustomize.begin()
    main = importlib.import_module("yokeflow.__main__").main
    return int(main())


def _fork(asked: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 3
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        code = _become(asked)
    except KeyboardInterrupt:
        code = 130
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def _bury() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        _say(f"- {pid} {os.waitstatus_to_exitcode(status)}")


def main() -> None:
    """Fork until standard input ends."""
    for name in _LOADED:
        importlib.import_module(name)
    wake, signalled = os.pipe()
    os.set_blocking(signalled, False)
    signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        ready, _, _ = select.select((0, wake), (), ())
        if wake in ready:
            os.read(wake, 4096)
            _bury()
        if 0 in ready:
            line = sys.stdin.buffer.readline()
            if not line:
                return
            _say(f"+ {_fork(json.loads(line))}")


if __name__ == "__main__":
    main()
