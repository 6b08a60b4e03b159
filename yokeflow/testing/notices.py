"""What plugins promise that tell people who do not watch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from yokeflow.model import Notice
from yokeflow.testing.asked import Asked, run

if TYPE_CHECKING:
    from yokeflow.config import Config

_ABOUT: dict[str, Any] = {"project": "shop", "run": "9f1d…", "at": "2026-05-04T12:00:00+00:00"}
#: Of every type; texts hold whatever an agent may have said.
_NOTICES = (
    Notice(
        "intervention.opened", "shop.base waits for you: why?", item="shop.base", kind="question", **_ABOUT
    ),
    Notice("intervention.opened", "\0 '\"$(false) \x1b[31m\n-- ü 🧶", item="shop", kind="conflict", **_ABOUT),
    Notice("run.finished", "the run is over: failed", kind="failed", **_ABOUT),
    Notice("budget.warned", "80 % of the budget of the day is spent", **_ABOUT),
    Notice("budget.exceeded", "", urgent=True),
)


def check_notify(plugin: object, config: Config | None = None) -> None:
    """Check `notify`: takes a notice of every type, with any text; answers nothing, or what tells receivers.

    What it tells, it tells for real: give a `config` that leads to a server of the test's own.
    """
    asked = Asked(plugin, config)
    asked.needs("notify")

    async def check() -> None:
        for notice in _NOTICES:
            answer = await asked.wait("notify", notice=notice)
            ways = answer.items() if isinstance(answer, Mapping) else ()
            assert answer is None or isinstance(answer, Mapping), "notify answers nothing, or by receiver"
            for way, start in ways:
                assert await start() is None, f"telling {way} gives nothing"

    run(check())
