"""Who started a git, named so that a later process with the same number is not taken for it."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

_NAME = re.compile(r"(\d+) \(([\d.]+)\)")


def own_name() -> str:
    """Of this very process, also after a fork."""
    return _name(os.getpid())


def is_gone(name: str) -> bool:
    """Whether a name is that of another process, which has ended."""
    match = _NAME.fullmatch(name)
    return match is not None and int(match[1]) != os.getpid() and _born(int(match[1])) != match[2]


@cache
def _name(pid: int) -> str:
    return f"{pid} ({_born(pid)})"


def _born(pid: int) -> str | None:
    """When it began, if possible by no clock that may be set; None when it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        about = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        state, *_, born = about.rpartition(")")[2].split()[:20]
        return None if state == "Z" else born
    try:
        return f"{psutil.Process(pid).create_time():.0f}"
    except psutil.NoSuchProcess:
        return None
