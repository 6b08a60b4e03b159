"""Ask the plugins, and keep the promise of each hook when one of them fails."""

from __future__ import annotations

from collections.abc import Awaitable
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from yokeflow.errors import PluginError, YokeError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    import pluggy

    from yokeflow.config import Config
    from yokeflow.engine.recorder import Recorder
    from yokeflow.events import Event
    from yokeflow.model import Attempt, ModelChoice, Plan, Resolution, SessionResult, Task
    from yokeflow.plugin_manager import PluginManager


class Decisions:
    """What plugins decide. Each method is one hook of hookspecs.py."""

    def __init__(self, plugins: PluginManager, config: Config) -> None:
        self._hook = plugins.hook
        self._config = config

    def resolve(self, plan: Plan, finished: Collection[str], learned: Mapping[str, float]) -> Resolution:
        answer: Resolution | None = self._closed(
            self._hook.resolve_dependencies,
            plan=plan,
            config=self._config,
            finished=finished,
            learned=learned,
        )
        if answer is None:
            raise PluginError(
                "none", "no plugin resolves dependencies", hint="take yoke_resolver out of plugins.disabled"
            )
        return answer

    def order(self, ready: Sequence[Task], resolution: Resolution) -> Sequence[str]:
        answer: Sequence[str] | None = self._closed(
            self._hook.order_ready, ready=ready, resolution=resolution
        )
        return [task.id for task in ready] if answer is None else answer

    def model(self, attempt: Attempt, agent: str) -> ModelChoice | None:
        answer: ModelChoice | None = self._closed(
            self._hook.select_model, attempt=attempt, agent=agent, config=self._config
        )
        return answer

    async def reserve(self, attempt: Attempt) -> float | None:
        """Dollars set aside in all; None when no plugin keeps accounts. Raises LimitError for a refusal."""
        answers = await self._all(self._hook.reserve_budget, attempt=attempt, config=self._config)
        amounts = [amount for amount in answers if amount is not None]
        return max(amounts) if amounts else None

    async def settle(self, result: SessionResult) -> None:
        await self._all(self._hook.settle_budget, result=result, config=self._config)

    async def recall(self, attempt: Attempt, recorder: Recorder) -> list[str]:
        answers = await soft(self._hook.recall, recorder, attempt=attempt, config=self._config)
        return [lesson for answer in answers for lesson in answer or ()]

    async def learn(self, result: SessionResult, transcript: Path, recorder: Recorder) -> None:
        await soft(self._hook.learn, recorder, result=result, transcript=transcript, config=self._config)

    def _closed(self, hook: pluggy.HookCaller, **arguments: Any) -> Any:
        try:
            return hook(**arguments)
        except YokeError:
            raise
        except Exception as error:
            raise _blame(hook, error) from error

    async def _all(self, hook: pluggy.HookCaller, **arguments: Any) -> list[Any]:
        answers = self._closed(hook, **arguments)
        try:
            return [await answer if isawaitable(answer) else answer for answer in answers]
        except YokeError:
            raise
        except Exception as error:
            raise _blame(hook, error) from error


async def soft(hook: pluggy.HookCaller, recorder: Recorder, **arguments: Any) -> list[Any]:
    """Every plugin's answer; one that fails costs a `plugin.failed` event and nothing else."""
    answers = []
    for plugin in reversed(hook.get_hookimpls()):
        try:
            answer = plugin.function(*(arguments[name] for name in plugin.argnames))
            answers.append(await answer if isinstance(answer, Awaitable) else answer)
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything, and this hook fails soft
            recorder.emit("plugin.failed", plugin=plugin.plugin_name, hook=hook.name, error=repr(error))
    return answers


class EventHook:
    """Shows every event to the plugins that want them; one that fails is not called again in this run."""

    def __init__(self, plugins: PluginManager, recorder: Recorder) -> None:
        self._implementations = list(reversed(plugins.hook.on_event.get_hookimpls()))
        self._recorder = recorder

    def __call__(self, event: Event) -> None:
        for plugin in list(self._implementations):
            try:
                plugin.function(*([event] if plugin.argnames else []))
            except Exception as error:  # noqa: BLE001 - a plugin may raise anything, and this hook fails soft
                self._implementations.remove(plugin)
                self._recorder.emit(
                    "plugin.failed", plugin=plugin.plugin_name, hook="on_event", error=repr(error)
                )


def _blame(hook: pluggy.HookCaller, error: Exception) -> PluginError:
    """Name the plugin whose function is in the traceback."""
    frames = set()
    trace = error.__traceback__
    while trace is not None:
        frames.add(trace.tb_frame.f_code)
        trace = trace.tb_next
    guilty = [
        plugin.plugin_name for plugin in hook.get_hookimpls() if plugin.function.__code__ in frames
    ] or ["unknown"]
    return PluginError(
        guilty[-1],
        f"{hook.name} failed: {error!r}",
        hint=f"update it, or list it under plugins.disabled: [{guilty[-1]}]",
    )
