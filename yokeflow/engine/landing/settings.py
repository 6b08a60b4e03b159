"""Settings that would land: those that are wrong stop every command, so they are judged before."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from yokeflow.errors import DocumentError
from yokeflow.places import FILE_NAME
from yokeflow.settings import load_config

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yokeflow.config import Section
    from yokeflow.engine.context import Context


async def wrong_settings(context: Context, old: str, new: str) -> str:
    """Why the settings that `new` has are no good; empty where it leaves those of `old` as they are."""
    repo = context.repo
    before, after = [await repo.object(f"{commit}:{FILE_NAME}") for commit in (old, new)]
    if after in {None, before}:
        return ""
    found = await repo.git("cat-file", "blob", f"{new}:{FILE_NAME}", ok=(0, 128))
    if found.returncode:
        return ""
    return await asyncio.to_thread(_judge, found.stdout, context.project.plugins.sections)


def _judge(text: bytes, sections: Mapping[str, type[Section]]) -> str:
    with TemporaryDirectory() as folder:
        Path(folder, FILE_NAME).write_bytes(text)
        try:
            load_config(Path(folder), sections=sections, strict=False)
        except DocumentError as error:
            # What is wrong elsewhere was so before.
            told = [problem for problem in error.problems if problem.path.is_relative_to(folder)]
            lines = "; ".join(f"line {problem.line}: {problem.message}" for problem in told)
            return f"its {FILE_NAME} would stop every later command: {lines}" if told else ""
    return ""
