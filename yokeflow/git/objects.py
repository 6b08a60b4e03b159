"""Ask for the names of objects without a process each: one `git cat-file` that stays open."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from yokeflow.git.runner import clean_environment

if TYPE_CHECKING:
    from pathlib import Path

#: What answers instead of an object's id.
_NONE = (b" missing", b" ambiguous")


class ObjectReader:
    """Resolves names to object ids; started by the first question. Must be closed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._one = asyncio.Lock()

    async def resolve(self, name: str) -> str | None:
        """The id of the object that `name` means right now; None when it means none, or more than one."""
        question = os.fsencode(name) + b"\n"
        async with self._one:
            answer = await self._ask(question) or await self._ask(question)
        line = answer.removesuffix(b"\n")
        return None if not line or line.endswith(_NONE) else line.decode()

    async def _ask(self, question: bytes) -> bytes:
        """The answer; empty when the process has ended, so that the next question starts another."""
        process = self._process = self._process or await self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(ConnectionError):
            process.stdin.write(question)
            await process.stdin.drain()
        answer = await process.stdout.readline()
        if not answer:
            self._process = None
            await process.wait()
        return answer

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            "git",
            "cat-file",
            "--batch-check=%(objectname)",
            cwd=self._folder,
            env=clean_environment(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )

    async def close(self) -> None:
        """End the process."""
        async with self._one:
            process, self._process = self._process, None
            if process is not None and process.stdin is not None:
                process.stdin.close()
                await process.wait()
