"""A small program around every agent and check: whatever they start ends with them, and they end with us.

    python -I -S supervisor.py PARENT_PID STATUS_FD STOP_SIGNAL GRACE LC_CTYPE PROGRAM ARGUMENT...

It is a child subreaper, so daemons, double forks and new sessions stay its descendants. SIGTERM asks the
program to stop with STOP_SIGNAL and kills all of it after GRACE seconds; SIGHUP, which the kernel also sends
when the parent dies, kills at once. STATUS_FD gets one line: the exit code, negative for a signal, or `!` and
why the program did not start; its end of file means that nothing is left. Standard library only, and little
of it: this starts before every agent. Where there is no prctl (not Linux) it kills the process group.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LINUX = sys.platform == "linux"


def _prctl(option: int, value: int) -> None:
    if _LINUX:
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _start(argv: list[str], status: int, locale: str) -> int:
    me = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != me:
            os._exit(1)
        os.setpgid(0, 0)
        # Python sets this one where no locale is set.
        os.environ.pop("LC_CTYPE", None)
        if locale:
            os.environ["LC_CTYPE"] = locale
        # Python ignores these two, and what is ignored stays ignored in the program.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        os.execvp(argv[0], argv)  # noqa: S606 - a shell is what we keep out
    except OSError as error:
        os.write(status, f"!{error.strerror}: {argv[0]}\n".encode(errors="replace"))
    finally:
        os._exit(127)


def _descendants() -> list[int]:
    """All that come from us, parents before their children; nothing where there is no /proc."""
    families: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if _LINUX else ():  # noqa: PTH208 - pathlib costs start time
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - as above
                # The name of the program, in parentheses, may hold anything.
                parent = int(file.read().rpartition(b")")[2].split()[1])
                families.setdefault(parent, []).append(int(name))
    found = list(families.get(os.getpid(), ()))
    for pid in found:  # the list grows while it is walked
        found += families.get(pid, ())
    return found


def _kill_all(group: int) -> None:
    """One round; processes that fork meanwhile need another."""
    with contextlib.suppress(OSError):
        os.killpg(group, signal.SIGKILL)
    for pid in _descendants():
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def _reap(agent: int, code: int | None) -> tuple[int | None, bool]:
    """Bury the dead; tell how the agent ended, once it has, and whether any child is left."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code, False
        if pid == 0:
            return code, True
        if pid == agent:
            code = os.waitstatus_to_exitcode(status)


def _watch(agent: int, wake: int, stop_signal: int, grace: float) -> int:
    """Wait until nothing is left; the agent's exit code."""
    code: int | None = None
    deadline: float | None = None
    killing = False
    while True:
        code, left = _reap(agent, code)
        if not left:
            return code if code is not None else 127
        if killing or code is not None or (deadline is not None and time.monotonic() >= deadline):
            killing = True
            _kill_all(agent)
        pause = 0.02 if killing else None if deadline is None else max(0.0, deadline - time.monotonic())
        received = os.read(wake, 512) if select.select([wake], [], [], pause)[0] else b""
        killing = killing or signal.SIGHUP in received
        if signal.SIGTERM in received and deadline is None:
            deadline = time.monotonic() + grace
            if code is None:  # not yet reaped above, so the number is still its own
                os.kill(agent, stop_signal)
                os.kill(agent, signal.SIGCONT)


def main() -> None:
    """Run the program of the command line."""
    parent, status, stop_signal, grace = (
        int(sys.argv[1]),
        int(sys.argv[2]),
        int(sys.argv[3]),
        float(sys.argv[4]),
    )
    os.set_inheritable(status, False)
    wake, signalled = os.pipe()
    os.set_blocking(signalled, False)
    signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGHUP)
    if os.getppid() != parent:  # it died before the kernel knew that we care
        os._exit(1)
    agent = _start(sys.argv[6:], status, sys.argv[5])
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # ours would keep the agent's pipes open
        os.dup2(null, stream)
    code = _watch(agent, wake, stop_signal, grace)
    with contextlib.suppress(OSError):
        os.write(status, f"{code}\n".encode())
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
