"""Webhook, desktop and command: who is told what, and what happens when that fails."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import yoke_notify
from yoke_notify import webhook
from yoke_notify.settings import Notify
from yokeflow.errors import DocumentError, PluginError
from yokeflow.hookspecs import hookimpl
from yokeflow.model import Notice
from yokeflow.plugin_manager import load_settings
from yokeflow.testing import check_notify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOTICE = Notice(
    "intervention.opened",
    "shop.a waits for you: why?",
    project="shop",
    item="shop.a",
    kind="question",
    urgent=True,
)


@dataclass
class Server:
    """A webhook of the test's own."""

    url: str = ""
    #: What it answers, one after another; the last one again and again.
    answers: list[int] = field(default_factory=lambda: [200])
    got: list[tuple[dict[str, str], Any]] = field(default_factory=list)
    #: Set to let requests that hang go on.
    go_on: threading.Event = field(default_factory=threading.Event)
    hangs: bool = False


@contextmanager
def serving() -> Iterator[Server]:
    """A server on loopback."""
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.got.append((dict(self.headers), json.loads(body)))
            if told.hangs:
                told.go_on.wait(60)
            code = told.answers.pop(0) if len(told.answers) > 1 else told.answers[0]
            self.send_response(code)
            if code == 302:
                self.send_header("Location", f"{told.url}/elsewhere")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    told.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield told
    finally:
        told.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A webhook, tried again at once."""
    monkeypatch.setattr(webhook, "_PAUSES", (0.0, 0.0))
    with serving() as started:
        yield started


def settings(tmp_path: Path, text: str) -> Any:
    """The config with a section `notify`."""
    (tmp_path / ".yokeflow.yaml").write_text(f"notify: {text}\n")
    return load_settings(tmp_path)[0].config


async def tell(config: Any, notice: Notice = NOTICE) -> None:
    """Send it every way; raises what went wrong last, once every way has been tried."""
    ways = yoke_notify.notify(notice, config) or {}
    results = await asyncio.gather(*(start() for start in ways.values()), return_exceptions=True)
    for failed in filter(None, results):
        raise failed


async def test_a_webhook_gets_the_notice_as_json_with_headers_from_variables(server, tmp_path, monkeypatch):
    monkeypatch.setenv("CHAT_TOKEN", "Bearer of news")
    monkeypatch.setenv("CHAT_URL", f"{server.url}/hook")
    config = settings(tmp_path, "{webhook: {url_from: CHAT_URL, headers: {Authorization: CHAT_TOKEN}}}")
    await tell(config)
    ((headers, body),) = server.got
    assert headers["Authorization"] == "Bearer of news"
    assert headers["Content-Type"].startswith("application/json")
    assert body == {
        "type": "intervention.opened",
        "text": "shop.a waits for you: why?",
        "project": "shop",
        "run": "",
        "item": "shop.a",
        "kind": "question",
        "command": "",
        "at": "",
        "urgent": True,
    }


async def test_only_what_is_wanted_is_sent_and_by_default_nothing(server, tmp_path):
    config = settings(tmp_path, f"{{webhook: {{url: '{server.url}', events: [run.finished]}}}}")
    await tell(config)
    await tell(settings(tmp_path, "{}"))
    assert not server.got
    await tell(config, Notice("run.finished", "the run is over"))
    assert [body["type"] for _, body in server.got] == ["run.finished"]


@pytest.mark.parametrize(("answers", "tries"), [([503, 200], 2), ([500], 3), ([404], 1), ([302], 1)])
async def test_a_server_is_tried_again_where_that_may_help(server, tmp_path, answers, tries):
    server.answers = list(answers)
    config = settings(tmp_path, f"{{webhook: {{url: '{server.url}/secret-path'}}}}")
    if answers[-1] == 200:
        await tell(config)
    else:
        with pytest.raises(PluginError, match=rf"webhook: 127.0.0.1 answered {answers[-1]}") as error:
            await tell(config)
        assert "secret-path" not in error.value.message
    assert len(server.got) == tries


async def test_a_server_that_hangs_or_is_not_there_is_told_of(server, tmp_path):
    server.hangs = True
    config = settings(tmp_path, f"{{webhook: {{url: '{server.url}', timeout: 0.05}}}}")
    with pytest.raises(PluginError, match=r"webhook: 127.0.0.1 cannot be reached"):
        await tell(config)
    assert len(server.got) == 3
    config = settings(tmp_path, "{webhook: {url: 'http://127.0.0.1:1/'}}")
    with pytest.raises(PluginError, match="refused"):
        await tell(config)


async def test_variables_that_are_missing_are_named(tmp_path, monkeypatch):
    config = settings(tmp_path, "{webhook: {url_from: NO_URL}}")
    with pytest.raises(PluginError, match="the variable NO_URL is not set"):
        await tell(config)
    monkeypatch.setenv("NO_URL", "file:///etc/passwd")
    with pytest.raises(PluginError, match="the variable NO_URL has no address"):
        await tell(config)
    config = settings(tmp_path, "{webhook: {url: 'http://127.0.0.1:1/', headers: {X-Key: NO_KEY}}}")
    with pytest.raises(PluginError, match="the variable NO_KEY for the header X-Key"):
        await tell(config)


async def test_a_command_gets_the_notice_on_standard_input_and_in_variables(tmp_path):
    out = tmp_path / "out"
    script = f'cat > {out}; printf "%s" "$YOKE_NOTICE_TYPE/$YOKE_NOTICE_ITEM" >> {out}'
    await tell(settings(tmp_path, json.dumps({"command": {"argv": ["sh", "-c", script]}})))
    body, _, short = out.read_text().rpartition("}")
    assert json.loads(body + "}")["text"] == NOTICE.text
    assert short == "intervention.opened/shop.a"


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["sh", "-c", "exit 3"], "command: sh failed with exit code 3"),
        (["sh", "-c", "sleep 60 & wait"], "command: sh took longer than 0.2 s"),
        (["/no/such/thing"], "command: thing could not be started: No such file"),
    ],
)
async def test_a_command_that_fails_is_told_of(tmp_path, argv, reason):
    config = settings(tmp_path, json.dumps({"command": {"argv": argv, "timeout": 0.2}}))
    with pytest.raises(PluginError, match=reason):
        await tell(config)


async def test_the_desktop_is_told_where_there_is_one(tmp_path, monkeypatch):
    config = settings(tmp_path, "{desktop: {enabled: true}}")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("PATH", str(tmp_path))
    await tell(config)
    out, program = tmp_path / "out", tmp_path / "notify-send"
    program.write_text(f'#!/bin/sh\nfor each; do echo "$each"; done > {out}\n')
    program.chmod(0o755)
    await tell(config)
    assert out.read_text().splitlines()[-4:] == ["--urgency=critical", "--", "yoke: shop", NOTICE.text]
    monkeypatch.setattr(sys, "platform", "darwin")
    program.rename(tmp_path / "osascript")
    await tell(config)
    assert out.read_text().splitlines()[-2:] == ["yoke: shop", NOTICE.text]


async def test_one_way_that_fails_keeps_no_other_from_being_tried(server, tmp_path):
    config = settings(
        tmp_path, json.dumps({"webhook": {"url": server.url}, "command": {"argv": ["sh", "-c", "exit 1"]}})
    )
    with pytest.raises(PluginError, match="command: sh failed"):
        await tell(config)
    assert len(server.got) == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{webhook: {url: 'ftp://x/y'}}", "must be an address"),
        ("{webhook: {url: 'https://me:pw@x/y'}}", "holds a password"),
        ("{webhook: {headers: {Authorization: 'Bearer x'}}}", "must be the name of an environment variable"),
        ("{webhook: {url: 'http://x/', url_from: X}}", "has two addresses"),
        ("{webhook: {events: [run.ended]}}", "did you mean `run.finished`"),
        ("{webhok: {}}", "did you mean `webhook`"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path, text, problem):
    with pytest.raises(DocumentError, match=problem):
        settings(tmp_path, text)


def test_the_check_of_notifiers(server, tmp_path):
    check_notify(yoke_notify, settings(tmp_path, f"{{webhook: {{url: '{server.url}'}}}}"))
    assert len(server.got) == 5
    assert server.got[1][1]["text"] == "\0 '\"$(false) \x1b[31m\n-- ü 🧶"

    def bad(notice):
        return 5 if notice.kind == "question" else None

    with pytest.raises(AssertionError, match="notify answers nothing"):
        check_notify(SimpleNamespace(notify=hookimpl(specname="notify")(bad)))


def test_the_section_has_defaults_that_tell_nobody():
    assert not Notify().channels()
    assert "YOKE_NOTICE_TYPE" not in os.environ
