"""Ask the plugins, and keep the promise of each hook when one of them fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from yokeflow.asking import call_and_wait, call_now, checked, implementations, seconds_of
from yokeflow.engine.decisions import answers
from yokeflow.errors import PluginError, YokeError
from yokeflow.model import AgentReport, ConflictDecision, Reservation, SessionResult

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from pluggy import HookImpl

    from yokeflow.config import Config
    from yokeflow.engine.decisions.hosting import Lender
    from yokeflow.engine.recorder import Recorder
    from yokeflow.events import Event
    from yokeflow.model import (
        Attempt,
        BudgetLeft,
        Conflict,
        ModelChoice,
        Plan,
        Profile,
        Resolution,
        Task,
        Usage,
    )
    from yokeflow.plugin_manager import PluginManager

#: Gives the reason why an answer makes no sense; empty when it does.
_Check = Callable[[Any], str]


class Decisions:
    """What plugins decide. Each method is one hook of hookspecs.py."""

    def __init__(self, plugins: PluginManager, config: Config, lender: Lender | None = None) -> None:
        """`lender` makes what plugins are lent; only where a run goes on do hooks need it."""
        self._plugins = plugins
        self._config = config
        self._lender = lender

    async def begin(self, plan: Plan) -> None:
        async for _ in self._waited("begin_run", None, plan=plan):
            pass

    async def preview(self, plan: Plan) -> None:
        async for _ in self._waited("begin_preview", None, plan=plan):
            pass

    def resolve(self, plan: Plan, finished: Collection[str], learned: Mapping[str, float]) -> Resolution:
        answer: Resolution | None = self._first(
            "resolve_dependencies",
            lambda given: answers.resolution(given, plan, finished),
            plan=plan,
            finished=finished,
            learned=learned,
        )
        if answer is None:
            raise PluginError(
                "none", "no plugin resolves dependencies", hint="take yoke_resolver out of plugins.disabled"
            )
        return answer

    def order(self, ready: Sequence[Task], resolution: Resolution) -> Sequence[str]:
        answer: Sequence[str] | None = self._first(
            "order_ready", lambda given: answers.order(given, ready), ready=ready, resolution=resolution
        )
        return [task.id for task in ready] if answer is None else answer

    def profile(self, task: Task, number: int) -> Profile | None:
        answer: Profile | None = self._first("select_profile", answers.profile, task=task, number=number)
        return answer

    def budget(self, attempt: Attempt) -> BudgetLeft | None:
        answer: BudgetLeft | None = self._first("budget_left", answers.budget_left, attempt=attempt)
        return answer

    def model(self, attempt: Attempt, budget: BudgetLeft | None) -> ModelChoice | None:
        answer: ModelChoice | None = self._first(
            "select_model", answers.model, attempt=attempt, agent=attempt.agent, budget=budget
        )
        return answer

    async def reserve(self, attempt: Attempt) -> Reservation | None:
        """What is set aside, by the strictest plugin; None when none keeps accounts.

        Raises LimitError for a refusal.
        """
        amounts: list[Reservation] = []
        try:
            async for each in self._waited("reserve_budget", attempt, answers.reservation, attempt=attempt):
                amount = Reservation(usd=each) if isinstance(each, int | float) else each
                amounts.append(amount)
        except YokeError:
            if amounts:
                await self.settle(_never_began(attempt))
            raise
        return _strictest(amounts) if amounts else None

    def spending(self, attempt: Attempt, usage: Sequence[Usage]) -> str:
        """Why a session must be stopped; empty to let it go on."""
        told = self._asked("check_spending", answers.reason, attempt=attempt, usage=usage)
        return next((reason for reason in told if reason), "")

    def price(self, usage: Sequence[Usage]) -> float | None:
        answer: float | None = self._first("price_usage", answers.price, usage=usage)
        return answer

    async def settle(self, result: SessionResult) -> None:
        async for _ in self._waited("settle_budget", result.attempt, result=result):
            pass

    async def recall(self, attempt: Attempt, recorder: Recorder) -> list[str]:
        told = self._soft("recall", attempt, recorder, answers.lessons, attempt=attempt)
        return [lesson async for lessons in told for lesson in lessons]

    async def learn(self, result: SessionResult, transcript: Path, recorder: Recorder) -> None:
        async for _ in self._soft("learn", result.attempt, recorder, result=result, transcript=transcript):
            pass

    async def conflict(self, conflict: Conflict, about: Attempt, recorder: Recorder) -> ConflictDecision:
        """What to do about a conflict; a person is asked where a plugin fails, or none decides."""
        hook = "resolve_conflict"
        for plugin in self._implementations(hook):
            try:
                answer = await self._wait(plugin, hook, about, answers.conflict, {"conflict": conflict})
            except YokeError as error:
                failed = {"plugin": plugin.plugin_name, "hook": hook, "error": error.message}
                recorder.emit("plugin.failed", epic=conflict.epic.id, **failed)
                return ConflictDecision("manual", reason=error.message)
            if answer is not None:
                decision: ConflictDecision = answer
                return decision
        return ConflictDecision("manual")

    def _first(self, hook: str, check: _Check, **arguments: Any) -> Any:
        """The first answer that is not None."""
        return next(self._asked(hook, check, **arguments), None)

    def _asked(self, hook: str, check: _Check, **arguments: Any) -> Iterator[Any]:
        """Answers that are not None, as they come."""
        seconds = self._seconds(hook)
        for plugin in self._implementations(hook):
            answer = call_now(plugin, hook, arguments | {"config": self._config}, seconds)
            if checked(plugin, hook, check, answer) is not None:
                yield answer

    async def _waited(
        self, hook: str, about: Attempt | None, check: _Check | None = None, **arguments: Any
    ) -> AsyncIterator[Any]:
        """The same for awaitable hooks."""
        for plugin in self._implementations(hook):
            answer = await self._wait(plugin, hook, about, check, arguments)
            if answer is not None:
                yield answer

    async def _soft(
        self,
        hook: str,
        about: Attempt,
        recorder: Recorder,
        check: _Check | None = None,
        **arguments: Any,
    ) -> AsyncIterator[Any]:
        """The same, where a plugin that fails costs a `plugin.failed` event and nothing else."""
        for plugin in self._implementations(hook):
            try:
                answer = await self._wait(plugin, hook, about, check, arguments)
            except YokeError as error:
                recorder.emit(
                    "plugin.failed",
                    epic=about.task.epic,
                    task=about.task.id,
                    session=about.session,
                    plugin=plugin.plugin_name,
                    hook=hook,
                    error=error.message,
                )
            else:
                if answer is not None:
                    yield answer

    async def _wait(
        self,
        plugin: HookImpl,
        hook: str,
        about: Attempt | None,
        check: _Check | None,
        arguments: dict[str, Any],
    ) -> Any:
        given = arguments | {"config": self._config}
        if "host" not in plugin.argnames:
            answer = await call_and_wait(plugin, hook, given, self._seconds(hook))
        else:
            assert self._lender is not None, "hooks with a host are called in a run"
            async with self._lender.lend(plugin, hook, about) as host:
                answer = await call_and_wait(plugin, hook, given | {"host": host}, self._seconds(hook))
        return checked(plugin, hook, check, answer)

    def _implementations(self, hook: str) -> Iterator[HookImpl]:
        return implementations(getattr(self._plugins.hook, hook))

    def _seconds(self, hook: str) -> float:
        return seconds_of(hook, self._config.plugins.timeouts)


def _never_began(attempt: Attempt) -> SessionResult:
    """A session for which some plugins have set money aside, and another has refused."""
    report = AgentReport(ok=False, cost_usd=0.0)
    state, reason = "interrupted", "the budget does not reach"
    return SessionResult(attempt, attempt.agent, attempt.model, state, reason, 0.0, report, cost_usd=0.0)


def _strictest(amounts: Sequence[Reservation]) -> Reservation:
    """The most that anybody sets aside, and the least at which anybody stops."""
    dollars = [each.usd for each in amounts if each.usd is not None]
    tokens = [each.tokens for each in amounts if each.tokens is not None]
    caps = [each.cap_usd for each in amounts if each.cap_usd is not None]
    return Reservation(max(dollars, default=None), max(tokens, default=None), min(caps, default=None))


class EventHook:
    """Shows every event to the plugins that want them; one that fails is not called again in this run."""

    def __init__(self, plugins: PluginManager, recorder: Recorder, timeouts: Mapping[str, float]) -> None:
        self._listeners = list(implementations(plugins.hook.on_event))
        self._seconds = seconds_of("on_event", timeouts)
        self._recorder = recorder

    def __call__(self, event: Event) -> None:
        for plugin in list(self._listeners):
            try:
                call_now(plugin, "on_event", {"event": event}, self._seconds)
            except YokeError as error:
                # It may have failed at an event that another one's failure brought about.
                if plugin in self._listeners:
                    self._listeners.remove(plugin)
                self._recorder.emit(
                    "plugin.failed", plugin=plugin.plugin_name, hook="on_event", error=error.message
                )
