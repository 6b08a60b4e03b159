"""Notices of a run: told beside it, once, without secrets, and never in its way."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from types import SimpleNamespace
from typing import Any

import pytest

from tests.e2e.conftest import Workshop, epic, task
from yokeflow.engine.people import notices
from yokeflow.errors import ExitCode
from yokeflow.hookspecs import hookimpl
from yokeflow.model import Notice


def teller(heard: list[Notice], wait: float = 0.0) -> Any:
    """A plugin that notes what it is told, and takes its time."""

    @hookimpl
    async def notify(notice: Notice) -> None:
        await asyncio.sleep(wait)
        heard.append(notice)

    return SimpleNamespace(notify=notify)


async def test_what_waits_and_how_the_run_ended_is_told(workshop: Workshop) -> None:
    key = "sk_" + "live_abcdefghijklmnop"
    ask = f'printf "Is {key} right?\\nOr not?" > "$YOKE_QUESTION"'
    workshop.plan(epic("one", task("one.a", ask)))
    heard: list[Notice] = []
    await workshop.run(plugins=[teller(heard)])
    first, last = heard
    assert (first.type, first.item, first.kind, first.project) == (
        "intervention.opened",
        "one.a",
        "question",
        "shop",
    )
    assert first.text == "one.a waits for you (question): Is [redacted] right?\nOr not?"
    assert (first.urgent, first.command) == (True, "yoke attention")
    assert (last.type, last.kind) == ("run.finished", "failed")
    assert "something waits for a person" in last.text


async def test_a_run_waits_for_no_notifier(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_PATIENCE", 0.2)
    workshop.plan(epic("one", task("one.a", approve="before"), task("one.b")))
    heard: list[Notice] = []
    before = time.monotonic()
    report = await workshop.run(plugins=[teller(heard, wait=60.0)])
    assert time.monotonic() - before < 50
    assert report.completed == ("one.b",)
    assert not heard


async def test_a_notifier_that_fails_costs_events_until_it_is_left_alone(workshop: Workshop) -> None:
    asked: list[Notice] = []

    @hookimpl
    def notify(notice: Notice) -> None:
        asked.append(notice)
        raise RuntimeError("no line")

    workshop.plan(*(epic(name, task(f"{name}.a", approve="after")) for name in "abcde"))
    report = await workshop.run(plugins=[SimpleNamespace(notify=notify)])
    assert report.exit_code is ExitCode.FAILED
    *failed, left_out = workshop.of("plugin.failed")
    assert {(event["hook"], "no line" in event["error"]) for event in failed} == {("notify", True)}
    assert len(failed) == len(asked) == 3
    assert left_out["error"] == "3 notices were not told after 3 failures in a row"


async def test_a_receiver_that_is_slow_holds_up_no_other_and_what_it_misses_is_counted(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    told_last = asyncio.Event()

    @hookimpl
    def notify(notice: Notice) -> Any:
        async def quick() -> None:
            heard.append(notice.type)
            if notice.type == "run.finished":
                told_last.set()

        return {"slow": lambda: asyncio.sleep(60), "quick": quick}

    monkeypatch.setattr(notices, "_PATIENCE", 1.0)
    workshop.plan(*(epic(name, task(f"{name}.a", approve="after")) for name in "ab"))
    await workshop.run(plugins=[SimpleNamespace(notify=notify)])
    assert told_last.is_set()
    assert heard == ["intervention.opened"] * 2 + ["run.finished"], "each in order, and none waits for `slow`"
    (missed,) = workshop.of("plugin.failed")
    assert missed["error"] == "slow: 3 notices were not told before the run was over"


async def test_a_conflict_that_stays_is_told_once(workshop: Workshop) -> None:
    workshop.plan(*(epic(name, task(f"{name}.a", f"echo {name} > same")) for name in ("one", "two")))
    heard: list[Notice] = []
    await workshop.run(plugins=[teller(heard)])
    assert [notice.kind for notice in heard if notice.type == "intervention.opened"] == ["conflict"]
    workshop.git("commit", "-q", "--allow-empty", "-m", "Something else")
    heard.clear()
    await workshop.run(plugins=[teller(heard)])
    assert workshop.of("intervention.opened"), "it conflicts again"
    assert [notice.type for notice in heard] == ["run.finished"]


async def test_a_flood_is_cut_and_its_size_told(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_MOST", 3)
    workshop.plan(*(epic(name, task(f"{name}.a", approve="after")) for name in "abcde"))
    heard: list[Notice] = []
    await workshop.run(plugins=[teller(heard)])
    assert len(heard) == 4
    assert heard[-1].text.endswith("2 more notices were not sent")


async def test_what_a_flood_left_out_is_told_where_nobody_hears_of_the_end(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "_MOST", 3)
    workshop.plan(*(epic(name, task(f"{name}.a", approve="after")) for name in "abcde"))
    await workshop.run()
    assert not workshop.of("warning.raised"), "nobody wanted any"
    workshop.config(notify={"command": {"argv": ["true"], "events": ["intervention.opened"]}})
    workshop.plan(*(epic(name, task(f"{name}.b", approve="after")) for name in "fghij"))
    await workshop.run()
    (warning,) = workshop.of("warning.raised")
    assert warning["reason"] == "2 notices were not sent, to spare you more than 3 in a minute"


def test_nothing_is_told_unless_it_is_configured(workshop: Workshop) -> None:
    workshop.plan(epic("one", task("one.a")))
    assert workshop.yoke("run").returncode == 0
    out = workshop.root.parent / "told"
    script = f"cat >> {out}; echo >> {out}"
    workshop.config(notify={"command": {"argv": ["sh", "-c", script]}})
    workshop.plan(epic("one", task("one.a")), epic("two", task("two.a", approve="after")))
    assert workshop.yoke("run").returncode == 1
    told = [json.loads(line) for line in out.read_text().splitlines()]
    assert [notice["type"] for notice in told] == ["intervention.opened", "run.finished"]


async def test_a_webhook_that_hangs_keeps_nothing_from_a_command(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "_PATIENCE", 2.0)
    out = workshop.root.parent / "told"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        command = ["sh", "-c", f'echo "$YOKE_NOTICE_TYPE" >> {out}']
        workshop.config(notify={"webhook": {"url": url, "timeout": "50s"}, "command": {"argv": command}})
        workshop.plan(*(epic(name, task(f"{name}.a", approve="after")) for name in "ab"))
        await workshop.run()
    assert out.read_text().split() == ["intervention.opened"] * 2 + ["run.finished"]
    (missed,) = workshop.of("plugin.failed")
    assert missed["error"] == "webhook: 3 notices were not told before the run was over"


async def test_every_notice_that_fails_is_told_and_those_left_out_are_counted(workshop: Workshop) -> None:
    workshop.config(notify={"command": {"argv": ["sh", "-c", "exit 3"]}})
    workshop.plan(*(epic(name, task(f"{name}.a", approve="after")) for name in "abcd"))
    await workshop.run()
    *each, rest = (event["error"] for event in workshop.of("plugin.failed"))
    assert each == ["plugin yoke_notify: command: sh failed with exit code 3"] * 3
    assert rest == "command: 2 notices were not told after 3 failures in a row"
