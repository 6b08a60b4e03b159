"""Call plugins one at a time: within a time limit, and with their name on whatever goes wrong.

Plugins run on the main thread like everything else, so nobody has to think of locks. One that does not
return is interrupted by a timer signal, wherever it is: a loop, a sleep, a read. What an asynchronous one
does between two awaits is limited in the same way, and the whole of it too.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from contextlib import contextmanager, suppress
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from yokeflow.errors import DocumentError, LimitError, PluginError, UsageError, YokeError
from yokeflow.hookspecs import PROMISES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
    from types import FrameType

    from pluggy import HookCaller, HookImpl

#: Seconds that a plugin may take without awaiting anything.
STEP = 5.0
#: Seconds after which one that caught the interruption gets the next.
_AGAIN = 1.0
#: What plugins may say to a person in their own words.
_MEANT = (DocumentError, LimitError, PluginError, UsageError)

#: Whether the timer interrupts what runs now.
_armed = False


class HungError(BaseException):
    """Raised inside a plugin that takes too long; no `except Exception` of its own holds it up."""


class _ExitError(Exception):
    """A SystemExit that was caught."""


def implementations(hook: HookCaller) -> Iterator[HookImpl]:
    """The plugins that have a hook, in the order in which they are asked."""
    return reversed(hook.get_hookimpls())


def seconds_of(hook: str, timeouts: Mapping[str, float]) -> float:
    """How long one plugin may take for a hook."""
    return timeouts.get(hook, PROMISES[hook].seconds)


def call(implementation: HookImpl, hook: str, arguments: Mapping[str, Any], seconds: float) -> Any:
    """What one plugin answers.

    Raises PluginError with its name when it raises anything but what is meant for a person, tries to end the
    program, or takes longer than `seconds`.
    """
    given = [arguments[name] for name in implementation.argnames]
    with _blaming(implementation, hook, seconds):
        return limited(seconds, implementation.function, *given)


def call_now(implementation: HookImpl, hook: str, arguments: Mapping[str, Any], seconds: float) -> Any:
    """What one plugin answers to a hook that is not awaitable; raises as `call` does."""
    answer = call(implementation, hook, arguments, seconds)
    if isawaitable(answer):
        getattr(answer, "close", lambda: None)()
        raise wrong(implementation, hook, "it is `async`, and this hook cannot wait")
    return answer


async def call_and_wait(
    implementation: HookImpl, hook: str, arguments: Mapping[str, Any], seconds: float
) -> Any:
    """What one plugin answers to an awaitable hook; raises as `call` does."""
    answer = call(implementation, hook, arguments, min(seconds, STEP))
    return await waited(implementation, hook, answer, seconds) if isawaitable(answer) else answer


async def waited(implementation: HookImpl, hook: str, answer: Awaitable[Any], seconds: float) -> Any:
    """What becomes of an answer that one plugin lets wait for; raises as `call` does."""
    with _blaming(implementation, hook, min(seconds, STEP)):
        steps = _Steps(answer, min(seconds, STEP))
        working = asyncio.ensure_future(_whole(steps))
        try:
            in_time, _ = await asyncio.wait({working}, timeout=seconds)
        finally:
            await _end(working, steps)
        if in_time:
            return working.result()
    raise _hung(implementation, hook, seconds)


async def _whole(steps: _Steps) -> Any:
    try:
        return await steps
    except SystemExit as error:
        # It would end the event loop, and with it the run.
        raise _ExitError from error


async def _end(working: asyncio.Future[Any], steps: _Steps) -> None:
    """Stop a plugin that is not done: first as asyncio does, then without asking it."""
    if not working.done():
        working.cancel()
        await asyncio.wait({working}, timeout=STEP)
    if not working.done():
        steps.abandon()
        working.cancel()
        await asyncio.wait({working})
    if not working.cancelled():
        # Whatever it says now comes too late.
        working.exception()


@contextmanager
def _blaming(implementation: HookImpl, hook: str, seconds: float) -> Iterator[None]:
    try:
        yield
    except _MEANT:
        raise
    except HungError:
        raise _hung(implementation, hook, seconds) from None
    except (SystemExit, _ExitError) as error:
        raise wrong(implementation, hook, "it tried to end the program") from error
    except YokeError as error:
        raise PluginError(
            implementation.plugin_name, f"{hook} failed: {error.message}", hint=error.hint
        ) from error
    except Exception as error:
        raise wrong(implementation, hook, repr(error)) from error


def checked(implementation: HookImpl, hook: str, check: Callable[[Any], str] | None, answer: Any) -> Any:
    """The answer, if it makes sense. Raises PluginError when it does not."""
    if answer is not None and check is not None:
        with _blaming(implementation, hook, STEP):
            reason = check(answer)
        if reason:
            raise wrong(implementation, hook, reason)
    return answer


def wrong(implementation: HookImpl, hook: str, reason: str) -> PluginError:
    """The error for an answer that makes no sense."""
    return _error(implementation, f"{hook} failed: {reason}")


def limited(seconds: float, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function; raises HungError out of it when it takes longer.

    Without effect outside of the main thread, where signals cannot be handled.
    """
    if threading.current_thread() is not threading.main_thread():
        return function(*arguments)
    global _armed  # noqa: PLW0603 - a process has one such timer
    before = _armed
    handler = signal.signal(signal.SIGALRM, _interrupt)
    left, again = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        _armed = True
        try:
            return function(*arguments)
        finally:
            _armed = False
    finally:
        # What was running before goes on; that it ran meanwhile, too, is neglected.
        signal.setitimer(signal.ITIMER_REAL, left, again)
        signal.signal(signal.SIGALRM, handler)
        _armed = before


def unlimited(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of ours that must not be cut short, from within one that is limited."""
    if threading.current_thread() is not threading.main_thread():
        return function(*arguments)
    left, again = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        return function(*arguments)
    finally:
        signal.setitimer(signal.ITIMER_REAL, left, again)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    if _armed:
        raise HungError


class _Steps:
    """Awaits something, each step of it within a time limit."""

    def __init__(self, inner: Awaitable[Any], seconds: float) -> None:
        self._inner = inner
        self._seconds = seconds
        self._abandoned = False

    def abandon(self) -> None:
        """Go on no further: whatever it waits for, it is over when that ends."""
        self._abandoned = True

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._inner.__await__()
        step: Callable[..., Any] = next
        given: tuple[Any, ...] = (steps,)
        while True:
            try:
                waits_for = limited(self._seconds, step, *given)
            except StopIteration as end:
                return end.value
            try:
                yield waits_for
            except GeneratorExit:
                _close(steps)
                raise
            except BaseException as error:  # noqa: BLE001 - it is raised where the plugin waits
                if self._abandoned:
                    with suppress(BaseException):
                        limited(self._seconds, _close, steps)
                    raise HungError from None
                step, given = _throw(steps), (error,)
            else:
                step, given = next, (steps,)


def _throw(steps: Any) -> Callable[..., Any]:
    """How to raise an error where `steps` wait; iterators that are no generators cannot take one."""
    throw: Callable[..., Any] = getattr(steps, "throw", _raise)
    return throw


def _raise(error: BaseException) -> None:
    raise error


def _close(steps: Any) -> None:
    getattr(steps, "close", lambda: None)()


def _hung(implementation: HookImpl, hook: str, seconds: float) -> PluginError:
    return PluginError(
        implementation.plugin_name,
        f"{hook} took longer than {seconds:g} s",
        hint=f"update it, list it under plugins.disabled: [{implementation.plugin_name}], or give it more "
        f"time with plugins.timeouts: {{{hook}: …}}",
    )


def _error(implementation: HookImpl, message: str) -> PluginError:
    name = implementation.plugin_name
    return PluginError(name, message, hint=f"update it, or list it under plugins.disabled: [{name}]")
