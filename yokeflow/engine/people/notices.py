"""Notices for people who do not watch: made of events, told by plugins beside the run."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from hashlib import sha256
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Self

from yokeflow.asking import call_and_wait, implementations, seconds_of, waited
from yokeflow.engine.people.receivers import Receiver
from yokeflow.engine.secrets.redact import redact
from yokeflow.errors import YokeError
from yokeflow.model import Notice

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
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
_LONGEST = 2000
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
        self._receivers: dict[tuple[str, str], Receiver] = {}
        self._times: deque[float] = deque(maxlen=_MOST)
        self._left_out = 0

    async def __aenter__(self) -> Self:
        if self._plugins:
            self._recorder.listen(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        working = asyncio.create_task(self._all_told(), name="notices")
        patience = 0.0 if isinstance(error, asyncio.CancelledError) else _PATIENCE
        await asyncio.wait({working}, timeout=patience)
        working.cancel()
        await asyncio.wait({working})
        # Whatever goes wrong here, as on a full disk, is no reason for the run to fail.
        ending = (receiver.aclose() for receiver in self._receivers.values())
        await asyncio.gather(*ending, return_exceptions=True)
        if self._left_out and any(way for _, way in self._receivers):
            # Not every way is told how a run ended, and with it how much was left out.
            reason = f"{self._left_out} notices were not sent, to spare you more than {_MOST} in a minute"
            with suppress(YokeError):
                self._recorder.emit(
                    "warning.raised", reason=reason, hint="`yoke attention` shows all that waits"
                )

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
        notice = self._notice(event, f"{words(event)}{more}")
        for plugin in self._plugins:
            self._receiver(plugin).tell(partial(self._ask, plugin, notice))

    def _notice(self, event: Event, text: str) -> Notice:
        return Notice(
            type=event.type,
            text=_cut(redact(text)),
            project=self._project,
            run=event.run,
            item=event.task or event.epic,
            kind=str(event.data.get("kind") or event.data.get("state") or ""),
            command="yoke attention" if event.type == "intervention.opened" else "yoke status",
            at=event.at.isoformat(),
            urgent=event.type in {"intervention.opened", "budget.exceeded"},
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

    async def _ask(self, plugin: HookImpl, notice: Notice) -> None:
        """Let a plugin tell a notice, or say who is to be told it."""
        seconds = seconds_of("notify", self._config.plugins.timeouts)
        given = {"notice": notice, "config": self._config}
        answer = await call_and_wait(plugin, "notify", given, seconds)
        if isinstance(answer, Mapping):
            for way, start in answer.items():
                self._receiver(plugin, way).tell(partial(_wait, plugin, start, seconds))

    def _receiver(self, plugin: HookImpl, way: str = "") -> Receiver:
        name = plugin.plugin_name
        if (name, way) not in self._receivers:
            self._receivers[name, way] = Receiver(name, way, self._recorder)
        return self._receivers[name, way]

    async def _all_told(self) -> None:
        # What plugins are told may lead to further receivers.
        for _ in range(2):
            for receiver in list(self._receivers.values()):
                await receiver.all_told()


async def _wait(plugin: HookImpl, start: Callable[[], Awaitable[None]], seconds: float) -> None:
    async def begin() -> None:
        await start()

    await waited(plugin, "notify", begin(), seconds)


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


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _opened(event: Event) -> str:
    kind, reason = event.data.get("kind"), str(event.data.get("reason", "")).strip()
    # A question may have its choices below; below other reasons is what git or a check printed.
    said = reason if kind == "question" else next(iter(reason.splitlines()), "")
    return f"{event.task or event.epic or 'the run'} waits for you ({kind}): {said}"


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
