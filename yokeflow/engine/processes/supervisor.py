"""The nursery, and its supervisors: whatever an agent or check starts ends with it, and they end with us.

    python -I -S -E supervisor.py PARENT_PID <SOCKET

The nursery is there because starting Python costs ten times as much as forking it. For each byte on its
socket it forks a supervisor, with the descriptors that came along: a socket of its own, then input, output
and errors of its program. It ends when its socket or its parent does.

A supervisor reads on its socket what to run, and after that orders: `T` to stop the program, by force after a
while, and `K` to kill all of it at once. The latter it does by itself when the orchestrator, and so the
socket, or the nursery ends. It answers two lines: its process id, and the exit code, negative for a signal,
or `!` and why the program did not start. The end of file means that nothing is left. It is a child subreaper,
so daemons, double forks and new sessions stay its descendants; where there is no prctl (not Linux) it kills
the process group.

Standard library only, and little of it: the first agent waits for this to start.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import sys
import time

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LINUX = sys.platform == "linux"
_LIBC = ctypes.CDLL(None)
#: Signals that Python code of ours handles, which must not happen between fork and exec of a program.
_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Python ignores these two, and what is ignored stays ignored in a program.
_IGNORED = (signal.SIGPIPE, signal.SIGXFSZ)


def _prctl(option: int, value: int) -> None:
    if _LINUX:
        _LIBC.prctl(option, value, 0, 0, 0)


class _Program:
    """What to run, as `yokeflow.engine.processes.nursery.request` writes it."""

    def __init__(self, request: bytes) -> None:
        stop_signal, grace, self._folder, count, *words = request.split(b"\0")
        self.stop_signal = int(stop_signal)
        self.grace = float(grace)
        self._argv = words[: int(count)]
        self._environment = words[int(count) :]

    def start(self, status: int, streams: list[int]) -> int:
        """Its process id; why it does not start goes to `status`."""
        me = os.getpid()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
        pid = os.fork()
        if pid:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            return pid
        try:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != me:
                os._exit(1)
            os.setpgid(0, 0)
            for each in (*_HANDLED, *_IGNORED):
                signal.signal(each, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
            self._become(status)
        finally:
            os._exit(127)

    def _become(self, status: int) -> None:
        subject = self._folder
        try:
            os.chdir(subject)
            subject = self._argv[0]
            env = dict(entry.split(b"=", 1) for entry in self._environment)
            os.execvpe(subject, self._argv, env)  # noqa: S606 - a shell is what we keep out
        except OSError as error:
            os.write(status, b"!%s: %s\n" % ((error.strerror or "").encode(), subject))


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


class _Orders:
    """What we are told, by our socket and by signals."""

    def __init__(self, status: int) -> None:
        self._wake, signalled = os.pipe()
        os.set_blocking(signalled, False)
        signal.set_wakeup_fd(signalled, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        self._sources = [self._wake, status]

    def next(self, pause: float | None) -> bytes:
        """Orders of the next `pause` seconds; empty when one of our children ended, too."""
        orders = b""
        for source in select.select(self._sources, [], [], pause)[0]:
            said = _read(source)
            if source == self._wake:
                orders += b"K" if said.translate(None, bytes([signal.SIGCHLD])) else b""
            elif said:
                orders += said
            else:
                self._sources.remove(source)
                orders += b"K"
        return orders


def _read(source: int) -> bytes:
    try:
        return os.read(source, 512)
    except ConnectionError:
        return b""


def _watch(agent: int, orders: _Orders, program: _Program) -> int:
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
        told = orders.next(pause)
        killing = killing or b"K" in told
        if b"T" in told and deadline is None:
            deadline = time.monotonic() + program.grace
            if code is None:  # not yet reaped above, so the number is still its own
                os.kill(agent, program.stop_signal)
                os.kill(agent, signal.SIGCONT)


def _request(status: int) -> bytes:
    """What we are asked for; nothing when nobody wants it any more."""
    with socket.socket(fileno=os.dup(status)) as asked:
        size = int.from_bytes(asked.recv(4, socket.MSG_WAITALL), "big")
        request = asked.recv(size, socket.MSG_WAITALL)
    return request if len(request) == size else b""


def _supervise(nursery: int, status: int, streams: list[int]) -> None:
    """Run one program."""
    os.dup2(1, 0)  # else the nursery's socket would outlive it
    os.setsid()
    orders = _Orders(status)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGHUP)
    request = _request(status)
    if os.getppid() != nursery or not request:  # it died before the kernel knew that we care
        return
    os.write(status, b"%d\n" % os.getpid())
    program = _Program(request)
    agent = program.start(status, streams)
    for stream in streams:  # these would keep the agent's pipes open
        os.close(stream)
    os.write(status, b"%d\n" % _watch(agent, orders, program))


def _fork(descriptors: list[int]) -> None:
    """Have a child supervise with these."""
    nursery = os.getpid()
    status, *streams = descriptors
    try:
        pid = os.fork()
    except OSError as error:
        os.write(status, b"0\n!%s\n" % (error.strerror or "").encode())
        return
    if pid == 0:
        try:
            for descriptor in descriptors:
                os.set_inheritable(descriptor, False)
            _supervise(nursery, status, streams)
        finally:
            os._exit(0)


def _bury(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main() -> None:
    """Be the nursery."""
    parent = int(sys.argv[1])

    def end_with_parent(*_: object) -> None:
        # The kernel tells us also when only the thread has ended that started us.
        if os.getppid() != parent:
            os._exit(0)

    signal.signal(signal.SIGCHLD, _bury)
    signal.signal(signal.SIGHUP, end_with_parent)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGHUP)
    end_with_parent()
    with socket.socket(fileno=0) as requests:
        while descriptors := socket.recv_fds(requests, 1, 4)[1]:
            _fork(descriptors)
            for descriptor in descriptors:
                os.close(descriptor)


if __name__ == "__main__":
    main()
