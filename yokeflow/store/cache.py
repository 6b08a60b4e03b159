"""The last answer of the store, kept for when it does not answer. Does not import SQLAlchemy."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from yokeflow.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Name of the file in the state folder.
CACHE: Final = "status.json"
#: Of the file's form; another one is as good as no file.
_VERSION: Final = 2
#: What stands between the head of the file and the state, and characters in which it comes for sure.
_STATE: Final = ', "state": '
_HEAD: Final = 1000
_MOMENT: Final = timedelta(seconds=10)
#: Seconds after which an answer is shown as stale. It is shown all the same: nothing better is at hand.
LIFETIME: Final = 1800.0


@dataclass(frozen=True, slots=True)
class Cached:
    """An answer of the store, and how far the journal was in it."""

    state: dict[str, Any]
    at: datetime
    generation: str
    offset: int


def write_cache(path: Path, state: str, position: Mapping[str, Any]) -> None:
    """Keep a state, as JSON text, at once or not at all. `position` is where the store is in the journal.

    Nothing is written where nothing has happened since a moment ago. A disk without room, or one that cannot
    be written, costs the copy alone.
    """
    if _is_fresh(path, position):
        return
    about = {"version": _VERSION, "at": datetime.now(UTC).isoformat(), "journal": dict(position)}
    # The state is not taken apart again: of a large project it is some megabytes.
    text = f"{json.dumps(about)[:-1]}{_STATE}{state}}}"
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text, mode=0o600)


def clear_away(path: Path) -> None:
    """Remove what writers left that were killed. One that is at work loses its copy, not more."""
    with suppress(OSError):
        for left in path.parent.glob(f"{path.name}.*"):
            left.unlink(missing_ok=True)


def _is_fresh(path: Path, position: Mapping[str, Any]) -> bool:
    """Whether what is kept is as good, by its first bytes."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        with path.open(encoding="utf-8") as file:
            about = json.loads(file.read(_HEAD).partition(_STATE)[0] + "}")
        young = datetime.now(UTC) - datetime.fromisoformat(about["at"]) < _MOMENT
        return bool(about["version"] == _VERSION and about["journal"] == dict(position) and young)
    return False


def read_cache(path: Path) -> Cached | None:
    """What was kept last; None when there is nothing that can be read."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["version"] == _VERSION and isinstance(kept["state"]["items"], list):
            position = kept["journal"]
            at = datetime.fromisoformat(kept["at"])
            generation, offset = str(position.get("generation", "")), int(position.get("offset", 0))
            return Cached(kept["state"], at, generation, offset)
    return None
