"""What a benchmark says, and how it is shown."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Row:
    """One claim, measured."""

    claim: str
    bar: str
    measured: str
    ok: bool


def table(rows: Iterable[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| claim | bar | measured | |", "|---|---|---|---|"]
    lines += [
        f"| {row.claim} | {row.bar} | {row.measured} | {'ok' if row.ok else '**missed**'} |" for row in rows
    ]
    return "\n".join(lines)


def machine() -> str:
    """The machine the figures were taken on, without anything that names it."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    system = f"{platform.system()} {platform.release()}"
    return f"{os.cpu_count()} cores ({_processor()}), {_memory()}, {system}, {python}"


def _processor() -> str:
    """The kernel knows the model on Linux; elsewhere the platform module does."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())


def _memory() -> str:
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{size / 2**30:.0f} GiB"
