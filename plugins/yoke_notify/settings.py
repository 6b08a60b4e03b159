"""Whom to tell what: the section `notify`."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from yokeflow.config import Section
from yokeflow.config.values import Seconds

EventName = Literal["intervention.opened", "run.finished", "budget.warned", "budget.exceeded"]
EVENTS: tuple[EventName, ...] = ("intervention.opened", "run.finished", "budget.warned", "budget.exceeded")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an address: write something like https://chat.example.org/hooks/…")
    if parts.username or parts.password:
        raise ValueError("holds a password: name a variable that has the whole address with `url_from`")
    return value


def _variable(value: str) -> str:
    if not _VARIABLE.fullmatch(value):
        # It may be the secret itself, so it is not repeated.
        raise ValueError(
            "must be the name of an environment variable, not its value: write something like CHAT_TOKEN"
        )
    return value


Variable = Annotated[str, AfterValidator(_variable)]


class Webhook(Section):
    """A POST with the notice as JSON."""

    url: Annotated[str, AfterValidator(_url)] | None = None
    """Where to send it: http or https; nowhere when empty."""
    url_from: Variable | None = None
    """Name of the environment variable that has the address, where the address is a secret."""
    headers: dict[str, Variable] = Field(default_factory=dict)
    """Headers by name, each with the name of the environment variable that has its value."""
    events: tuple[EventName, ...] = EVENTS
    """What to send."""
    timeout: Seconds = 10.0
    """How long one try may take; there are three."""

    @model_validator(mode="after")
    def _has_one_address(self) -> Webhook:
        if self.url and self.url_from:
            raise ValueError("has two addresses: write either `url` or `url_from`")
        return self


class Desktop(Section):
    """A notification on this machine's desktop."""

    enabled: bool = False
    """Show notices with `notify-send` or `osascript`, where there is one."""
    events: tuple[EventName, ...] = EVENTS
    """What to show."""


class Command(Section):
    """A program of yours."""

    argv: tuple[str, ...] = ()
    """The program and its arguments; it gets the notice as JSON on standard input. None when empty."""
    events: tuple[EventName, ...] = EVENTS
    """What to tell it."""
    timeout: Seconds = 10.0
    """How long it may take."""


class Notify(Section):
    """Who is told what happens while nobody watches. Nothing leaves this machine unless it is set here."""

    webhook: Webhook = Webhook()
    desktop: Desktop = Desktop()
    command: Command = Command()

    def wants(self, event: str) -> bool:
        """Whether anybody is to be told of an event."""
        return any(event in events for _, events in self.channels())

    def channels(self) -> list[tuple[str, tuple[EventName, ...]]]:
        """The channels that are set, with the events that each is told."""
        found: list[tuple[str, tuple[EventName, ...]]] = []
        if self.webhook.url or self.webhook.url_from:
            found.append(("webhook", self.webhook.events))
        if self.desktop.enabled:
            found.append(("desktop", self.desktop.events))
        if self.command.argv:
            found.append(("command", self.command.events))
        return found
