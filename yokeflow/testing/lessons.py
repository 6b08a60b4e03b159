"""What plugins promise that look on: recall, learn, begin_run, events."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from yokeflow import events
from yokeflow.engine.decisions import answers
from yokeflow.errors import StoreError
from yokeflow.events import Event
from yokeflow.testing.asked import Asked, run, valid
from yokeflow.testing.host import TestHost, host
from yokeflow.testing.samples import attempts, result, sample_plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yokeflow.config import Config

#: For one event: it is written down before the run goes on.
_EVENT_SECONDS = 0.5
_TYPE = re.compile(r"^    ([a-z]+\.[a-z]+)\b", re.MULTILINE)
_ABOUT: tuple[dict[str, Any], ...] = ({}, {"epic": "shop", "task": "shop.base", "session": str(uuid4())})
_STATES = ("completed", "failed", "interrupted")
_TRANSCRIPTS = (b"", b"hello\n", b"\xff\xfe\x00\n[[[\n" * 1000)


def check_begin_run(plugin: object, config: Config | None = None, *, database_url: str | None = None) -> None:
    """Check `begin_run`: quick, twice in a row."""
    asked = Asked(plugin, config)
    asked.needs("begin_run")

    async def check() -> None:
        async with host(database_url) as lent:
            for _ in range(2):
                await _begin(asked, lent)

    run(check())


def check_begin_preview(
    plugin: object, config: Config | None = None, *, database_url: str | None = None
) -> None:
    """Check `begin_preview`: quick, twice in a row, and it records nothing."""
    asked = Asked(plugin, config)
    asked.needs("begin_preview")

    async def check() -> None:
        async with host(database_url) as lent:
            for _ in range(2):
                await _begin(asked, lent, "begin_preview")
            assert not lent.events, f"begin_preview records {lent.events[0].type}: it is to change nothing"

    run(check())


async def _begin(asked: Asked, lent: TestHost, hook: str = "begin_run") -> None:
    """A run begins only when the database is there."""
    with _unless_away(lent):
        await asked.wait(hook, plan=sample_plan(), host=lent)


async def _learn(asked: Asked, lent: TestHost, **given: Any) -> None:
    with _unless_away(lent):
        await asked.wait("learn", host=lent, **given)


@contextmanager
def _unless_away(lent: TestHost) -> Iterator[None]:
    """Let pass what comes of a host that has no database."""
    try:
        yield
    except StoreError:
        if lent.has_database:
            raise


def check_recall(plugin: object, config: Config | None = None, *, database_url: str | None = None) -> None:
    """Check `recall`: paragraphs for every attempt, also while the database is away."""
    asked = Asked(plugin, config)
    asked.needs("recall")

    async def check(url: str | None) -> None:
        async with host(url) as lent:
            await _begin(asked, lent)
            for attempt in attempts(lent.run):
                lent.attempt = attempt
                answer = await asked.wait("recall", attempt=attempt, host=lent)
                valid(answer, answers.lessons, "recall")

    for url in {None, database_url}:
        run(check(url))


def check_learn(plugin: object, config: Config | None = None, *, database_url: str | None = None) -> None:
    """Check `learn`: copes with every state, and any transcript or none.

    While the database is away it may let the StoreError through: that costs one event.
    """
    asked = Asked(plugin, config)
    asked.needs("learn")

    async def check(url: str | None, folder: Path) -> None:
        async with host(url) as lent:
            await _begin(asked, lent)
            for attempt in attempts(lent.run)[-3:]:
                lent.attempt = attempt
                for number, content in enumerate(_TRANSCRIPTS):
                    file = folder / f"{number}.log"
                    file.write_bytes(content)
                    given = result(attempt, state=_STATES[number])
                    await _learn(asked, lent, result=given, transcript=file)
                    assert file.read_bytes() == content, "learn: a transcript is to be read, not changed"
                await _learn(asked, lent, result=given, transcript=folder / "none.log")

    for url in {None, database_url}:
        with TemporaryDirectory() as folder:
            run(check(url, Path(folder)))


def check_listener(plugin: object, config: Config | None = None) -> None:
    """Check `on_event`: at once, nothing raised, for every type of event and for types of other plugins."""
    asked = Asked(plugin, config)
    asked.needs("on_event")
    types = [*_TYPE.findall(events.__doc__ or ""), "deploy.started"]
    for kind in types:
        for about in _ABOUT:
            event = Event(kind, run=str(uuid4()), **about, data={"reason": "x"})
            answer = asked.now("on_event", seconds=_EVENT_SECONDS, event=event)
            assert answer is None, "on_event answers nothing"
