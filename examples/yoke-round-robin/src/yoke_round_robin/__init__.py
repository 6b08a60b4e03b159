"""Epics take turns: a plugin of YokeFlow. Hooks only; what they do is beside this file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from yoke_round_robin.command import turns
from yoke_round_robin.order import Round
from yoke_round_robin.settings import RoundRobin
from yokeflow.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import click

    from yokeflow.config import Config, Section
    from yokeflow.events import Event
    from yokeflow.model import Task

#: What this plugin relies on; an older YokeFlow says that it is too old.
yoke_needs = {"order_ready": 1, "begin_run": 1}

_round = Round()


@hookimpl
def register_config() -> Mapping[str, type[Section]]:
    """The section `round_robin`."""
    return {"round_robin": RoundRobin}


@hookimpl
def register_commands() -> Sequence[click.Command]:
    """`yoke turns`."""
    return [turns]


@hookimpl
def register_migrations() -> Path:
    """The branch `yoke_round_robin`."""
    return Path(__file__).parent / "migrations"


@hookimpl
def begin_run(config: Config) -> None:
    """Start a new round by the settings of the project."""
    _round.begin(config.section(RoundRobin))


@hookimpl
def order_ready(ready: Sequence[Task]) -> Sequence[str] | None:
    """The epic that had the fewest turns comes first; None leaves the order to the next plugin."""
    return _round.order(ready)


@hookimpl
def on_event(event: Event) -> None:
    """Count what really started."""
    if event.type == "session.started":
        _round.count(event.epic)
