"""Ask git about objects without a process for each question: programs that stay open."""

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


class _Open:
    """A git program that answers questions one after another; started by the first. Must be closed."""

    command: tuple[str, ...]

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._one = asyncio.Lock()

    async def _ask(self, question: bytes) -> bytes:
        """The answer; empty when the program has died twice over it."""
        async with self._one:
            return await self._try(question) or await self._try(question)

    async def _try(self, question: bytes) -> bytes:
        """The answer; empty when the program has ended, so that the next question starts another."""
        process = self._process = self._process or await self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        answer = b""
        try:
            with suppress(ConnectionError):
                process.stdin.write(question)
                await process.stdin.drain()
            answer = await self._read(process.stdout)
        finally:
            # Whoever is cancelled leaves an answer behind that would be taken for the next one's.
            if not answer:
                self._process = None
                await _end(process)
        return answer

    async def _read(self, stream: asyncio.StreamReader) -> bytes:
        raise NotImplementedError

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            "git",
            *self.command,
            cwd=self._folder,
            env=clean_environment(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )

    async def close(self) -> None:
        """End the program."""
        async with self._one:
            process, self._process = self._process, None
            if process is not None:
                await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """It only reads, so there is nothing to finish."""
    with suppress(ProcessLookupError):
        process.kill()
    # Waits for the pipes too, which else would be closed by nobody.
    await process.communicate()


class ObjectReader(_Open):
    """Resolves names to object ids."""

    command = ("cat-file", "--batch-check=%(objectname)")

    async def resolve(self, name: str) -> str | None:
        """The id of the object that `name` means right now; None when it means none, or more than one."""
        line = (await self._ask(os.fsencode(name) + b"\n")).removesuffix(b"\n")
        return None if not line or line.endswith(_NONE) else line.decode()

    async def _read(self, stream: asyncio.StreamReader) -> bytes:
        return await stream.readline()


class TreeDiffer(_Open):
    """Says which paths differ between two trees."""

    command = ("diff-tree", "--stdin", "-r", "-z", "--name-only", "--no-renames")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        # A line that names no object comes back as it is, which marks the end of an answer: no path that
        # anybody could have thought of looks like it.
        self._end = b"end of " + os.urandom(16).hex().encode() + b"\n"

    async def changed(self, old: str, new: str) -> list[str] | None:
        """The paths in which two trees, named by their ids, differ; None when git does not know them."""
        heading = f"{old} {new}\n".encode()
        answer = (await self._ask(heading + self._end)).removesuffix(self._end)
        if not answer.startswith(heading):
            return None
        return os.fsdecode(answer.removeprefix(heading)).split("\0")[:-1]

    async def _read(self, stream: asyncio.StreamReader) -> bytes:
        answer = bytearray()
        while not answer.endswith(self._end):
            piece = await stream.read(1 << 16)
            if not piece:
                return b""
            answer += piece
        return bytes(answer)
