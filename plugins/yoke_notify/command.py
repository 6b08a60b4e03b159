"""A program of the user's that gets every notice."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from yoke_notify.processes import run as run_program

if TYPE_CHECKING:
    from yoke_notify.settings import Command
    from yokeflow.model import Notice


async def run(notice: Notice, settings: Command) -> None:
    """Hand a notice to the program, as JSON and in short in variables. Raises FailedError."""
    told = asdict(notice)
    short = {f"YOKE_NOTICE_{name.upper()}": str(told[name]) for name in ("type", "kind", "item", "text")}
    await run_program(settings.argv, json.dumps(told, ensure_ascii=False).encode(), short, settings.timeout)
