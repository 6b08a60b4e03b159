"""What the core lends plugins for one call, and takes back at its end."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from yokeflow.asking import unlimited, wrong
from yokeflow.errors import StoreError
from yokeflow.events import CORE_SUBJECTS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from types import TracebackType
    from uuid import UUID

    from pluggy import HookImpl
    from sqlalchemy.ext.asyncio import AsyncConnection

    from yokeflow.engine.recorder import Recorder
    from yokeflow.git.repo import Repo
    from yokeflow.model import AgentReport, Attempt
    from yokeflow.store.connection import Store

    #: Asks an agent: attempt, prompt, operation, agent, model.
    Interview = Callable[[Attempt, str, str, str, str], Awaitable[AgentReport]]

_TYPE = re.compile(r"[a-z][a-z_]*\.[a-z][a-z_]*", re.ASCII)


class Lender:
    """Makes a host for each call of a plugin."""

    def __init__(self, store: Store, project_id: UUID, repo: Repo, target: str, recorder: Recorder) -> None:
        self.store = store
        self.project_id = project_id
        self.repo = repo
        self.target = target
        self.recorder = recorder
        #: Set when the run's agents are known.
        self.interview: Interview | None = None

    @asynccontextmanager
    async def lend(self, plugin: HookImpl, hook: str, attempt: Attempt | None) -> AsyncIterator[Lent]:
        """A host for one call.

        Raises PluginError at the end when the plugin has left a transaction open; that is rolled back.
        """
        host = Lent(self, attempt)
        failed = False
        try:
            yield host
        except BaseException:
            failed = True
            raise
        finally:
            left = await host.end()
            if left and not failed:
                raise wrong(plugin, hook, "it left a transaction open")


class Lent:
    """`yokeflow.hookspecs.Host` for one call."""

    def __init__(self, lender: Lender, attempt: Attempt | None) -> None:
        self._lender = lender
        self._attempt = attempt
        self._open: list[_Transaction] = []
        self._ended = False

    @property
    def run(self) -> str:
        return self._lender.recorder.run

    @property
    def project_id(self) -> UUID:
        return self._lender.project_id

    @property
    def root(self) -> Path:
        return self._lender.repo.root

    def begin(self) -> AbstractAsyncContextManager[AsyncConnection]:
        self._still_mine()
        return _Transaction(self._lender.store, self._open)

    def emit(self, type_: str, **data: Any) -> None:
        self._still_mine()
        if not _TYPE.fullmatch(type_) or type_.partition(".")[0] in CORE_SUBJECTS:
            raise ValueError(f"{type_!r} is no event of a plugin's: write something like deploy.started")
        json.dumps(data, allow_nan=False)
        unlimited(self._record, type_, data)

    def _record(self, type_: str, data: dict[str, Any]) -> None:
        where = {}
        if self._attempt is not None:
            task = self._attempt.task
            where = {"epic": task.epic, "task": task.id, "session": self._attempt.session}
        self._lender.recorder.emit(type_, **where, **data)

    async def changed_files(self, base: str, head: str) -> Sequence[str]:
        self._still_mine()
        return await self._lender.repo.changed_files(base, head)

    async def tracked_files(self) -> Sequence[str]:
        self._still_mine()
        return await self._lender.repo.tracked_files(f"refs/heads/{self._lender.target}")

    async def ask(self, prompt: str, *, operation: str, agent: str, model: str = "") -> AgentReport:
        self._still_mine()
        if self._attempt is None or self._lender.interview is None:
            raise RuntimeError("agents are asked about a session, in a run")
        return await self._lender.interview(self._attempt, prompt, operation, agent, model)

    async def end(self) -> bool:
        """Take everything back; whether a transaction was still open."""
        self._ended = True
        left = list(self._open)
        for transaction in left:
            # One that is lost with its connection is rolled back already.
            with suppress(StoreError):
                await transaction.abort()
        return bool(left)

    def _still_mine(self) -> None:
        if self._ended:
            raise RuntimeError("a host may be used during the call that it was lent for, and not after it")


class _Transaction:
    """A transaction of the store that is known to be open while it is."""

    def __init__(self, store: Store, open_: list[_Transaction]) -> None:
        self._inner = store.begin()
        self._open = open_

    async def __aenter__(self) -> AsyncConnection:
        connection = await self._inner.__aenter__()
        self._open.append(self)
        return connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self not in self._open:
            # It was taken back before the plugin came to its end.
            return None
        self._open.remove(self)
        return await self._inner.__aexit__(kind, error, trace)

    async def abort(self) -> None:
        """Roll back and give the connection back."""
        error = _LeftOpenError()
        try:
            await self.__aexit__(type(error), error, None)
        except _LeftOpenError:
            return


class _LeftOpenError(Exception):
    """What rolls a forgotten transaction back."""
