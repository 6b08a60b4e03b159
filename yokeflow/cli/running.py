"""Run a plan and show it: live on a terminal, line by line elsewhere, or as JSON."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from yokeflow.cli import output
from yokeflow.cli.advice import place_of
from yokeflow.cli.lines import event_lines
from yokeflow.cli.live import LiveState
from yokeflow.cli.live_view import LiveView
from yokeflow.cli.report import report_lines
from yokeflow.engine.doubts import doubts
from yokeflow.engine.run import Run
from yokeflow.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from yokeflow.engine.project import Project
    from yokeflow.engine.report import RunReport
    from yokeflow.engine.selection import RunOptions
    from yokeflow.events import Event
    from yokeflow.model import Plan

_STOPPING = "stopping the running sessions; ^C again kills them"
_KILLED = "killed; `yoke run` puts right what is left and goes on"


class _Show(NamedTuple):
    """How a run is shown."""

    event: Callable[[Event], None]
    notice: Callable[[str], None]


async def run_and_show(
    project: Project, plan: Plan, options: RunOptions, *, as_json: bool, advise: bool = True
) -> ExitCode:
    """Run, show it meanwhile, report at the end, with what to type next; the exit code for the shell.

    ^C (or SIGTERM) once stops the sessions and cleans up, twice kills.
    """
    with _unseen():
        for doubt in doubts(project.settings):
            output.warn(str(doubt))
    _spare_threads()
    state = LiveState.of(plan)
    async with AsyncExitStack() as stack:
        show = _while_seen(await _show(state, stack, as_json=as_json))
        run = Run(project, plan, options, show.event)
        report = await _interruptible(run, show.notice)
    if report is None:
        output.note(_KILLED)
        return ExitCode.INTERRUPTED
    if not as_json:
        place = await place_of(project)
        with _unseen():
            for line in report_lines(state, report, output.columns(), place, advise=advise):
                output.line(line)
    return report.exit_code


def _spare_threads() -> None:
    """Python before 3.12 has a thread wait for each process, unless told that the kernel can tell."""
    if sys.version_info < (3, 12) and hasattr(os, "pidfd_open"):
        watcher = asyncio.PidfdChildWatcher()
        watcher.attach_loop(asyncio.get_running_loop())
        asyncio.get_event_loop_policy().set_child_watcher(watcher)


async def _show(state: LiveState, stack: AsyncExitStack, *, as_json: bool) -> _Show:
    if as_json:
        return _Show(lambda event: output.data_line(event.to_json()), output.note)
    if output.is_terminal(sys.stdout):
        view = await stack.enter_async_context(LiveView(state))
        return _Show(view, view.say)

    def tell(event: Event) -> None:
        state.apply(event)
        for line in event_lines(event):
            output.line(line)

    return _Show(tell, output.note)


def _while_seen(show: _Show) -> _Show:
    """The same until nobody reads it any more, as in `yoke run | head -1`; the run is not to end for that."""
    seen = True

    def event(happened: Event) -> None:
        nonlocal seen
        if seen:
            seen = False
            with _unseen():
                show.event(happened)
                seen = True

    def notice(text: str) -> None:
        with _unseen():
            show.notice(text)

    return _Show(event, notice)


@contextmanager
def _unseen() -> Iterator[None]:
    """Leave the block when the output is closed or its terminal is gone; what is left to write is dropped."""
    try:
        yield
    except OSError:
        # Python writes what is buffered once more when it ends, and would complain.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (output.results(), sys.stderr):
            try:
                stream.flush()
            except OSError:
                os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


async def _interruptible(run: Run, notice: Callable[[str], None]) -> RunReport | None:
    """The report of a run; None when it was killed."""
    work = asyncio.create_task(run.execute())
    asked = False

    def interrupt() -> None:
        nonlocal asked
        if asked:
            run.kill()
        else:
            asked = True
            notice(_STOPPING)
            run.stop()

    with _on_signals(interrupt):
        await asyncio.wait({work})
    return None if work.cancelled() else work.result()


@contextmanager
def _on_signals(call: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, call)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
