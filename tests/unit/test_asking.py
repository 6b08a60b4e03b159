"""Plugins are called one at a time, in time, and by name."""

from __future__ import annotations

import asyncio
import signal
import time
from types import SimpleNamespace
from typing import Any

import pytest

from yokeflow import asking
from yokeflow.asking import call, call_and_wait, call_now, implementations, limited, unlimited
from yokeflow.errors import LimitError, PluginError, StoreError
from yokeflow.hookspecs import hookimpl
from yokeflow.plugin_manager import PluginManager


def plugin(function: Any) -> Any:
    """The one implementation of a hook, as the core meets it."""
    manager = PluginManager()
    manager.register(SimpleNamespace(**{function.__name__: hookimpl(function)}), "stranger")
    return next(implementations(getattr(manager.hook, function.__name__)))


def test_a_plugin_gets_the_arguments_it_asks_for():
    def select_model(config):
        return config

    assert call_now(plugin(select_model), "select_model", {"config": 1, "attempt": 2}, 1) == 1


@pytest.mark.parametrize("hang", [lambda: time.sleep(60), lambda: [None for _ in iter(int, 1)]])
def test_one_that_does_not_return_is_interrupted_and_named(hang):
    def order_ready():
        hang()

    with pytest.raises(PluginError, match=r"plugin stranger: order_ready took longer than 0.05 s") as raised:
        call(plugin(order_ready), "order_ready", {}, 0.05)
    assert "plugins.disabled: [stranger]" in raised.value.hint
    assert "plugins.timeouts: {order_ready: …}" in raised.value.hint


def test_one_that_catches_everything_is_interrupted_again(monkeypatch):
    monkeypatch.setattr(asking, "_AGAIN", 0.05)
    caught = []

    def order_ready():
        try:
            time.sleep(60)
        except BaseException:  # noqa: BLE001
            caught.append(1)
        try:
            time.sleep(60)
        except Exception:  # noqa: BLE001
            caught.append(2)

    with pytest.raises(PluginError, match="took longer"):
        call(plugin(order_ready), "order_ready", {}, 0.05)
    assert caught == [1]


async def test_an_asynchronous_one_is_limited_while_it_waits_and_while_it_does_not(monkeypatch):
    monkeypatch.setattr(asking, "STEP", 0.05)

    async def recall(attempt):
        await (asyncio.sleep(60) if attempt == "waits" else asyncio.sleep(0))
        time.sleep(60)

    for attempt, limit in (("waits", "0.1"), ("blocks", "0.05")):
        with pytest.raises(PluginError, match=f"recall took longer than {limit} s"):
            await call_and_wait(plugin(recall), "recall", {"attempt": attempt}, 0.1)


async def test_an_asynchronous_one_answers_sees_errors_and_can_be_cancelled():
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def recall(attempt):
        try:
            return [await future, *await asyncio.gather(asyncio.sleep(0, 2), asyncio.sleep(0.01, 3))]
        except ValueError:
            return await attempt()

    async def last():
        return "seen"

    asyncio.get_running_loop().call_later(0.01, future.set_result, 1)
    arguments = {"attempt": last}
    assert await call_and_wait(plugin(recall), "recall", arguments, 5) == [1, 2, 3]
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.01, future.set_exception, ValueError())
    assert await call_and_wait(plugin(recall), "recall", arguments, 5) == "seen"
    future = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(call_and_wait(plugin(recall), "recall", arguments, 5))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_one_that_will_not_be_cancelled_is_left_behind(monkeypatch):
    monkeypatch.setattr(asking, "STEP", 0.05)
    tried = []

    async def recall(attempt):
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError as error:
                tried.append(type(error))

    with pytest.raises(PluginError, match=r"recall took longer than 0.1 s"):
        await call_and_wait(plugin(recall), "recall", {"attempt": 1}, 0.1)
    assert tried[0] is asyncio.CancelledError
    assert len(asyncio.all_tasks()) == 1


async def test_what_it_cleans_up_when_it_is_stopped_is_waited_for():
    done = []

    async def recall(attempt):
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)
            done.append(1)

    with pytest.raises(PluginError, match="took longer"):
        await call_and_wait(plugin(recall), "recall", {"attempt": 1}, 0.05)
    assert done == [1]


@pytest.mark.parametrize("ending", [SystemExit(0), SystemExit("bye")])
async def test_one_that_would_end_the_program_is_named(ending):
    async def recall(attempt):
        raise ending

    def order_ready():
        raise ending

    with pytest.raises(PluginError, match="plugin stranger: recall failed: it tried to end the program"):
        await call_and_wait(plugin(recall), "recall", {"attempt": 1}, 5)
    with pytest.raises(PluginError, match="plugin stranger: order_ready failed: it tried to end the program"):
        call_now(plugin(order_ready), "order_ready", {}, 5)


async def test_errors_of_the_store_that_it_lets_through_are_its_own():
    async def recall(attempt):
        raise StoreError("the database is away", hint="start it")

    with pytest.raises(PluginError, match="plugin stranger: recall failed: the database is away") as raised:
        await call_and_wait(plugin(recall), "recall", {"attempt": 1}, 5)
    assert raised.value.hint == "start it"


async def test_what_it_raises_names_it_and_what_is_meant_for_people_passes():
    async def recall(attempt):
        raise attempt

    for error in (ZeroDivisionError("nothing"), TimeoutError("its own")):
        with pytest.raises(PluginError, match=r"plugin stranger: recall failed: .*(nothing|its own)"):
            await call_and_wait(plugin(recall), "recall", {"attempt": error}, 5)
    with pytest.raises(LimitError, match="enough"):
        await call_and_wait(plugin(recall), "recall", {"attempt": LimitError("enough")}, 5)


def test_an_asynchronous_answer_where_nobody_waits_is_refused():
    async def order_ready():
        return []

    with pytest.raises(PluginError, match="it is `async`, and this hook cannot wait"):
        call_now(plugin(order_ready), "order_ready", {}, 1)


def test_limits_nest_and_leave_signals_as_they_were():
    before, timer = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)

    def rest(seconds: float) -> str:
        time.sleep(seconds)
        return "done"

    def inner() -> str:
        return str(limited(5, lambda: unlimited(rest, 0.2)))

    assert limited(0.1, lambda: unlimited(inner)) == "done"
    with pytest.raises(asking.HungError):
        limited(0.1, lambda: [limited(5, lambda: None), rest(60)])
    assert signal.getsignal(signal.SIGALRM) == before
    assert (signal.getitimer(signal.ITIMER_REAL)[0] > 0) == (timer[0] > 0)


async def test_other_threads_are_not_limited():
    def slow() -> str:
        time.sleep(0.05)
        return "done"

    assert await asyncio.to_thread(limited, 0.01, slow) == "done"
    assert await asyncio.to_thread(unlimited, lambda: "done") == "done"
