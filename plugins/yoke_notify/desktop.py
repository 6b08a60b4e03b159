"""A notification on the desktop, where there is one."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from yoke_notify.processes import run

if TYPE_CHECKING:
    from yokeflow.model import Notice

_SECONDS = 5.0
#: Texts come as arguments, so nothing in them is taken for a script.
_SCRIPT = ("on run argv", "display notification (item 2 of argv) with title (item 1 of argv)", "end run")


async def show(notice: Notice) -> None:
    """Show a notice; a machine without a desktop is no fault. Raises FailedError when showing fails."""
    argv = _argv(notice)
    if argv:
        await run(argv, b"", {}, _SECONDS)


def _argv(notice: Notice) -> tuple[str, ...]:
    title = f"yoke: {notice.project}" if notice.project else "yoke"
    if sys.platform == "darwin":
        program = shutil.which("osascript")
        lines = [part for line in _SCRIPT for part in ("-e", line)]
        return (program, *lines, title, notice.text) if program else ()
    program = shutil.which("notify-send")
    urgency = "critical" if notice.urgent else "normal"
    return (program, "--app-name=yoke", f"--urgency={urgency}", "--", title, notice.text) if program else ()
