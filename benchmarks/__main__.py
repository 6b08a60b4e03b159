"""Run every benchmark of this folder and print one table; exit 1 when a bar is missed.

`python -m benchmarks [NAME ...]` runs only those named.
"""

from __future__ import annotations

import pkgutil
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import benchmarks
from benchmarks.report import machine, table

if TYPE_CHECKING:
    from benchmarks.report import Row


def main(names: list[str]) -> int:
    """Measure, print, and tell by the exit code whether every bar was kept."""
    rows: list[Row] = []
    for found in pkgutil.iter_modules(benchmarks.__path__):
        if found.name.startswith("_") or (names and found.name not in names):
            continue
        measure = getattr(import_module(f"benchmarks.{found.name}"), "rows", None)
        if measure is not None:
            print(f"running {found.name} …", file=sys.stderr, flush=True)
            rows += measure()
    print(f"{table(rows)}\n\nTaken on {machine()}.")
    return 0 if rows and all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
