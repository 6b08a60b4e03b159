"""Notices for people who do not watch: made of events, told by plugins beside the run."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from contextlib import suppress
from hashlib import sha256
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Self

from yokeflow.asking import call_and_wait, implementations, seconds_of
from yokeflow.engine.redact import redact
from yokeflow.errors import YokeError
from yokeflow.model import Notice

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from pluggy import HookImpl

    from yokeflow.engine.project import Project
    from yokeflow.engine.recorder import Recorder
    from yokeflow.events import Event

#: Seconds at the end of a run for what is under way.
_PATIENCE = 5.0
#: Notices in one minute; what comes beyond is counted, and told with the end of the run.
_MOST, _MINUTE = 20, 60.0
#: Seconds for which the same is not told again.
_AGAIN = 24 * 3600.0
#: Failures in a row after which a plugin is left alone for the rest of the run.
_FAILURES = 3
_LONGEST = 500
#: Kinds of interventions that a run opens anew by itself, each time it tries to land and meets the same.
_RECURRING = frozenset({"conflict", "red_check", "checkout"})


class Notices:
    """Tells plugins what happens while the block runs; nothing waits for them but its end, for a while."""

    def __init__(self, project: Project, recorder: Recorder) -> None:
        self._recorder = recorder
        self._config = project.config
        self._project = project.name
        self._plugins = list(implementations(project.plugins.hook.notify))
        self._told = _Told(project.repo.state_dir / "notices.json")
        self._queue: asyncio.Queue[Notice | None] = asyncio.Queue()
        self._times: deque[float] = deque(maxlen=_MOST)
        self._left_out = 0
        self._failures: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._tell(), name="notices")
        if self._plugins:
            self._recorder.listen(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.put_nowait(None)
        patience = 0.0 if isinstance(error, asyncio.CancelledError) else _PATIENCE
        done, _ = await asyncio.wait({self._task}, timeout=patience)
        if not done:
            self._task.cancel()
            await asyncio.wait({self._task})
        if not self._task.cancelled():
            # Whatever went wrong here is no reason for the run to fail.
            self._task.exception()

    def __call__(self, event: Event) -> None:
        """Put an event into words, if it is worth it."""
        words = _WORDS.get(event.type)
        if words is None or event.run != self._recorder.run or self._is_old(event):
            return
        last = event.type == "run.finished"
        now = monotonic()
        if not last and len(self._times) == _MOST and now - self._times[0] < _MINUTE:
            self._left_out += 1
            return
        self._times.append(now)
        more = f"; {self._left_out} more notices were not sent" if last and self._left_out else ""
        self._queue.put_nowait(
            Notice(
                type=event.type,
                text=redact(f"{words(event)}{more}")[:_LONGEST],
                project=self._project,
                run=event.run,
                item=event.task or event.epic,
                kind=str(event.data.get("kind") or event.data.get("state") or ""),
                command="yoke attention" if event.type == "intervention.opened" else "yoke status",
                at=event.at.isoformat(),
                urgent=event.type in {"intervention.opened", "budget.exceeded"},
            )
        )

    def _is_old(self, event: Event) -> bool:
        """Whether an earlier run told the same."""
        data = event.data
        if data.get("kind") in _RECURRING:
            return self._told.before(event.epic, data["kind"], data.get("reason"))
        if not event.type.startswith("budget."):
            return False
        run = event.run if data.get("scope") == "run" else ""
        budget = [data.get(name) for name in ("scope", "name", "unit", "limit", "mark")]
        return self._told.before(event.type, run, *budget)

    async def _tell(self) -> None:
        while (notice := await self._queue.get()) is not None:
            for plugin in self._plugins:
                if self._failures[plugin.plugin_name] < _FAILURES:
                    await self._ask(plugin, notice)

    async def _ask(self, plugin: HookImpl, notice: Notice) -> None:
        given = {"notice": notice, "config": self._config}
        try:
            await call_and_wait(plugin, "notify", given, seconds_of("notify", self._config.plugins.timeouts))
        except YokeError as error:
            self._failures[plugin.plugin_name] += 1
            self._recorder.emit(
                "plugin.failed", plugin=plugin.plugin_name, hook="notify", error=redact(error.message)
            )
        else:
            self._failures[plugin.plugin_name] = 0


class _Told:
    """What was told lately, also by earlier runs. Losing it costs a notice too many."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._times: dict[str, float] | None = None

    def before(self, *what: Any) -> bool:
        """Whether that was told lately; it counts as told from now on."""
        if self._times is None:
            self._times = self._load()
        key = sha256(json.dumps(what, default=str).encode()).hexdigest()[:16]
        known = key in self._times
        if not known:
            self._times[key] = time()
            with suppress(OSError):
                self._file.write_text(json.dumps(self._times), encoding="utf-8")
        return known

    def _load(self) -> dict[str, float]:
        with suppress(OSError, ValueError, AttributeError, TypeError):
            read = json.loads(self._file.read_text(encoding="utf-8"))
            return {str(key): float(at) for key, at in read.items() if 0 <= time() - float(at) < _AGAIN}
        return {}


def _opened(event: Event) -> str:
    reason = str(event.data.get("reason", "")).strip()
    first = next(iter(reason.splitlines()), "")
    return f"{event.task or event.epic or 'the run'} waits for you ({event.data.get('kind')}): {first}"


def _finished(event: Event) -> str:
    reason = event.data.get("reason")
    return f"the run is over: {event.data.get('state')}" + (f", {reason}" if reason else "")


def _warned(event: Event) -> str:
    data = event.data
    whose = f"{data.get('scope', 'budget')} {data.get('name') or ''}".strip()
    share = 100 * float(data.get("mark") or 0)
    spent = f"{data.get('used')} of {data.get('limit')} {data.get('unit')}"
    return f"{share:.0f} % of the budget of the {whose} is spent: {spent}"


def _exceeded(event: Event) -> str:
    return f"a budget is spent: {event.data.get('reason')}"


_WORDS = {
    "intervention.opened": _opened,
    "run.finished": _finished,
    "budget.warned": _warned,
    "budget.exceeded": _exceeded,
}
